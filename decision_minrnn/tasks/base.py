"""What a task of tokens is: where batches come from, and what a model of them is measured by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import cross_entropy

from decision_minrnn.tasks.model import TokenModel

IGNORED = -100
"""The target of a step at which nothing is to be predicted; torch's own choice."""


class TokenBatch(NamedTuple):
    """Sequences and what is to be predicted at each of their steps."""

    tokens: Int64[Tensor, "batch time"]
    targets: Int64[Tensor, "batch time"]
    """A token, or `IGNORED`."""

    def to(self, device: torch.device | str) -> TokenBatch:
        """The same batch on another device."""
        return TokenBatch(self.tokens.to(device), self.targets.to(device))


class SeededSampler(ABC):
    """An endless source of batches; the same seed gives the same batches."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    @abstractmethod
    def sample(self) -> TokenBatch:
        """The next batch."""

    def state(self) -> dict[str, Any]:
        """Where it is, as plain data."""
        return {"generator": dict(self.generator.bit_generator.state)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`."""
        self.generator.bit_generator.state = state["generator"]


class Task(ABC):
    """A source of token sequences."""

    name: str
    """As it stands in the names of folders."""
    vocabulary: int
    """Tokens are whole numbers from 0 to below it."""

    @abstractmethod
    def describe(self) -> str:
        """What is learned, in a line."""

    @abstractmethod
    def digest(self) -> str:
        """What tells these data from others; empty for a task that the configuration determines."""

    @abstractmethod
    def sampler(self) -> SeededSampler:
        """Batches to train on, from their beginning."""

    @abstractmethod
    def evaluate(self, model: TokenModel) -> dict[str, float]:
        """Scalars by tag, `eval/...`; the same for the same model."""

    def conclude(self, model: TokenModel, folder: Path) -> Mapping[str, float]:
        """What is measured of the last weights alone, beside `evaluate`; files may be written into the run's folder."""
        return {}


def token_loss(
    logits: Float[Tensor, "batch time vocabulary"], targets: Int64[Tensor, "batch time"]
) -> Float[Tensor, ""]:
    """Mean negative log-likelihood in nats, over the steps whose target is not `IGNORED`."""
    return cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)
