"""Language models of characters: the text's parts, what is measured of them, and what is written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from decision_minrnn.encoders import encoder_names
from decision_minrnn.errors import ConfigError, DataError
from decision_minrnn.tasks.corpus import Corpus
from decision_minrnn.tasks.equal_size import matched_width
from decision_minrnn.tasks.model import TokenModel, TokenModelConfig
from decision_minrnn.tasks.text import LanguageModel, TextConfig, generate, nats_per_character

TEXT = "abcb\n" * 40


def config(**settings: Any) -> TextConfig:
    defaults: dict[str, Any] = {
        "file": "text.txt", "context": 7, "batch_size": 4, "validation_share": 0.1, "test_share": 0.2
    }  # fmt: skip
    return TextConfig(**defaults | settings)


def random_model(encoder: str = "mingru", vocabulary: int = 4) -> TokenModel:
    torch.manual_seed(0)
    return TokenModel(TokenModelConfig(vocabulary=vocabulary, encoder=encoder, width=8, layers=2)).eval()


def test_parts_follow_each_other() -> None:
    corpus = Corpus("bca\nabc", validation_share=0.3, test_share=0.15)
    assert corpus.alphabet == "\nabc"
    train, validation, test = corpus.parts
    assert [part.tolist() for part in (train, validation, test)] == [[2, 3, 1, 0], [1, 2], [3]]
    assert corpus.decode(train) == "bca\n"


def test_windows_are_pieces_of_the_training_part_and_targets_one_further() -> None:
    corpus = Corpus("".join(map(chr, range(200, 300))), 0.08, 0.08)
    task = LanguageModel(config(batch_size=500), corpus)
    batch = task.sampler().sample()
    assert torch.equal(batch.tokens + 1, batch.targets)
    assert torch.equal(batch.tokens[:, 1:], batch.targets[:, :-1])
    # 84 characters to train on: windows of 7 and their targets start at 0 to 76
    assert set(batch.tokens[:, 0].tolist()) == set(range(77))


class Uniform(TokenModel):
    """Expects every character alike, but what it saw two steps before never."""

    def forward(self, tokens: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        before = torch.full_like(tokens[:, :1], -1) if state is None else state
        previous = torch.cat([before, tokens[:, :-1]], dim=1)
        logits = torch.zeros(*tokens.shape, 4)
        rows, steps = torch.nonzero(previous >= 0, as_tuple=True)
        logits[rows, steps, previous[rows, steps]] = -torch.inf
        return logits, tokens[:, -1:]


def test_nats_by_hand_with_the_state_carried_over_chunks() -> None:
    # of the nine predictions the first is one of four, the others one of three: never the same two steps apart
    part = np.array([0, 1, 2, 3, 0, 1, 2, 3, 0, 1])
    model = Uniform(TokenModelConfig(vocabulary=4, width=4, layers=1))
    assert nats_per_character(model, part, context=9) == pytest.approx((math.log(4) + 8 * math.log(3)) / 9)
    # two rows of four, each from its own beginning; the last character is left over
    assert nats_per_character(model, part, context=4) == pytest.approx((2 * math.log(4) + 6 * math.log(3)) / 8)


@pytest.mark.parametrize("encoder", ["mingru", "lstm", "mamba"])
def test_chunks_do_not_change_what_is_measured(encoder: str) -> None:
    part = np.random.default_rng(0).integers(4, size=30)
    model = random_model(encoder)
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(part[None, :-1]))
    expected = torch.nn.functional.cross_entropy(logits[0], torch.from_numpy(part[1:])).item()
    assert nats_per_character(model, part, context=20) == pytest.approx(expected, rel=1e-5)


def test_a_sample_is_what_the_model_expects() -> None:
    model = random_model()
    written = generate(model, 1, 40, temperature=1e-4, seed=0)
    with torch.no_grad():
        logits, _ = model(torch.tensor([[1, *written[:-1].tolist()]]))
    assert written.tolist() == logits[0].argmax(dim=-1).tolist()
    loose = [generate(model, 1, 40, temperature=1.0, seed=seed).tolist() for seed in (0, 0, 1)]
    assert loose[0] == loose[1] != loose[2]


def test_last_weights_are_measured_on_the_test_part(tmp_path: Path) -> None:
    task = LanguageModel(config(sample_length=12), Corpus(TEXT, 0.1, 0.2))
    model = random_model()
    scalars = task.evaluate(model)
    assert scalars["eval/bits"] == pytest.approx(scalars["eval/nats"] / math.log(2))
    last = task.conclude(model, tmp_path)
    assert last["eval/test_nats"] == nats_per_character(model, task.corpus.parts.test, 7)
    written = (tmp_path / "sample.txt").read_text()
    assert len(written) == 12
    assert set(written) <= set(TEXT)


@pytest.mark.parametrize("encoder", encoder_names())
def test_equal_size(encoder: str) -> None:
    target = TokenModel(TokenModelConfig(vocabulary=30, width=40, layers=2)).parameter_count
    shape = TokenModelConfig(vocabulary=30, encoder=encoder, layers=2)
    width = matched_width(shape, target)
    unit = 8 if encoder in ("transformer", "aaren") else 1

    def count(width: int) -> int:
        return TokenModel(TokenModelConfig(vocabulary=30, encoder=encoder, width=width, layers=2)).parameter_count

    assert width % unit == 0
    assert all(abs(count(width) - target) <= abs(count(other) - target) for other in (width - unit, width + unit))
    if encoder == "mingru":
        assert width == 40


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read .*text.txt: No such file"),
        (b"", "is empty"),
        (b"\xff\xfe\x00", "is no text in UTF-8"),
        (b"too short", "its train part has 6 characters, and --context 7 needs at least 8"),
        (b"long enough to train on", "its validation part has 2 characters, and --context 7 needs at least 8"),
    ],
)
def test_files_that_do_not_serve(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        LanguageModel(config(file=str(path)))


@pytest.mark.parametrize(
    "settings", [{"context": 0}, {"temperature": 0.0}, {"test_share": 0.0}, {"validation_share": 0.5}]
)
def test_settings_that_do_not_serve(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"--{next(iter(settings)).replace('_', '-')} expects"):
        config(**settings)
