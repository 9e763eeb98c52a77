"""What the README shows works: its Python blocks, and the flags of its commands and those of the other pages."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from decision_minrnn.cli import main
from decision_minrnn.config import ModelConfig
from decision_minrnn.encoders import base, build_encoder, encoder_options
from decision_minrnn.model import DecisionModel
from decision_minrnn.policy import Policy

README = Path(__file__).parents[1] / "README.md"
PAGES = [README, *sorted((README.parent / "docs").glob("*.md"))]
pytestmark = pytest.mark.skipif(not README.exists(), reason="the README is in the repository, not in the wheel")


def blocks(language: str, page: Path = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def shown_encoder() -> Iterator[None]:
    (code,) = (block for block in blocks("python") if "register_layer" in block)
    before = dict(base._LAYERS)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    yield
    base._LAYERS.clear()
    base._LAYERS.update(before)


def test_the_shown_encoder_steps_as_it_trains(shown_encoder: None) -> None:
    torch.manual_seed(0)
    encoder = build_encoder("average", 4, 2, rate=0.1).eval()
    x = torch.randn(3, 7, 4)
    reset = torch.zeros(3, 7, dtype=torch.bool)
    reset[1, 4] = True
    expected, _ = encoder(x, reset=reset)
    state, initial = encoder.initial_state(3), encoder.initial_state(3)
    for t in range(7):
        y, state = encoder.step(x[:, t], base.reset_rows(state, initial, reset[:, t]))
        torch.testing.assert_close(y, expected[:, t])


def test_the_first_block_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    import decision_minrnn as dm

    class Run:
        policy = Policy(DecisionModel(ModelConfig(11, 3, (-1.0,) * 3, (1.0,) * 3, width=8, layers=1)))

    settings = []
    monkeypatch.setattr(dm, "train", lambda config, data: settings.append((config, data)) or Run(), raising=False)
    code = next(block for block in blocks("python") if "dm.train" in block)
    names = {"observation": np.zeros(11, np.float32)}
    exec(compile(code, "README.md", "exec"), names)
    assert names["action"].shape == (1, 3)
    config, data = settings[0]
    assert (config.updates, data.steps) == (3000, 80_342)


def test_the_index_has_every_page() -> None:
    docs = README.parent / "docs"
    index = (docs / "index.md").read_text(encoding="utf-8")
    pages = {page.relative_to(docs).as_posix() for page in docs.glob("**/*.md")}
    assert {page for page in pages if f"]({page})" not in index} == {"index.md", "examples/README.md"}


def test_the_reference_has_every_public_name() -> None:
    import decision_minrnn as dm

    reference = (README.parent / "docs" / "about" / "reference.md").read_text(encoding="utf-8")
    shown = set(re.findall(r":: decision_minrnn\.[\w.]*?(\w+)$", reference, re.MULTILINE))
    assert set(dm.__all__) <= shown


ENCODERS = README.parent / "docs" / "encoders.md"


def test_the_page_on_encoders_has_every_layer_with_its_options_and_state() -> None:
    page = ENCODERS.read_text(encoding="utf-8")
    told = {}
    for name, state, options in re.findall(r"^\| `(\w+)` \|.*\| ([\d,]+) \| (.*)\|$", page, re.MULTILINE):
        told[name] = int(state.replace(",", "")), options.strip("` ").split()
    assert set(told) == set(base.encoder_names())
    for name, (state, options) in told.items():
        layer = base.encoder_layer(name)
        assert options == [f"{option}={default}" for option, default in base.keyword_options(layer).items()]
        assert state == sum(part.numel() for part in layer(128).initial_state(1))
        assert all(f"\n| `{option}" in page for option in encoder_options(name))


def test_the_encoder_alone_steps_as_it_runs_over_a_sequence() -> None:
    (code,) = blocks("python", ENCODERS)
    names: dict[str, Any] = {}
    exec(compile(code, "encoders.md", "exec"), names)
    torch.testing.assert_close(torch.stack(names["steps"], dim=1), names["y"])


COMMANDS = [
    line.split("#")[0].split()[1:]
    for page in (PAGES if README.exists() else [])
    for block in blocks("sh", page)
    for line in block.replace("\\\n", "").splitlines()
    if line.startswith("decision-minrnn ")
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_shown_flags_exist(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command = words[: 2 if words[0] in ("data", "benchmark", "paper") else 1]
    flags = [word for word in words if word.startswith("--")]
    with contextlib.suppress(SystemExit):
        main([*command, "--help", *(["--resume"] if "--resume" in flags else [])])
    known = capsys.readouterr().out
    assert [flag for flag in flags if flag not in known] == []
