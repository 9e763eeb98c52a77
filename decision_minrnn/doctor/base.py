"""What a check is, and the registry of checks.

    @check("rewards", after=("layout",))
    def reward_scale(subject: Subject) -> Iterator[Finding]: ...

A check runs after those named in `after`. One of them that has found an error keeps it from running: what it would say
follows from that error, or means nothing beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any, Literal

from decision_minrnn.doctor.subject import Subject

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""The worst first. An error: training on it is wrong or impossible. A warning: it may be meant, but should be known."""


@dataclass(frozen=True)
class Finding:
    """One thing that was seen."""

    severity: Severity
    message: str
    """What was seen, with its numbers."""
    remedy: str = ""
    """What to do about it; empty for a note that asks for nothing."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The numbers, as plain data for JSON."""
    check: str = ""
    """Name of the check that found it; filled in by the registry."""


@dataclass(frozen=True)
class Check:
    """A registered check."""

    name: str
    after: tuple[str, ...]
    run: Callable[[Subject], Iterable[Finding]]


_checks: list[Check] = []


def check(
    name: str, *, after: tuple[str, ...] = ()
) -> Callable[[Callable[[Subject], Iterable[Finding]]], Callable[[Subject], Iterable[Finding]]]:
    """Register the decorated function under a name; `after` names the checks without whose success it cannot run."""

    def register(run: Callable[[Subject], Iterable[Finding]]) -> Callable[[Subject], Iterable[Finding]]:
        assert name not in (known.name for known in _checks), f"two checks are called {name}"
        _checks.append(Check(name, after, run))
        return run

    return register


def checks() -> tuple[Check, ...]:
    """All registered checks, each after those that it names."""
    by_name = {known.name: known for known in _checks}
    order = TopologicalSorter({known.name: known.after for known in _checks}).static_order()
    return tuple(by_name[name] for name in order)


def share(part: int, whole: int) -> str:
    """`12 of 3,400`."""
    return f"{part:,} of {whole:,}"
