"""The errors that a caller can mend. Each says what was expected, what came and what to do.

Everything raised on purpose derives from `DecisionMinRNNError`; the command line prints such an error as one message,
without a traceback, and exits with code 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class DecisionMinRNNError(Exception):
    """Base of all errors of this package."""


class ConfigError(DecisionMinRNNError, ValueError):
    """A setting that cannot be used."""


class UnknownNameError(DecisionMinRNNError, ValueError):
    """A dataset, encoder, environment or reference that does not exist under that name."""

    def __init__(self, kind: str, name: str, known: Iterable[str], advice: str = "") -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        message = f"unknown {kind} '{name}'."
        if near:
            message += f" Did you mean {' or '.join(near)}?"
        # gymnasium knows hundreds of environments: a list as long as that hides what is near
        if not near or len(names) <= 40:
            message += f" Known: {', '.join(names) or 'none'}."
        if advice:
            message += f" {advice}"
        super().__init__(message)


class DataError(DecisionMinRNNError, ValueError):
    """A dataset that is damaged, incomplete or does not fit its environment."""


class CheckpointError(DecisionMinRNNError, RuntimeError):
    """A run folder or checkpoint that cannot be read, written or continued."""


class TrainingError(DecisionMinRNNError, RuntimeError):
    """Training that cannot go on, such as a loss that is not finite."""


class EvaluationError(DecisionMinRNNError, RuntimeError):
    """An evaluation without a result: no episode came to its end."""


class MissingExtraError(DecisionMinRNNError, ImportError):
    """An optional dependency that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package}, which is not installed. "
            f"Install it with: pip install 'decision-minrnn[{extra}]'"
        )


class ExportError(DecisionMinRNNError, RuntimeError):
    """A policy that cannot be exported, or whose export acts otherwise."""
