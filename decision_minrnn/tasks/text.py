"""Character-level language models: predict each character of a text from those before it.

Trained on windows that are drawn from the first part of the text and entered afresh. Measured over the whole of another
part with the state carried through it, as a model is used: in nats and bits (nats / log 2) for each character.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray

from decision_minrnn.config import RunConfig, require
from decision_minrnn.errors import DataError
from decision_minrnn.files import write_text_atomically
from decision_minrnn.tasks.base import SeededSampler, Task, TokenBatch, token_loss
from decision_minrnn.tasks.corpus import Corpus
from decision_minrnn.tasks.model import TokenModel

PAPER: Mapping[str, Any] = {
    "width": 384,
    "layers": 3,
    "context": 256,
    "batch_size": 64,
    "updates": 5000,
    "learning_rate": 1e-3,
    "dropout": 0.2,
}
"""Width and layers are the published ones, the others those of nanoGPT's characters of Shakespeare."""

ROWS = 16
"""A part is measured in so many rows at once, each a stretch of it."""


@dataclass(frozen=True, kw_only=True)
class TextConfig(RunConfig):
    """How to train on a text."""

    file: str
    """A text file in UTF-8."""

    context: int = 128
    """Characters in a row of a batch."""

    validation_share: float = 0.05
    """Share of the text, before the test part, that the curve is measured on."""

    test_share: float = 0.05
    """Share of the text, at its end, that the last weights are measured on."""

    sample_length: int = 300
    """Characters that the last weights write into sample.txt."""

    temperature: float = 0.8
    """Of the sample: below 1, likely characters become likelier."""

    width: int = 96
    updates: int = 1000
    batch_size: int = 16
    learning_rate: float = 3e-3
    warmup: int = 100
    weight_decay: float = 0.1
    gradient_clip: float = 1.0
    log_every: int = 50
    checkpoint_every: int = 500
    evaluate_every: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "context", self.context >= 1, "a whole number of at least 1")
        require(self, "sample_length", self.sample_length >= 0, "a whole number of at least 0")
        require(self, "temperature", 0 < self.temperature < math.inf, "a number above 0")
        for name in ("validation_share", "test_share"):
            require(self, name, 0 < getattr(self, name) < 0.5, "a share above 0 and below 0.5")


class WindowSampler(SeededSampler):
    """Windows of a part, each drawn from anywhere in it."""

    def __init__(self, part: Int64[ndarray, " characters"], config: TextConfig) -> None:
        super().__init__(config.seed)
        self.part, self.config = part, config

    def sample(self) -> TokenBatch:
        """The next batch; the target of a character is the one after it."""
        starts = self.generator.integers(len(self.part) - self.config.context, size=self.config.batch_size)
        windows = torch.from_numpy(self.part[starts[:, None] + np.arange(self.config.context + 1)])
        return TokenBatch(windows[:, :-1], windows[:, 1:])


class LanguageModel(Task):
    """The task of a text."""

    name = "language-model"

    def __init__(self, config: TextConfig, corpus: Corpus | None = None) -> None:
        """Raises `DataError` for a file that is no text, or too short for the context."""
        self.config = config
        self.corpus = corpus or Corpus.read(Path(config.file), config.validation_share, config.test_share)
        self.vocabulary = len(self.corpus.alphabet)
        for name, part in self.corpus.parts._asdict().items():
            if len(part) <= config.context:
                raise DataError(
                    f"{config.file} is too short: its {name} part has {len(part)} characters, and --context "
                    f"{config.context} needs at least {config.context + 1}. Give a longer text, or a smaller --context."
                )

    def describe(self) -> str:
        """The text and its parts."""
        train, validation, test = (f"{len(part):,}" for part in self.corpus.parts)
        return (
            f"{self.config.file}: {self.vocabulary} different characters; {train} to train on, {validation} for "
            f"validation, {test} for test"
        )

    def digest(self) -> str:
        """Of the text."""
        return self.corpus.digest

    def sampler(self) -> WindowSampler:
        """Windows of the training part."""
        return WindowSampler(self.corpus.parts.train, self.config)

    def evaluate(self, model: TokenModel) -> dict[str, float]:
        """Nats and bits a character of the validation part."""
        nats = nats_per_character(model, self.corpus.parts.validation, self.config.context)
        return {"eval/nats": nats, "eval/bits": nats / math.log(2)}

    def conclude(self, model: TokenModel, folder: Path) -> Mapping[str, float]:
        """The same of the test part; and a sample into `sample.txt`."""
        nats = nats_per_character(model, self.corpus.parts.test, self.config.context)
        written = generate(model, self._first(), self.config.sample_length, self.config.temperature, self.config.seed)
        write_text_atomically(folder / "sample.txt", self.corpus.decode(written))
        return {"eval/test_nats": nats, "eval/test_bits": nats / math.log(2)}

    def _first(self) -> int:
        """What a sample goes on from: the end of a line, if the text has lines, else its first character."""
        line_end = self.corpus.alphabet.find("\n")
        return line_end if line_end >= 0 else self.corpus.alphabet.index(self.corpus.text[0])


@torch.no_grad()
def nats_per_character(model: TokenModel, part: Int64[ndarray, " characters"], context: int) -> float:
    """Mean negative log-likelihood of every character of a part but the first, given those before it in its row.

    The part is cut into rows of equal length, at most `ROWS` and none shorter than `context`; the state is carried
    through each. The characters that rows of equal length leave over at the end, fewer than there are rows, are not
    measured.
    """
    model.eval()
    device = next(model.parameters()).device
    rows = max(1, min(ROWS, (len(part) - 1) // context))
    length = (len(part) - 1) // rows
    places = np.arange(rows)[:, None] * length + np.arange(length + 1)
    numbers = torch.from_numpy(part[places]).to(device)
    total, state = 0.0, None
    for start in range(0, length, context):
        tokens = numbers[:, start : min(start + context, length)]
        targets = numbers[:, start + 1 : start + 1 + tokens.shape[1]]
        logits, state = model(tokens, state)
        total += token_loss(logits, targets).item() * targets.numel()
    return total / (rows * length)


@torch.no_grad()
def generate(model: TokenModel, first: int, length: int, temperature: float, seed: int) -> Int64[ndarray, " length"]:
    """Characters after `first`, each drawn from what the model expects and fed back: one `step` for each."""
    model.eval()
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    token, state = torch.tensor([first], device=device), model.initial_state(1)
    written = []
    for _ in range(length):
        logits, state = model.step(token, state)
        chances = torch.softmax(logits[0].double().cpu() / temperature, dim=-1)
        token = torch.multinomial(chances, 1, generator=generator).to(device)
        written.append(int(token))
    return np.array(written, np.int64)
