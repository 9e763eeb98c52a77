"""Linear recurrences: one public function, `linear_scan`, over several implementations."""

from decision_minrnn.ops.scan import backends, linear_scan

__all__ = ["backends", "linear_scan"]
