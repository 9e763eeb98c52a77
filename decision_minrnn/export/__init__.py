"""Deployment: one control step of a policy as a file that runs without this package.

    decision-minrnn export RUN --format onnx

What enters and leaves the step is said in `step`; everything that a caller has to know is in the file (`description`).
"""

from decision_minrnn.export.files import TOLERANCE, Format, default_name, export_policy, load_exported

__all__ = ["TOLERANCE", "Format", "default_name", "export_policy", "load_exported"]
