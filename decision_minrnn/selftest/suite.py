"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from decision_minrnn.selftest import encoders, exports, persistence, rollouts, scans
from decision_minrnn.selftest.base import CHECKS, Outcome, run_check

__all__ = ["encoders", "exports", "persistence", "rollouts", "run_checks", "scans"]


def run_checks(device: torch.device) -> Iterator[Outcome]:
    """Run every check that is registered."""
    for name in list(CHECKS):
        yield run_check(name, device)
