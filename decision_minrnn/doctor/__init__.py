"""A doctor for recordings: what is wrong with a dataset, how badly, and what to do about it.

Each check is a function in one of these modules that looks at a `Subject` and returns findings; `examine` runs them.
"""

from decision_minrnn.doctor.base import Finding
from decision_minrnn.doctor.report import Report, examine

__all__ = ["Finding", "Report", "examine"]
