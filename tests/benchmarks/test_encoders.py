"""`benchmark encoders`: what is measured of each encoder, and of its public counterparts."""

import json

import pytest
import torch

from decision_minrnn.benchmarks import against, encoders
from decision_minrnn.benchmarks.sizes import Sizes, model_config
from decision_minrnn.cli.benchmark import main
from decision_minrnn.encoders import encoder_names
from decision_minrnn.errors import UnknownNameError
from decision_minrnn.model import DecisionModel

SMALL = ["--rounds", "1", "--batch-size", "2", "--context", "4"]


def test_every_encoder_steps_as_it_trains(capsys: pytest.CaptureFixture[str]) -> None:
    main(["encoders", *SMALL, "--json", "-"])
    rows = {row["encoder"]: row for row in json.loads(capsys.readouterr().out)["encoders"]}
    assert set(rows) == set(encoder_names())
    assert {name for name, row in rows.items() if row["error"] > 1e-5} == set()
    assert rows["mingru"]["parameters"] == 498_435
    assert (rows["mingru"]["state"], rows["lstm"]["state"], rows["mlp"]["state"]) == (3 * 128, 3 * 2 * 128, 0)
    assert all(row["update_ms"] > 0 and len(row["step_ms"]) == 2 for row in rows.values())
    main(["encoders", "--names", "mingru", *SMALL])
    assert "498,435" in capsys.readouterr().out


def test_steps_that_differ_from_the_forward_pass_show() -> None:
    model = DecisionModel(model_config("mingru", "merged", Sizes()))
    assert encoders.step_error(model) < 1e-5
    step = model.encoder.stepper()
    model.encoder.stepper = lambda rows=None: lambda x, state: (step(x, state)[0] + 0.1, state)  # type: ignore[method-assign]
    assert encoders.step_error(model) > 1e-3


def test_an_encoder_that_is_none() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean mingru"):
        encoders.measure_encoders(["minigru"], "merged", Sizes())


@pytest.mark.parametrize("pair", against.PAIRS, ids=lambda pair: pair.public)
def test_counterparts_are_causal_models_of_the_same_size(pair: against.Pair) -> None:
    """The future does not change the past, and neither side has much more to compute than the other."""
    if pair.public.startswith("transformers"):
        pytest.importorskip("transformers")
    if pair.public.startswith("minGRU"):
        pytest.importorskip("minGRU_pytorch")
    config = model_config(pair.encoder, "merged", Sizes(2, 6, 16, 2), pair.options)
    ours, public = DecisionModel(config), pair.build(config).eval()
    batch = encoders.random_batch(2, 6)
    inputs = [batch.returns_to_go, batch.observations, batch.previous_actions]
    actions, _ = public(*inputs)
    inputs[1] = batch.observations.clone()
    inputs[1][:, 4] += 1
    changed, _ = public(*inputs)
    torch.testing.assert_close(changed[:, :4], actions[:, :4])
    assert (changed[:, 4] != actions[:, 4]).all()
    if pair.encoder == "s6":
        return  # which has no gates around it, as MambaModel always has
    # HuggingFace's blocks bring embeddings of positions that nothing else uses
    sizes = [
        sum(
            value.numel() for name, value in model.named_parameters() if not name.endswith(("wpe.weight", "wte.weight"))
        )
        for model in (ours, public)
    ]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.25)


def test_only_the_named_are_held_against_others(capsys: pytest.CaptureFixture[str]) -> None:
    main(["encoders", "--against", "--names", "gru", "lstm", *SMALL, "--json", "-"])
    result = json.loads(capsys.readouterr().out)
    assert [(row["encoder"], row["public"]) for row in result["against"]] == [
        ("gru", "torch.nn.GRU"),
        ("lstm", "torch.nn.LSTM"),
    ]
    for row in result["against"]:
        assert row["times"] == pytest.approx(row["ours_ms"] / row["public_ms"])
    main(["encoders", "--against", "--names", "gru", *SMALL, "--format", "markdown"])
    assert "| gru " in capsys.readouterr().out
