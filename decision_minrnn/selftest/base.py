"""What a check finds, and the registry of checks.

A check is a generator of findings under `@register_check("NAME")`, in a module that `suite` imports. It may raise
`MissingExtraError` where it needs a package that is not installed: it is then skipped, and the report says so.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from decision_minrnn.errors import MissingExtraError


class Finding(NamedTuple):
    """One comparison of what is with what should be."""

    what: str
    """What was compared, in words."""
    error: float
    """How far they are apart; 0 where they are equal to the bit."""
    bound: float
    """How far they may be."""

    @property
    def passed(self) -> bool:
        """Whether they are near enough; NaN is not."""
        return self.error <= self.bound


@dataclass(frozen=True)
class Outcome:
    """What became of one check."""

    name: str
    findings: tuple[Finding, ...]
    seconds: float
    skipped: str = ""
    """Why it was not run."""
    fault: str = ""
    """The error with which it ended."""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong; a check that was skipped found nothing wrong."""
        return not self.fault and all(finding.passed for finding in self.findings)


Check = Callable[[torch.device], Iterator[Finding]]
CHECKS: dict[str, Check] = {}


def register_check(name: str) -> Callable[[Check], Check]:
    """Decorator: make a check part of the self-test."""

    def register(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return register


def run_check(name: str, device: torch.device) -> Outcome:
    """Run one check; its errors become part of the outcome."""
    began, findings = time.perf_counter(), []
    skipped = fault = ""
    try:
        for finding in CHECKS[name](device):
            findings.append(finding)
    except MissingExtraError as error:
        skipped = str(error)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
    return Outcome(name, tuple(findings), time.perf_counter() - began, skipped, fault)


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference of two tensors, as a share of the largest number expected, where that is above 1."""
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    if found.shape != expected.shape:
        return math.inf
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1.0))
