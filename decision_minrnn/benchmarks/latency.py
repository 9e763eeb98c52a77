"""How long one control step takes: an observation in, an action out, one episode, with a carried state.

Every form in which a policy can be run is one function in `FORMS`. They take their turns in one process; each step is
timed by itself, since a controller waits for the slow ones as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.export import Format, default_name, export_policy, load_exported
from decision_minrnn.export.step import ControlStep
from decision_minrnn.model import DecisionModel
from decision_minrnn.policy import Policy

TARGET = 100.0
BLOCK = 50
"""Steps that a form takes in its turn, the first tenth of them not timed: others have thrown its weights out of the
cache."""

Act = Callable[[Float[ndarray, "1 observation"], Float[ndarray, "1"]], Float[ndarray, "1 action"]]
"""From an observation and the reward before it to the action, in an episode that begins with the first call."""


@dataclass(frozen=True)
class Latency:
    """One form; times are None where it cannot be run here."""

    form: str
    p50_ms: float | None = None
    p99_ms: float | None = None
    error: float | None = None
    """Largest difference of an action from that of the first form."""
    why_not: str | None = None


def eager(model: DecisionModel) -> Act:
    """`Policy`, as `load_policy` gives it."""
    policy = Policy(model)
    policy.reset(1, TARGET)
    return policy.act


def compiled(model: DecisionModel) -> Act:
    """The step through `torch.compile`, which needs a C++ compiler, and half a minute at first."""
    if model.config.discrete:
        raise ConfigError("only models of continuous actions are measured compiled.")
    step = torch.compile(Policy(model).model.stepper(), dynamic=False)
    previous, state = torch.zeros(1, model.config.action_size), None
    returns: Tensor | None = None

    @torch.inference_mode()
    def act(observations: ndarray, rewards: ndarray) -> ndarray:
        nonlocal returns, previous, state
        returns = torch.full((1,), TARGET) if returns is None else returns - torch.from_numpy(rewards)
        previous, state = step(returns, torch.from_numpy(observations), previous, state)
        return previous.numpy()

    return act


def exported(model: DecisionModel, format: Format) -> Act:
    """The file that `decision-minrnn export` writes, in the library that runs it."""
    policy = Policy(model)
    with TemporaryDirectory() as folder:
        path = Path(folder) / default_name(format)
        export_policy(policy, path, format, check=False)
        run = load_exported(path, threads=1)
    inputs = ControlStep(policy).start(1, TARGET)
    names = [name for name in inputs if name != "reward"]
    begun = False

    def act(observations: ndarray, rewards: ndarray) -> ndarray:
        nonlocal begun
        inputs["observation"] = observations
        if begun:
            inputs["reward"] = rewards
        outputs = run(inputs)
        inputs.update(
            zip(names, (outputs[name] for name in ("action", "next_return_to_go", "next_state")), strict=True)
        )
        begun = True
        return outputs["action"]

    return act


FORMS: dict[str, Callable[[DecisionModel], Act]] = {
    "eager": eager,
    "compiled": compiled,
    "onnx": partial(exported, format="onnx"),
    "torch": partial(exported, format="torch"),
}
"""By name; the others are compared with the first. One that cannot be run here raises what says why."""


def measure_latency(model: DecisionModel, forms: Sequence[str] = (), steps: int = 2000, seed: int = 0) -> list[Latency]:
    """Measure forms of one model.

    Args:
        model: on a CPU.
        forms: which; by default all.
        steps: that are timed of each.
        seed: of the observations.

    Raises:
        UnknownNameError: a form that is none.
        ConfigError: less than one step.
    """
    for name in forms:
        if name not in FORMS:
            raise UnknownNameError("form", name, FORMS)
    if steps < 1:
        raise ConfigError(f"steps expects a whole number of at least 1, got {steps}.")
    acts: dict[str, Act] = {}
    failed: dict[str, str] = {}
    for name in forms or FORMS:
        try:
            acts[name] = FORMS[name](model)
            # the first steps, which are not timed, are those in which a compiler may give up
            for _ in range(3):
                acts[name](np.zeros((1, model.config.observation_size), np.float32), np.zeros(1, np.float32))
        except Exception as error:
            acts.pop(name, None)
            failed[name] = str(error).splitlines()[0]
    generator = np.random.default_rng(seed)
    times: dict[str, list[float]] = {name: [] for name in acts}
    errors = dict.fromkeys(acts, 0.0)
    for _ in range(-(-steps // (BLOCK - BLOCK // 10))):
        observations = generator.standard_normal((BLOCK, 1, model.config.observation_size)).astype(np.float32)
        rewards = generator.uniform(0, 1, (BLOCK, 1)).astype(np.float32)
        first = None
        for name, act in acts.items():
            actions = []
            for t in range(BLOCK):
                began = time.perf_counter()
                action = act(observations[t], rewards[t])
                if t >= BLOCK // 10:
                    times[name].append(1000 * (time.perf_counter() - began))
                actions.append(np.array(action, np.float32))
            first = actions if first is None else first
            errors[name] = max(errors[name], float(np.abs(np.subtract(actions, first)).max()))
    measured = {
        name: Latency(name, float(np.median(values)), float(np.percentile(values, 99)), errors[name])
        for name, values in times.items()
    }
    return [measured.get(name) or Latency(name, why_not=failed[name]) for name in forms or FORMS]
