"""The speed benchmark measures what it names, and says what to install for its baseline."""

import sys
from types import SimpleNamespace

import pytest
import torch

from decision_minrnn.benchmarks import speed
from decision_minrnn.errors import MissingExtraError


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
