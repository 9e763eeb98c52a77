"""Exported steps act as their policy does: in made-up episodes, in a simulated hopper, and without this package."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from tiny import hopper_model, random_model, train_config, trajectories

from decision_minrnn.checkpoint import TrainingState, save_checkpoint
from decision_minrnn.cli import main
from decision_minrnn.encoders import encoder_names
from decision_minrnn.envs import Environments
from decision_minrnn.episodes import rollout
from decision_minrnn.errors import ConfigError, ExportError, MissingExtraError
from decision_minrnn.export import export_policy, load_exported
from decision_minrnn.export.comparison import largest_difference
from decision_minrnn.export.step import INPUTS, Arrays, ControlStep
from decision_minrnn.policy import Policy
from decision_minrnn.runs import create_run, load_policy, new_info

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

RUNNER = Path(__file__).parents[2] / "docs" / "examples" / "run_onnx.py"
SEEDS = (3, 4, 5)
TARGET = 700.0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a random hopper, whose policy has been exported by the command."""
    folder = tmp_path_factory.mktemp("export") / "run"
    model = hopper_model(previous_action=True)
    info = new_info(train_config(folder), model.config, trajectories())
    task = replace(info.task, env_id="Hopper-v5", targets=(TARGET,), reference=None, reference_name=None)
    create_run(folder, replace(info, task=task))
    save_checkpoint(folder, model, TrainingState(12, {"x": torch.zeros(1)}, {}), 1)
    assert main(["export", str(folder), "--json", str(folder / "export.json")]) == 0
    return folder


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    if not RUNNER.exists():
        pytest.skip("the examples are in the repository, not in the wheel")
    spec = spec_from_file_location("run_onnx", RUNNER)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_checks_what_it_writes(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads((run / "export.json").read_text())
    assert found["file"] == str(run / "policy.onnx")
    assert found["bytes"] == (run / "policy.onnx").stat().st_size
    assert found["largest_difference"] <= 1e-5
    assert main(["export", str(run)]) == 1
    assert "policy.onnx exists already. Choose another file with --out, or replace it" in capsys.readouterr().err
    assert main(["export", str(run), "--out", "nowhere/policy.onnx"]) == 1
    assert "there is no folder nowhere" in capsys.readouterr().err


def test_the_file_says_how_it_is_called(run: Path) -> None:
    exported = load_exported(run / "policy.onnx")
    about, policy = exported.description, load_policy(run)
    session = exported._session  # type: ignore[attr-defined]
    for described, values in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        assert {value.name: value.shape for value in values} == {n: e["shape"] for n, e in about[described].items()}
        kinds = {"tensor(float)": "float32", "tensor(int64)": "int64"}
        assert {value.name: kinds[value.type] for value in values} == {
            name: entry["dtype"] for name, entry in about[described].items()
        }
    assert list(about["inputs"]) == ["observation", "reward", "previous_action", "return_to_go", "state"]
    (initial,) = policy.model.initial_state(1)
    assert np.float32(about["start"]["state"]).tolist() == initial.flatten().tolist()
    assert (about["start"]["reward"], about["start"]["return_to_go"], about["env_id"]) == (0, TARGET, "Hopper-v5")
    assert about["checkpoint"] == "last, update 12 of 12"
    assert {"torch", "onnx", "python"} <= about["versions"].keys()
    # nothing of the machine that it was made on
    assert str(Path(__file__).parents[2]).encode() not in (run / "policy.onnx").read_bytes()


def test_the_runner_earns_the_policys_returns(run: Path, runner: ModuleType) -> None:
    acting = runner.OnnxPolicy(run / "policy.onnx")
    with Environments("Hopper-v5", len(SEEDS)) as environments:
        expected = rollout(load_policy(run), environments, TARGET, SEEDS)
        for row, episode in enumerate(expected):
            observation, reward, returned, over = environments.reset(row, episode.seed), None, 0.0, False
            acting.reset()
            while not over:
                (action,) = acting.act(observation[None], reward)
                observation, earned, terminated, truncated = environments.step(row, action)
                reward, returned, over = [earned], returned + earned, terminated or truncated
            assert returned == pytest.approx(episode.episode_return, abs=1e-3)
    assert min(episode.length for episode in expected) > 10


WITHOUT = """
import importlib.abc, runpy, sys
import numpy as np

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "decision_minrnn", "onnx"):
            raise ImportError(f"{name} is refused here")

sys.meta_path.insert(0, Refuse())
runner, model, seen, acted = sys.argv[1:]
sys.argv = [runner, model]
policy = runpy.run_path(runner, run_name="__main__")["OnnxPolicy"](model)
policy.reset(2, 500.0)
with np.load(seen) as file:
    steps = [policy.act(*step) for step in zip(file["observations"], file["rewards"])]
np.save(acted, steps)
"""


def test_the_runner_needs_neither_torch_nor_this_package(run: Path, runner: ModuleType, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    observations = generator.standard_normal((30, 2, 11)).astype(np.float32)
    rewards = generator.uniform(0, 3, (30, 2)).astype(np.float32)
    rewards[0] = 0
    np.savez(tmp_path / "seen.npz", observations=observations, rewards=rewards)
    arguments = [RUNNER, run / "policy.onnx", tmp_path / "seen.npz", tmp_path / "acted.npy"]
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert "trained for Hopper-v5 target return 700.0" in printed
    policy = load_policy(run)
    policy.reset(2, 500.0)
    expected = [policy.act(*step) for step in zip(observations, rewards, strict=True)]
    np.testing.assert_allclose(np.load(tmp_path / "acted.npy"), expected, atol=1e-5)
    assert len(RUNNER.read_text(encoding="utf-8").splitlines()) < 60


def test_choices_and_logits_as_a_torch_program(tmp_path: Path) -> None:
    model = random_model(discrete=True, action_size=3, action_low=(), action_high=(), previous_action=True)
    policy, path = Policy(model), tmp_path / "policy.pt2"
    assert export_policy(policy, path, "torch") == pytest.approx(0, abs=1e-6)
    exported, step = load_exported(path), ControlStep(policy)
    assert exported.description["start"] == {
        "reward": 0.0,
        "previous_action": -1,
        "return_to_go": None,
        "state": pytest.approx(step.initial_state.tolist()),
    }
    outputs = exported({"observation": np.zeros((4, 2), np.float32), **step.start(4, 1.0)})
    assert list(outputs) == ["action", "next_return_to_go", "next_state", "logits"]
    assert outputs["action"].dtype == np.int64
    np.testing.assert_array_equal(outputs["action"], outputs["logits"].argmax(axis=1))


def test_a_step_that_acts_otherwise_is_noticed_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(hopper_model())
    step = ControlStep(policy)

    def off(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        results = step(*(torch.from_numpy(array) for array in inputs.values()))
        outputs = dict(zip(step.outputs, (result.numpy() for result in results), strict=True))
        # the state of the third row is not handed on
        return outputs | {"next_state": np.concatenate([outputs["next_state"][:2], inputs["state"][2:]])}

    assert largest_difference(policy, step, off) > 1e-3
    monkeypatch.setattr("decision_minrnn.export.files.largest_difference", lambda *_: float("nan"))
    with pytest.raises(ExportError, match="acts otherwise than the policy"):
        export_policy(policy, tmp_path / "policy.pt2", "torch")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExportError, match="a policy with window memory cannot be exported"):
        export_policy(Policy(hopper_model(), "window", 5), tmp_path / "policy.onnx")
    with pytest.raises(ConfigError, match="format expects onnx or torch, got 'tflite'"):
        export_policy(Policy(hopper_model()), tmp_path / "policy", "tflite")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"a file of the format onnx expects a name that ends in \.onnx"):
        export_policy(Policy(hopper_model()), tmp_path / "policy.pt2")
    with pytest.raises(ConfigError, match=r"expects a name that ends in \.onnx or \.pt2"):
        load_exported(tmp_path / "policy.tflite")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'decision-minrnn\[export\]'"):
        export_policy(Policy(hopper_model()), tmp_path / "policy.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_torch_cannot_follow_is_named(tmp_path: Path) -> None:
    policy = Policy(hopper_model())
    original = policy.model.stepper

    def stepper():  # type: ignore[no-untyped-def]
        step = original()
        return lambda returns, *others: step(returns if float(returns[0]) > 0 else -returns, *others)

    policy.model.stepper = stepper  # type: ignore[method-assign]
    with pytest.raises(ExportError, match="the encoder mingru cannot be exported as a program"):
        export_policy(policy, tmp_path / "policy.pt2", "torch")


@pytest.mark.parametrize("encoder", ["mingru", "mlp", "transformer"])
def test_a_step_of_three_tokens_begins_without_an_action(encoder: str) -> None:
    policy = Policy(hopper_model(encoder=encoder, tokens="interleaved", layers=2))
    step = ControlStep(policy)

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        outputs = step(*(torch.from_numpy(inputs[name]) for name in INPUTS))
        return {name: output.detach().numpy() for name, output in zip(step.outputs, outputs, strict=True)}

    assert largest_difference(policy, step, run) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("tokens", ["merged", "interleaved"])
@pytest.mark.parametrize("encoder", encoder_names())
def test_every_encoder_is_exported(encoder: str, tokens: str, tmp_path: Path) -> None:
    policy = Policy(hopper_model(encoder=encoder, tokens=tokens, layers=2))
    difference = export_policy(policy, tmp_path / "policy.onnx")
    assert difference is not None
    assert difference <= 1e-5


@pytest.mark.slow
def test_a_discrete_policy_in_onnx(tmp_path: Path) -> None:
    model = random_model(discrete=True, action_size=3, action_low=(), action_high=())
    assert export_policy(Policy(model), tmp_path / "policy.onnx") == pytest.approx(0, abs=1e-5)


@pytest.mark.slow
def test_a_thousand_steps_of_a_hopper(run: Path, runner: ModuleType) -> None:
    """Both see what the policy's actions lead to, in episodes that do not end when the hopper falls."""
    acting, policy = runner.OnnxPolicy(run / "policy.onnx"), load_policy(run)
    with Environments("Hopper-v5", terminate_when_unhealthy=False) as environment:
        for seed in SEEDS:
            observation, reward, steps = environment.reset(0, seed), np.zeros(1, np.float32), 0
            acting.reset()
            policy.reset(1, TARGET)
            over = False
            while not over:
                expected = policy.act(observation[None], reward)
                np.testing.assert_allclose(acting.act(observation[None], reward), expected, atol=1e-5)
                observation, reward[0], terminated, truncated = environment.step(0, expected[0])
                over, steps = terminated or truncated, steps + 1
            assert steps == 1000
