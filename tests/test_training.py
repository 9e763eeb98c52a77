"""Training: it learns, repeats to the bit, goes on to the bit wherever it was stopped, and loses nothing."""

from __future__ import annotations

import dataclasses
import itertools
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from events import hparams_of, scalars_of, texts_of
from rich.console import Console
from tiny import train_config, trajectories

from decision_minrnn import loop, training
from decision_minrnn.checkpoint import checkpoint_folders, latest_checkpoint, load_model
from decision_minrnn.data import load_dataset
from decision_minrnn.errors import CheckpointError, ConfigError, DataError, TrainingError, UnknownNameError
from decision_minrnn.interruption import TrainingInterrupted
from decision_minrnn.learner import Learner, Step
from decision_minrnn.runs import read_evaluation, read_run
from decision_minrnn.tracking import read_metrics
from decision_minrnn.training import resume, train

DATA = trajectories()


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_model(latest_checkpoint(run)).state_dict()


def assert_same_run(run: Path, other: Path) -> None:
    """The same weights to the bit, and the same numbers in metrics and events, each once."""
    for name, tensor in weights(other).items():
        assert torch.equal(weights(run)[name], tensor), name
    rows = [
        [{key: value for key, value in row.items() if "per_second" not in key} for row in read_metrics(folder)]
        for folder in (run, other)
    ]
    assert rows[0] == rows[1]
    assert_events_are_the_metrics(run)


def assert_events_are_the_metrics(run: Path) -> None:
    expected: dict[str, list[tuple[int, float]]] = {}
    for row in read_metrics(run):
        for tag, value in row.items():
            if tag != "update":
                expected.setdefault(tag, []).append((row["update"], value))
    found = scalars_of(run)
    assert found.keys() == expected.keys()
    for tag, points in expected.items():
        assert [step for step, _ in found[tag]] == [step for step, _ in points]
        np.testing.assert_allclose([value for _, value in found[tag]], [value for _, value in points], rtol=1e-6)


def after_update(monkeypatch: pytest.MonkeyPatch, update: int, act: Callable[[], object]) -> None:
    """Do something once, at the end of an update."""
    learn = Learner.learn

    def spy(self: Learner) -> Step:
        step = learn(self)
        if self.update == update:
            monkeypatch.setattr(Learner, "learn", learn)
            act()
        return step

    monkeypatch.setattr(Learner, "learn", spy)


def send(number: int) -> Callable[[], object]:
    return lambda: signal.raise_signal(number)


class Killed(BaseException):
    """Stands for a process that ends at once: nothing after it runs but the closing of files."""


def kill() -> None:
    raise Killed


def test_the_loss_falls_on_the_embedded_data(tmp_path: Path) -> None:
    config = train_config(
        tmp_path / "run",
        dataset="hopper-medium",
        updates=150,
        batch_size=16,
        width=16,
        context=20,
        log_every=15,
        checkpoint_every=150,
        evaluate=False,
    )
    run = train(config, load_dataset("hopper-medium"))
    losses = [row["losses/action"] for row in read_metrics(run.folder)]
    assert losses[-1] < 0.6 * losses[0]
    assert run.evaluation is None
    assert not (run.folder / "evaluation.json").exists()


def test_a_run_leaves_what_was_promised(tmp_path: Path) -> None:
    run = train(train_config(tmp_path / "run", evaluate_every=8), DATA)
    names = {path.name for path in run.folder.iterdir() if not path.name.startswith("events.")}
    assert names == {"config.json", "metrics.jsonl", "evaluation.json", "checkpoints"}
    assert [path.name for path in checkpoint_folders(run.folder)] == [
        "update-0000004",
        "update-0000008",
        "update-0000012",
    ]
    assert run.evaluation == read_evaluation(run.folder)
    assert run.evaluation is not None
    assert [result.target_return for result in run.evaluation.targets] == [30.0, 12.5]
    assert run.evaluation.checkpoint == "last, update 12 of 12"
    rows = read_metrics(run.folder)
    assert [row["update"] for row in rows] == [3, 4, 6, 8, 8, 9, 12, 12]
    assert rows[-1]["eval/return/12.5"] == run.evaluation.targets[1].return_mean
    tags = {"losses/action", "charts/learning_rate", "charts/gradient_norm", "charts/updates_per_second"}
    tags |= {f"eval/{what}/{target}" for what in ("return", "length", "normalized_score") for target in ("30", "12.5")}
    assert set(scalars_of(run.folder)) == tags
    assert_events_are_the_metrics(run.folder)
    (settings,) = hparams_of(run.folder)
    assert (settings["width"], settings["encoder"], settings["targets"]) == (8, "mingru", "(30.0, 12.5)")
    assert "| learning_rate | 0.001 |" in texts_of(run.folder)["configuration"]
    run.policy.reset(1, 30.0)
    assert run.policy.act(np.zeros((1, 2))).shape == (1, 1)


def test_a_seed_is_a_run(tmp_path: Path) -> None:
    drawn = torch.get_rng_state()
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        train(train_config(tmp_path / name, seed=seed, dropout=0.5), DATA)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert_same_run(tmp_path / "one", tmp_path / "two")
    assert not torch.equal(weights(tmp_path / "one")["head.weight"], weights(tmp_path / "other")["head.weight"])


WINDOWS = {"sampling": "windows", "context": 5}
STREAMS = {"sampling": "streams", "context": 5}
EPISODES = {"sampling": "streams", "context": "episode"}


@pytest.mark.parametrize(
    ("encoder", "tokens", "settings"),
    [
        *itertools.product(["mingru", "minlstm"], ["merged", "interleaved"], [WINDOWS, STREAMS]),
        ("mingru", "merged", EPISODES),
        ("minlstm", "interleaved", EPISODES),
        ("mingru", "merged", STREAMS | {"precision": "bfloat16"}),
        ("mingru", "merged", WINDOWS | {"previous_action": True, "encoder_options": {"convolution": 4}}),
    ],
)
def test_resuming_is_not_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str, tokens: str, settings: dict[str, Any]
) -> None:
    settings = {"encoder": encoder, "tokens": tokens, "dropout": 0.3, "evaluate": False, **settings}
    train(train_config(tmp_path / "whole", **settings), DATA)
    after_update(monkeypatch, 7, kill)
    with pytest.raises(Killed):
        train(train_config(tmp_path / "cut", **settings), DATA)
    assert latest_checkpoint(tmp_path / "cut").name == "update-0000004"
    resume(tmp_path / "cut", DATA)
    assert_same_run(tmp_path / "cut", tmp_path / "whole")


EVALUATED = {"evaluate_every": 4, "dropout": 0.3}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with evaluations that was not stopped."""
    return train(train_config(tmp_path_factory.mktemp("whole") / "run", **EVALUATED), DATA).folder


@pytest.mark.parametrize("update", [1, 4, 6, 12])
def test_killed_after_any_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path, update: int) -> None:
    after_update(monkeypatch, update, kill)
    with pytest.raises(Killed):
        train(train_config(tmp_path / "cut", **EVALUATED), DATA)
    run = resume(tmp_path / "cut", DATA)
    assert_same_run(tmp_path / "cut", whole)
    assert len(hparams_of(tmp_path / "cut")) == 1
    assert len(texts_of(tmp_path / "cut")) == 1
    assert run.evaluation is not None
    assert run.evaluation.targets == read_evaluation(whole).targets


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("name", "call"),
    [("save_checkpoint", 1), ("save_checkpoint", 3), ("evaluate", 1), ("evaluate", 3), ("write_json", 1)],
)
def test_killed_around_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path, name: str, call: int, when: str
) -> None:
    module = loop if name == "save_checkpoint" else training
    real, calls = getattr(module, name), []

    def deadly(*arguments: Any, **named: Any) -> Any:
        calls.append(name)
        if len(calls) == call and when == "before":
            kill()
        result = real(*arguments, **named)
        if len(calls) == call:
            kill()
        return result

    monkeypatch.setattr(module, name, deadly)
    with pytest.raises(Killed):
        train(train_config(tmp_path / "cut", **EVALUATED), DATA)
    resume(tmp_path / "cut", DATA)
    assert_same_run(tmp_path / "cut", whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("update", [1, 7])
def test_a_signal_saves_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int, update: int
) -> None:
    before = signal.getsignal(number)
    train(train_config(tmp_path / "whole", dropout=0.3), DATA)
    after_update(monkeypatch, update, send(number))
    with pytest.raises(TrainingInterrupted, match=f"stopped after update {update} of 12, and saved") as caught:
        train(train_config(tmp_path / "cut", dropout=0.3), DATA)
    assert caught.value.exit_code == code
    assert f"decision-minrnn train --resume {tmp_path / 'cut'}" in str(caught.value)
    assert signal.getsignal(number) is before
    assert latest_checkpoint(tmp_path / "cut").name == f"update-{update:07d}"
    resume(tmp_path / "cut", DATA)
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(weights(tmp_path / "cut")[name], tensor)
    updates = [row["update"] for row in read_metrics(tmp_path / "cut")]
    assert updates == sorted([3, 4, 6, 8, 9, 12, 12, update])
    assert_events_are_the_metrics(tmp_path / "cut")


def test_a_signal_between_two_updates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = training._Training.log

    def interrupted(self: Any) -> None:
        log(self)
        if self.update == 3:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(training._Training, "log", interrupted)
    with pytest.raises(TrainingInterrupted) as caught:
        train(train_config(tmp_path / "run", checkpoint_every=100), DATA)
    update = int(latest_checkpoint(tmp_path / "run").name.removeprefix("update-"))
    assert f"stopped after update {update} of 12" in str(caught.value)


def test_a_signal_before_the_first_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announce = training._Training.announce

    def interrupted(self: Any) -> None:
        announce(self)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(training._Training, "announce", interrupted)
    with pytest.raises(TrainingInterrupted, match="stopped after update 1 of 12, and saved"):
        train(train_config(tmp_path / "run"), DATA)
    monkeypatch.setattr(training._Training, "announce", announce)
    assert resume(tmp_path / "run", DATA).evaluation is not None


@pytest.mark.parametrize(("evaluation", "update"), [(1, 5), (2, 10), (3, 12)])
def test_a_signal_in_an_evaluation_cuts_it_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluation: int, update: int
) -> None:
    settings = {"evaluate_every": 5, "log_every": 12, "checkpoint_every": 12}
    train(train_config(tmp_path / "whole", **settings), DATA)
    real, calls = training.evaluate, []

    def interrupted(*arguments: Any, **named: Any) -> Any:
        calls.append(named)
        if len(calls) == evaluation:
            return real(*arguments, **named | {"on_episode": lambda _: signal.raise_signal(signal.SIGINT)})
        return real(*arguments, **named)

    monkeypatch.setattr(training, "evaluate", interrupted)
    with pytest.raises(TrainingInterrupted, match=f"stopped after update {update} of 12") as caught:
        train(train_config(tmp_path / "cut", **settings), DATA)
    assert caught.value.exit_code == 130
    assert len(calls) == evaluation
    assert latest_checkpoint(tmp_path / "cut").name == f"update-{update:07d}"
    run = resume(tmp_path / "cut", DATA)
    assert run.evaluation == read_evaluation(tmp_path / "cut")
    evaluated = [row["update"] for row in read_metrics(tmp_path / "cut") if "eval/return/30" in row]
    assert evaluated == [5, 10, 12]
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(weights(tmp_path / "cut")[name], tensor)
    assert_events_are_the_metrics(tmp_path / "cut")


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    run = train(train_config(tmp_path / "run"), DATA)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    console = Console(record=True, width=200)
    again = resume(run.folder, console=console)
    assert again.evaluation == run.evaluation
    assert f"{run.folder} is finished." in console.export_text()
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before


def test_a_lost_evaluation_is_done_again(tmp_path: Path) -> None:
    run = train(train_config(tmp_path / "run"), DATA)
    assert run.evaluation is not None
    rows = read_metrics(run.folder)
    (run.folder / "evaluation.json").unlink()
    assert resume(run.folder, DATA).evaluation is not None
    assert read_evaluation(run.folder).targets == run.evaluation.targets
    assert read_metrics(run.folder) == rows
    assert_events_are_the_metrics(run.folder)
    assert len(hparams_of(run.folder)) == 1


def test_a_finished_run_that_was_not_to_be_evaluated(tmp_path: Path) -> None:
    train(train_config(tmp_path / "run", evaluate=False), DATA)
    assert resume(tmp_path / "run", DATA).evaluation is None
    assert len(hparams_of(tmp_path / "run")) == 1


def test_other_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after_update(monkeypatch, 5, kill)
    with pytest.raises(Killed):
        train(train_config(tmp_path / "run"), DATA)
    changed = dataclasses.replace(DATA, observations=DATA.observations * 2, source="another")
    with pytest.raises(CheckpointError, match=r"was trained on other data: ledger: made for a test.*now: another"):
        resume(tmp_path / "run", changed)


def test_a_run_that_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        resume(tmp_path / "nowhere")
    run = train(train_config(tmp_path / "run", updates=20), DATA)
    newest = latest_checkpoint(run.folder)
    content = newest / "training.safetensors"
    content.write_bytes(content.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"is damaged.*Remove .*0020 to go on from update-0000016\."):
        resume(run.folder, DATA)


def test_a_training_state_of_another_model(tmp_path: Path) -> None:
    train(train_config(tmp_path / "run"), DATA)
    path = latest_checkpoint(tmp_path / "run")
    import hashlib

    state = safetensors.torch.load_file(path / "training.safetensors")
    del state["optimizer/head.bias/exp_avg"]
    content = safetensors.torch.save(state)
    (path / "training.safetensors").write_bytes(content)
    about = json.loads((path / "checkpoint.json").read_text())
    about["sha256"]["training.safetensors"] = hashlib.sha256(content).hexdigest()
    (path / "checkpoint.json").write_text(json.dumps(about))
    (tmp_path / "run" / "evaluation.json").unlink()
    with pytest.raises(CheckpointError, match=r"update 12 does not fit this model.*head\.bias/exp_avg"):
        resume(tmp_path / "run", DATA)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    observations = DATA.observations.copy()
    observations[-1, 0] = np.nan
    # the readers refuse such data; its statistics are those of the sound part
    data = dataclasses.replace(DATA, observations=observations)
    data.__dict__["statistics"] = DATA.statistics
    with pytest.raises(TrainingError, match=r"update (\d+): the loss is nan") as caught:
        train(train_config(tmp_path / "run", updates=200, batch_size=1, context=2), data)
    update = int(str(caught.value).split(":")[0].removeprefix("update "))
    assert update > 1
    folder = tmp_path / "run" / f"not-finite-{update:07d}"
    assert str(folder) in str(caught.value)
    batch = safetensors.torch.load_file(folder / "batch.safetensors")
    assert batch["observations"].isnan().any()
    assert batch["observations"].shape == (1, 2, 2)
    kept = safetensors.torch.load_file(folder / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in kept.values())
    assert [path for path in checkpoint_folders(tmp_path / "run") if path.name > f"update-{update - 1:07d}"] == []


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"encoder": "mingrou"}, UnknownNameError, "Did you mean mingru"),
        ({"encoder_options": {"expandsion": 2}}, ConfigError, "no option 'expandsion'"),
        ({"device": "cuda:99"}, ConfigError, "--device cuda:99 cannot be used on this machine"),
        ({"device": "abacus"}, ConfigError, "--device abacus cannot be used"),
    ],
)
def test_what_is_refused_beforehand_writes_nothing(
    tmp_path: Path, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(train_config(tmp_path / "run", **settings), DATA)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"env_id": None}, "no environment to evaluate in. Name one with --env"),
        ({"env_id": "Leger-v0"}, "unknown environment 'Leger-v0'"),
        (
            {"env_id": "Hopper-v5"},
            "size 11 and actions of size 3, but the policy is trained for .*size 2",
        ),
    ],
)
def test_an_environment_that_does_not_fit_writes_nothing(tmp_path: Path, facts: dict[str, Any], message: str) -> None:
    data = dataclasses.replace(DATA, **facts)
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        train(train_config(tmp_path / "run"), data)
    assert list(tmp_path.iterdir()) == []
    train(train_config(tmp_path / "run", evaluate=False), data)


def test_unknown_data_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises((DataError, UnknownNameError), match="Did you mean hopper-medium"):
        train(train_config(tmp_path / "run", dataset="hopper-mediun"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_a_run_is_left_as_it_is(tmp_path: Path) -> None:
    train(train_config(tmp_path / "run"), DATA)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="holds a run already"):
        train(train_config(tmp_path / "run", seed=9), DATA)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_far_target_is_warned_of_before_training(tmp_path: Path) -> None:
    console = Console(record=True, width=200)
    train(train_config(tmp_path / "run", targets=(12.5, 4000.0)), DATA, console=console)
    text = console.export_text()
    assert "warning: target 4000 is far outside the returns of the data" in text
    assert "target 12.5 is far" not in text
    assert text.index("warning") < text.index("update 3/12")


def test_what_is_shown_away_from_a_terminal(tmp_path: Path) -> None:
    console = Console(record=True, width=40, force_terminal=False)
    train(train_config(tmp_path / "a folder with a long name"), DATA, console=console)
    lines = console.export_text().splitlines()
    assert lines[0] == "data      ledger: made for a test"
    assert lines[1].startswith("model     mingru, merged tokens, width 8, 1 layers: ")
    assert lines[2] == f"run       {tmp_path / 'a folder with a long name'}"
    assert lines[3].startswith("update 3/12  loss 0.")
    assert lines[3].endswith("s left")
    assert lines[-1].startswith("update 12: return ")
    assert lines[-1].endswith("at target 12.5")


def test_a_disk_that_is_full_when_metrics_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from decision_minrnn.tracking import Tracker

    def full(self: Tracker, update: int, values: dict[str, float]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Tracker, "scalars", full)
    with pytest.raises(TrainingError, match=r"cannot write to .*No space left on device.*--resume"):
        train(train_config(tmp_path / "run"), DATA)


def test_behaviour_cloning_sees_no_return_and_trains_on_the_best_alone(tmp_path: Path) -> None:
    settings = {"encoder": "mlp", "return_conditioning": False, "top_percent": 40.0, "targets": (1.0, 1000.0)}
    run = train(train_config(tmp_path / "run", **settings), DATA)
    assert run.evaluation is not None
    low, high = run.evaluation.targets
    assert low.returns == high.returns, "the target changes nothing"
    assert "of which the best 40 %" in read_run(tmp_path / "run").dataset
    resume(tmp_path / "run", DATA)
    conditioned = train(train_config(tmp_path / "other", encoder="mlp", targets=(1.0, 1000.0)), DATA)
    assert conditioned.evaluation is not None
    assert conditioned.evaluation.targets[0].returns != conditioned.evaluation.targets[1].returns
    with pytest.raises(ConfigError, match="--top-percent expects a percentage above 0, got 0"):
        train_config(tmp_path / "x", top_percent=0.0)
