"""Selective Copying: remember the tokens that count among many that do not (Gu and Dao 2023, "Mamba", section 4.1.1).

    input     . 7 . . 2 . 5 . ? ? ?       `length` places with `data_tokens` tokens in them, then as many markers
    target    _ _ _ _ _ _ _ _ 7 2 5       the tokens in order, at the markers

Noise is token 0, the marker the last of the vocabulary, data the ones between. Which places hold data is drawn anew for
each sequence, so that a layer whose coefficients do not depend on the input cannot tell what to keep. As in the
generator of the S4 repository, which the published results were made with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray

from decision_minrnn.config import EVALUATION_SEED, RunConfig, require
from decision_minrnn.tasks.base import IGNORED, SeededSampler, Task, TokenBatch
from decision_minrnn.tasks.model import TokenModel

NOISE = 0

PAPER: Mapping[str, Any] = {
    "length": 4096,
    "data_tokens": 16,
    "vocabulary": 16,
    "width": 64,
    "updates": 400_000,
    "batch_size": 64,
    "learning_rate": 3e-4,
    "dropout": 0.1,
    "gradient_clip": 1.0,
}
"""The size of the published experiment, which has an expansion of 6 besides."""


@dataclass(frozen=True, kw_only=True)
class CopyingConfig(RunConfig):
    """How to train on Selective Copying."""

    length: int = 64
    """Places before the markers, of which `--data-tokens` hold data and the others noise (paper: 4096)."""

    data_tokens: int = 8
    """Tokens to remember, and places at the end to say them in order (paper: 16)."""

    vocabulary: int = 16
    """Noise, marker, and the tokens that may be data (paper: 16)."""

    test_sequences: int = 1000
    """Sequences that a model is tested on, other than those of training."""

    width: int = 64
    updates: int = 3000
    batch_size: int = 32
    learning_rate: float = 3e-3
    warmup: int = 200
    weight_decay: float = 0.0
    gradient_clip: float = 1.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("data_tokens", "test_sequences"):
            require(self, name, getattr(self, name) >= 1, "a whole number of at least 1")
        require(self, "length", self.length >= self.data_tokens, f"a number of at least the {self.data_tokens} tokens")
        require(self, "vocabulary", self.vocabulary >= 3, "a number of at least 3: noise, marker and data")


def draw_sequences(config: CopyingConfig, count: int, generator: np.random.Generator) -> TokenBatch:
    """`count` sequences of `length + data_tokens` steps."""
    shape = (count, config.data_tokens)
    data = generator.integers(NOISE + 1, config.vocabulary - 1, size=shape)
    # the places of the smallest of random numbers are places without repetition, all equally likely
    places = generator.random((count, config.length)).argpartition(config.data_tokens - 1)[:, : config.data_tokens]
    return place_tokens(config, data, np.sort(places, axis=1))


def place_tokens(
    config: CopyingConfig, data: Int64[ndarray, "count data"], places: Int64[ndarray, "count data"]
) -> TokenBatch:
    """The sequences with these data at these places, which ascend in each row."""
    count, steps = len(data), config.length + config.data_tokens
    tokens = np.full((count, steps), NOISE, np.int64)
    np.put_along_axis(tokens, places, data, axis=1)
    tokens[:, config.length :] = config.vocabulary - 1
    targets = np.full((count, steps), IGNORED, np.int64)
    targets[:, config.length :] = data
    return TokenBatch(torch.from_numpy(tokens), torch.from_numpy(targets))


class CopyingSampler(SeededSampler):
    """Fresh sequences in every batch."""

    def __init__(self, config: CopyingConfig) -> None:
        super().__init__(config.seed)
        self.config = config

    def sample(self) -> TokenBatch:
        """The next batch."""
        return draw_sequences(self.config, self.config.batch_size, self.generator)


class SelectiveCopying(Task):
    """The task of a configuration."""

    name = "selective-copying"

    def __init__(self, config: CopyingConfig) -> None:
        self.config, self.vocabulary = config, config.vocabulary

    def describe(self) -> str:
        """Sizes, and the accuracy of a guess."""
        config = self.config
        return (
            f"selective copying: {config.data_tokens} of {config.vocabulary - 2} data tokens among {config.length} "
            f"places (a guess is right in {100 / (config.vocabulary - 2):.1f} %)"
        )

    def digest(self) -> str:
        """Empty: the configuration says everything."""
        return ""

    def sampler(self) -> CopyingSampler:
        """Batches from the configuration's seed."""
        return CopyingSampler(self.config)

    @torch.no_grad()
    def evaluate(self, model: TokenModel) -> dict[str, float]:
        """Shares of tokens that are right, over all markers and by marker, and of sequences without a fault."""
        generator, device = np.random.default_rng(EVALUATION_SEED), next(model.parameters()).device
        right = []
        model.eval()
        for start in range(0, self.config.test_sequences, self.config.batch_size):
            count = min(self.config.batch_size, self.config.test_sequences - start)
            batch = draw_sequences(self.config, count, generator).to(device)
            said = model(batch.tokens)[0].argmax(dim=-1)
            right.append((said == batch.targets)[:, self.config.length :].cpu())
        correct = torch.cat(right).double()
        return {
            "eval/accuracy": correct.mean().item(),
            "eval/sequences": correct.all(dim=1).double().mean().item(),
            **{f"eval/accuracy_at/{place:02d}": share for place, share in enumerate(correct.mean(dim=0).tolist())},
        }
