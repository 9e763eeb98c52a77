"""Shared policies: the same to the bit in a folder and over a hub, with a card, without code and without secrets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hub import serving
from mutations import Trap
from tiny import random_model, train_config, trajectories

from decision_minrnn.cli import main
from decision_minrnn.errors import CheckpointError, ConfigError
from decision_minrnn.policy import Policy
from decision_minrnn.rollout import evaluate
from decision_minrnn.runs import load_policy
from decision_minrnn.sharing import is_shared
from decision_minrnn.sharing.config import without_folders
from decision_minrnn.training import Run, train

FILES = {"README.md", "cards.json", "config.json", "model.safetensors"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("sharing")
    data = replace(trajectories(), source=f"{folder}/secret/recordings.hdf5: 63 steps in 5 episodes")
    return train(train_config(folder / "run", dataset=f"{folder}/secret/recordings.hdf5"), data)


@pytest.fixture
def shared(run: Run, tmp_path: Path) -> Path:
    run.policy.save_pretrained(tmp_path / "shared")
    return tmp_path / "shared"


def actions(policy: Policy) -> np.ndarray:
    generator = np.random.default_rng(0)
    policy.reset(3, 20.0)
    return np.stack([policy.act(generator.standard_normal((3, 2)), np.ones(3)) for _ in range(12)])


@pytest.mark.parametrize(("memory", "context"), [("carried", None), ("window", 3), ("reset", 4)])
def test_a_policy_comes_back_to_the_bit(run: Run, tmp_path: Path, memory: str, context: int | None) -> None:
    policy = load_policy(run.folder, memory=memory, context=context)  # type: ignore[arg-type]
    policy.save_pretrained(tmp_path / "deep" / "shared")
    again = Policy.from_pretrained(tmp_path / "deep" / "shared")
    assert (again.memory, again.context, again.sampled) == (policy.memory, policy.context, policy.sampled)
    np.testing.assert_array_equal(actions(again), actions(policy))
    assert policy.origin is not None
    assert again.origin is not None
    assert replace(again.origin, run=policy.origin.run) == policy.origin
    assert again.task == policy.task
    assert evaluate(again, episodes=2).targets == evaluate(policy, episodes=2).targets
    assert Policy.from_pretrained(str(tmp_path / "deep" / "shared"), memory="window", context=2).context == 2


def test_a_policy_in_a_folder_needs_no_hub(shared: Path) -> None:
    code = (
        "import sys; from decision_minrnn.policy import Policy; "
        f"Policy.from_pretrained({str(shared)!r}).reset(2, 20.0); print('huggingface_hub' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_what_is_written_names_no_folder_of_this_machine(run: Run, shared: Path) -> None:
    assert {path.name for path in shared.iterdir()} == FILES
    for path in shared.iterdir():
        assert str(run.folder.parent).encode() not in path.read_bytes(), path.name
    assert run.policy.origin is not None
    info = run.policy.origin.run
    named = replace(info, train=replace(info.train, dataset="mujoco/hopper/medium-v0", env="cards/own.toml"))
    assert (without_folders(named).train.dataset, without_folders(named).train.out) == ("mujoco/hopper/medium-v0", None)
    assert "recordings.hdf5: 63 steps in 5 episodes" in (shared / "README.md").read_text(encoding="utf-8")


def test_the_card_shows_scores_protocol_and_limits(run: Run, shared: Path) -> None:
    card = (shared / "README.md").read_text(encoding="utf-8")
    assert run.evaluation is not None
    first = run.evaluation.targets[0]
    assert f"| 30 | 2 | {first.return_mean:.1f} ± {first.return_std:.1f} |" in card
    assert f"value: {first.return_mean:.2f} +/- {first.return_std:.2f}" in card
    for words in ("checkpoint: last, update 12 of 12; carried memory", "seed an episode, 10000 to 10001", "torch 2"):
        assert words in card
    assert "The data holds returns from" in card


def test_a_model_of_ones_own_is_shared_without_an_origin(tmp_path: Path) -> None:
    policy = Policy(random_model())
    policy.save_pretrained(tmp_path / "shared")
    again = Policy.from_pretrained(tmp_path / "shared")
    np.testing.assert_array_equal(actions(again), actions(policy))
    assert again.origin is None
    assert "Not evaluated." in (tmp_path / "shared" / "README.md").read_text(encoding="utf-8")
    assert main(["evaluate", str(tmp_path / "shared")]) == 1
    with pytest.raises(ConfigError, match="does not know its environment"):
        evaluate(again)


def test_the_cards_of_a_run_are_copied_but_not_what_they_register(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cards" / "envs").mkdir(parents=True)
    card = 'env_id = "Mine-v0"\nregister = "mine:register"\ntargets = [3.0]\n'
    (tmp_path / "cards" / "envs" / "mine.toml").write_text(card)
    monkeypatch.setenv("DECISION_MINRNN_CARDS", str(tmp_path / "cards"))
    origin = run.policy.origin
    assert origin is not None
    named = replace(origin.run, cards={"env": "mine", "dataset": "hopper-medium"})
    Policy(random_model(), origin=replace(origin, run=named)).save_pretrained(tmp_path / "shared")
    cards = json.loads((tmp_path / "shared" / "cards.json").read_text(encoding="utf-8"))
    assert (cards["env"]["env_id"], cards["env"]["targets"]) == ("Mine-v0", [3.0])
    assert "register" not in cards["env"]
    assert cards["dataset"]["source"] == "embedded"


def test_code_in_a_shared_folder_is_never_run(
    shared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shared)
    (shared / "evil.py").write_text("def register():\n    open('ran', 'w').close()\nregister()\n")
    evil = {"name": "evil", "env_id": "Evil-v0", "register": "evil:register"}
    (shared / "cards.json").write_text(json.dumps({"env": evil, "dataset": None}))
    (shared / "evil.toml").write_text('env_id = "Evil-v0"\nregister = "evil:register"\n')
    config = json.loads((shared / "config.json").read_text())
    described = config["policy"]["origin"]["run"]
    described["task"]["env_id"], described["train"]["env"] = "Evil-v0", str(shared / "evil.toml")
    described["cards"]["env"] = str(shared / "evil.toml")
    (shared / "config.json").write_text(json.dumps(config))
    assert main(["evaluate", str(shared), "--episodes", "1"]) == 1
    assert "unknown environment 'Evil-v0'" in capsys.readouterr().err
    assert not (shared / "ran").exists()


def test_the_command_and_what_it_refuses(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(run.folder, tmp_path / "run")
    (folder / "episode.mp4").write_bytes(b"a video")
    assert main(["share", str(folder), str(tmp_path / "shared")]) == 0
    assert capsys.readouterr().out == f"written {tmp_path / 'shared'}\n"
    assert {path.name for path in (tmp_path / "shared").iterdir()} == {*FILES, "replay.mp4"}
    assert main(["evaluate", str(tmp_path / "shared"), "--episodes", "2", "--json", str(tmp_path / "a.json")]) == 0
    assert not (tmp_path / "shared" / "evaluation.json").exists()
    scores = json.loads((tmp_path / "a.json").read_text())["targets"]
    assert run.evaluation is not None
    assert [row["return_mean"] for row in scores] == [row.return_mean for row in run.evaluation.targets]
    capsys.readouterr()
    for words, message in (
        ([], "say where the policy is to go: a folder, --push owner/name, or both"),
        ([str(tmp_path / "shared")], "is not empty. Choose another, or replace its files with --overwrite"),
    ):
        assert main(["share", str(folder), *words]) == 1
        assert message in capsys.readouterr().err
    (folder / "evaluation.json").unlink()
    assert main(["share", str(folder), str(tmp_path / "shared"), "--overwrite", "--checkpoint", "8"]) == 0
    assert "without scores: run `decision-minrnn evaluate" in capsys.readouterr().out
    assert "chosen, update 8 of 12" in (tmp_path / "shared" / "README.md").read_text(encoding="utf-8")
    assert main(["evaluate", str(tmp_path / "shared"), "--checkpoint", "8"]) == 1
    assert "is a shared policy, whose weights are those of one checkpoint" in capsys.readouterr().err


def test_an_acting_that_the_model_does_not_have(shared: Path) -> None:
    with pytest.raises(ConfigError, match="only discrete actions can be sampled"):
        Policy.from_pretrained(shared, sampled=True)


def test_a_pickle_in_place_of_the_weights_is_not_loaded(shared: Path) -> None:
    for name in ("model.safetensors", "pytorch_model.bin"):
        torch.save({"weight": Trap(shared / "ran")}, shared / name)
    with pytest.raises(CheckpointError, match="does not hold a model of this version"):
        Policy.from_pretrained(shared)
    assert not (shared / "ran").exists()
    torch.load(shared / "pytorch_model.bin", weights_only=False)
    assert (shared / "ran").exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "holds no shared policy: it has no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "holds no shared policy: it has no model.safetensors"),
        (lambda folder: cut(folder / "config.json"), "config.json is damaged"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json"),
        (lambda folder: (folder / "config.json").write_text('{"format": 9}'), "is not a shared policy of format 1"),
        (lambda folder: (folder / "config.json").write_text('{"format": 1}'), "was written by another version"),
        (lambda folder: cut(folder / "model.safetensors"), "does not hold a model of this version"),
    ],
)
def test_a_damaged_folder(shared: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(shared)
    with pytest.raises(CheckpointError, match=message):
        Policy.from_pretrained(shared)


def test_names_that_are_no_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert [is_shared(name) for name in ("me/hopper", "hf://runs/hopper")] == [True, True]
    assert [is_shared(name) for name in ("runs/hopper", "hopper", "/me/hopper", "a/b/c")] == [False] * 4
    for name, message in (
        ("me/hop/per", "neither a folder that is here nor the id of a model on the hub, which is owner/name"),
        ("me/hopper", "the hub cannot be reached, and me/hopper was not downloaded before"),
    ):
        with pytest.raises(CheckpointError, match=message):
            Policy.from_pretrained(name)


OVER_THE_HUB = """
import sys
sys.path.insert(0, sys.argv[2])
import tiny, os
from decision_minrnn.cli import main
from decision_minrnn.errors import CheckpointError
from decision_minrnn.policy import Policy

run = sys.argv[1]
for words in (
    ["share", run, "local", "--overwrite", "--push", "me/hopper"],
    ["evaluate", "me/hopper", "--episodes", "2", "--json", "scores.json"],
    ["evaluate", "hf://me/none"],
):
    print(main(words), flush=True)
options = {"private": True, "branch": "trial", "commit_message": "Once more"}
print(Policy.from_pretrained("me/hopper").push_to_hub("me/again", **options))
os.environ.pop("HF_TOKEN")
print(main(["share", run, "--push", "me/hopper"]))
"""


def test_over_a_hub(run: Run, tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "secret.txt").touch()
    with serving() as hub:
        own = {
            "HF_ENDPOINT": hub.url,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": "hf_made_up",
        }
        environment = {**os.environ, **own, "DECISION_MINRNN_OFFLINE": "0"}
        command = [sys.executable, "-c", OVER_THE_HUB, str(run.folder), str(Path(__file__).parents[1])]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["1"], done.stderr
    assert f"published {hub.url}/me/hopper\n0\n" in done.stdout
    assert f"{hub.url}/me/again/commit/" in done.stdout
    assert "there is no folder me/none, and the hub has no model of that name, or it is private" in done.stderr
    assert done.stderr.count("error: ") == 2
    written = {path.name: path.read_bytes() for path in (tmp_path / "local").iterdir()}
    del written["secret.txt"]
    assert hub.models["me/hopper"] == written
    assert hub.models["me/again"]["model.safetensors"] == written["model.safetensors"]
    assert hub.private == {"me/again"}
    assert hub.messages == ["Share a policy", "Once more"]
    assert "POST /api/models/me/again/commit/trial" in hub.requests
    assert run.evaluation is not None
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert [tuple(row["returns"]) for row in scores["targets"]] == [row.returns for row in run.evaluation.targets]
    assert scores["checkpoint"] == "last, update 12 of 12"
