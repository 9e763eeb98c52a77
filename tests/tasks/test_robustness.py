"""Which runs a variation of settings asks for, and what is made of their accuracies."""

from __future__ import annotations

import numpy as np
import pytest

from decision_minrnn.tasks.copying import CopyingConfig
from decision_minrnn.tasks.experiment import FinishedRun
from decision_minrnn.tasks.robustness import accuracies, planned_runs
from decision_minrnn.tasks.training import Outcome

BASE = CopyingConfig(learning_rate=0.003, dropout=0.0, layers=2)
VALUES = {"forget_bias": (0.0, 3.0), "learning_rate": (0.003, 0.01), "layers": (1, 2)}
ENCODERS = [("mingru", {}), ("minlstm", {"expansion": 2})]


def test_one_setting_at_a_time_and_none_twice() -> None:
    runs = planned_runs(BASE, ENCODERS, VALUES, seeds=(5,))
    assert [run.name for run in runs] == [
        "mingru__base__seed-5",
        "mingru__learning_rate-0.01__seed-5",
        "mingru__layers-1__seed-5",
        "minlstm__base__seed-5",
        "minlstm__forget_bias-0__seed-5",
        "minlstm__learning_rate-0.01__seed-5",
        "minlstm__layers-1__seed-5",
    ]
    assert all(run.config.seed == 5 for run in runs)
    assert (runs[1].config.learning_rate, runs[1].config.layers) == (0.01, 2)
    assert (runs[2].config.learning_rate, runs[2].config.layers) == (0.003, 1)
    assert runs[4].config.encoder_options == {"expansion": 2, "forget_bias": 0.0}


def test_the_base_is_a_point_of_every_curve() -> None:
    finished = []
    for place, run in enumerate(planned_runs(BASE, ENCODERS, VALUES, seeds=(0, 1))):
        config = run.config
        scalars = {"eval/accuracy": place / 100}
        outcome = Outcome(config.encoder, config.encoder_options, config.layers, 8, config.seed, 1, 1, 1.0, scalars)
        finished.append(FinishedRun(run, outcome))
    # places of mingru: 0 base, 1 rate, 2 layers; the same from 3 for the other seed; minlstm from 6 and from 10
    base, varied = accuracies(finished, "learning_rate")["mingru"]
    assert base == pytest.approx((0.003, 0.015, 0.015))
    assert varied == pytest.approx((0.01, 0.025, 0.015))
    (only,) = accuracies(finished, "forget_bias").items()
    assert only[0] == "minlstm"
    np.testing.assert_allclose(only[1], [(0.0, 0.09, 0.02), (3.0, 0.08, 0.02)])
    assert [value for value, _, _ in accuracies(finished, "layers")["minlstm"]] == [1, 2]
