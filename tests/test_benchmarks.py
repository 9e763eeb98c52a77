"""The speed benchmark measures what it names, and says what to install for its baseline."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch

from decision_minrnn.benchmarks import encoders, speed
from decision_minrnn.cli.benchmark import main
from decision_minrnn.encoders import encoder_names
from decision_minrnn.errors import MissingExtraError, UnknownNameError
from decision_minrnn.model import DecisionModel


def test_a_missing_baseline_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"transformers.*decision-minrnn\[bench\]"):
        speed.measure_speed(rounds=1)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A baseline of one linear layer, for machines without transformers."""

    class Model(torch.nn.Module):
        def __init__(self, config: SimpleNamespace) -> None:
            super().__init__()
            self.head = torch.nn.Linear(config.state_dim, config.act_dim)

        def forward(self, *, states: torch.Tensor, **_: object) -> SimpleNamespace:
            return SimpleNamespace(action_preds=self.head(states))

    module = SimpleNamespace(DecisionTransformerConfig=SimpleNamespace, DecisionTransformerModel=Model)
    monkeypatch.setitem(sys.modules, "transformers", module)


def test_every_contestant_is_measured_at_everything(stand_in: None) -> None:
    measurements = speed.measure_speed(rounds=1)
    names = {measurement.contestant for measurement in measurements}
    assert names == {
        "huggingface", "mingru merged", "mingru interleaved", "minlstm merged", "minlstm interleaved"
    }  # fmt: skip
    assert {(m.contestant, m.what) for m in measurements} == {
        (name, what) for name in names for what in ("update", "step/1", "step/10", "step/100")
    }
    assert all(0 < m.low_ms <= m.median_ms <= m.high_ms for m in measurements)
    by_key = {(m.contestant, m.what): m for m in measurements}
    for m in measurements:
        assert m.ratio == pytest.approx(by_key["huggingface", m.what].median_ms / m.median_ms)


def test_every_encoder_steps_as_it_trains(capsys: pytest.CaptureFixture[str]) -> None:
    main(["encoders", "--rounds", "1", "--batch-size", "2", "--context", "4", "--json", "-"])
    rows = {row["encoder"]: row for row in json.loads(capsys.readouterr().out)["encoders"]}
    assert set(rows) == set(encoder_names())
    assert {name for name, row in rows.items() if row["error"] > 1e-5} == set()
    assert rows["mingru"]["parameters"] == 498_435
    assert (rows["mingru"]["state"], rows["lstm"]["state"], rows["mlp"]["state"]) == (3 * 128, 3 * 2 * 128, 0)
    assert all(row["update_ms"] > 0 and len(row["step_ms"]) == 2 for row in rows.values())
    main(["encoders", "--names", "mingru", "--rounds", "1", "--batch-size", "2", "--context", "4"])
    assert "498,435" in capsys.readouterr().out


def test_steps_that_differ_from_the_forward_pass_show() -> None:
    model = DecisionModel(speed.model_config("mingru", "merged"))
    assert encoders.step_error(model) < 1e-5
    step = model.encoder.stepper()
    model.encoder.stepper = lambda rows=None: lambda x, state: (step(x, state)[0] + 0.1, state)  # type: ignore[method-assign]
    assert encoders.step_error(model) > 1e-3


def test_an_encoder_that_is_none() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean mingru"):
        encoders.measure_encoders(["minigru"])
