"""`examine`: run all checks on a dataset, and describe it in numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from decision_minrnn.data.base import Recording
from decision_minrnn.data.environment import choose_environment
from decision_minrnn.data.fetch import Location, fetch
from decision_minrnn.data.formats import format_of
from decision_minrnn.data.raw import RawRecording
from decision_minrnn.data.resolve import locate, read_raw

# Importing the modules of the checks fills the registry.
from decision_minrnn.doctor import alignment, episodes, rewards, simulator, values  # noqa: F401
from decision_minrnn.doctor.base import SEVERITIES, Finding, checks
from decision_minrnn.doctor.subject import Subject
from decision_minrnn.errors import DataError
from decision_minrnn.scores import normalized_score

_BINS = 20


@dataclass(frozen=True)
class Report:
    """What was found in one dataset."""

    dataset: str
    """The name or path that was asked for."""
    source: str
    """What was read."""
    steps: int
    """All rows, those of an unfinished episode included."""
    episodes: int
    """Finished episodes."""
    findings: tuple[Finding, ...]
    """The worst first."""
    skipped: Mapping[str, str]
    """Checks that could not run, and the check whose error kept them from it."""
    statistics: Mapping[str, Any]
    """Plain data for JSON; of finite values and finished episodes alone."""

    @property
    def errors(self) -> int:
        """Number of findings that are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON."""
        return asdict(self) | {"findings": [asdict(finding) for finding in self.findings]}


def examine(name_or_path: str | os.PathLike[str], *, env: str | None = None) -> Report:
    """Check a dataset by name or path; `env` is the environment to hold it against, in place of the one it names.

    Raises `UnknownNameError` for a name that is nothing, and `DataError` where there is nothing that can be looked at.
    """
    location = locate(name_or_path)
    fetch(location)
    subject = _subject(location, read_raw(location), env)
    findings: list[Finding] = []
    skipped: dict[str, str] = {}
    failed: set[str] = set()
    for known in checks():
        because = next((other for other in known.after if other in failed), None)
        if because is not None:
            skipped[known.name] = because
            continue
        found = [replace(finding, check=known.name) for finding in known.run(subject)]
        findings += found
        if any(finding.severity == "error" for finding in found):
            failed.add(known.name)
    return Report(
        dataset=location.asked,
        source=location.place or format_of(location.path).name,
        steps=subject.steps,
        episodes=subject.episodes,
        findings=tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))),
        skipped=skipped,
        statistics=statistics(subject) if subject.steps else {},
    )


def _subject(location: Location, raw: RawRecording, env: str | None) -> Subject:
    """The recording with its environment, chosen as `load_dataset` chooses it."""
    finite = np.isfinite(raw.actions).all(axis=1)
    usable = Recording(
        observations=raw.observations,
        actions=raw.actions[finite] if finite.any() else np.zeros_like(raw.actions[:1]),
        rewards=raw.rewards,
        offsets=np.zeros(1, np.int64),
        terminated=raw.terminals[raw.ends],
        truncated=raw.timeouts[raw.ends],
        choices=raw.choices,
        action_low=raw.action_low,
        action_high=raw.action_high,
        env_id=raw.env_id,
    )
    kind = format_of(location.path).kind
    size = raw.actions.shape[1]
    unbounded = np.full(size, -np.inf, np.float32), np.full(size, np.inf, np.float32)
    if raw.fault is not None:
        return Subject(raw, None, raw.env_id, *unbounded, {})
    try:
        choice = choose_environment(location.asked, usable, location.card, Path(location.path), kind, env)
    except DataError as error:
        return Subject(raw, None, raw.env_id, *unbounded, {}, misfit=str(error))
    references = {**(choice.card.references if choice.card else {}), **raw.references}
    raw = replace(raw, choices=choice.choices)
    return Subject(raw, choice.card, choice.env_id, choice.action_low, choice.action_high, references, choice.notes)


def statistics(subject: Subject) -> dict[str, Any]:
    """Lengths, returns, scores, rewards, actions and observations in numbers."""
    raw, finite = subject.raw, subject.finite
    returns = subject.returns[subject.finite_episodes]
    scores = {}
    for name, reference in subject.references.items():
        if len(returns):
            normalized = np.asarray(normalized_score(returns, reference))
            scores[name] = {**asdict(reference), **{f"normalized_{key}": v for key, v in _summary(normalized).items()}}
    return {
        "env": subject.env.name if subject.env else None,
        "env_id": subject.env_id,
        "unfinished_steps": subject.unfinished,
        "terminated": int(raw.terminals[raw.ends].sum()),
        "truncated": int(raw.timeouts[raw.ends].sum()),
        "length": _summary(subject.lengths, bins=_BINS),
        "return": _summary(returns, bins=_BINS),
        "references": scores,
        "reward": _summary(raw.rewards[finite]),
        "action": _summary(raw.actions[finite]),
        "observation_mean": _columns(raw.observations[finite], "mean"),
        "observation_std": _columns(raw.observations[finite], "std"),
    }


def _summary(found: ndarray, bins: int = 0) -> dict[str, Any]:
    """Mean, deviation, lowest and highest value; with `bins`, a histogram too. Empty for no values."""
    if not found.size:
        return {}
    numbers = found.astype(np.float64)
    result: dict[str, Any] = {
        "mean": float(numbers.mean()),
        "std": float(numbers.std()),
        "min": float(numbers.min()),
        "max": float(numbers.max()),
    }
    if bins:
        counts, edges = np.histogram(numbers, bins)
        result["histogram"] = {"counts": counts.tolist(), "edges": edges.tolist()}
    return result


def _columns(rows: ndarray, what: str) -> list[float]:
    return [float(value) for value in getattr(rows.astype(np.float64), what)(axis=0)] if len(rows) else []
