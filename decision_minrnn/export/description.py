"""What an exported file says of itself, as JSON: how to call it, how an episode starts, and where it comes from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from decision_minrnn.export.step import NO_ACTION, ControlStep
from decision_minrnn.policy import Policy
from decision_minrnn.versions import versions

FORMAT = 1
KEY = "decision_minrnn"
"""Under which an ONNX model's metadata and a torch archive's extra files hold the description."""

RULE = (
    "At the first step of an episode, feed the observation and, for the other inputs, the values under `start`. At "
    "each later step feed the observation, the reward of the last action, the last `action` as previous_action, "
    "`next_return_to_go` as return_to_go and `next_state` as state. Each row of the batch is an episode of its own "
    "and starts by itself."
)


def describe(step: ControlStep, policy: Policy) -> dict[str, Any]:
    """Everything that a caller has to know of an exported step; targets and origin only where the policy knows them."""
    config, task, origin = step.config, policy.task, policy.origin
    action = ["batch"] if config.discrete else ["batch", config.action_size]
    kind = "int64" if config.discrete else "float32"
    numbers = {"shape": ["batch"], "dtype": "float32"}
    state = {"shape": ["batch", len(step.initial_state)], "dtype": "float32"}
    outputs = {"action": {"shape": action, "dtype": kind}, "next_return_to_go": numbers, "next_state": state}
    if config.discrete:
        outputs["logits"] = {"shape": ["batch", config.action_size], "dtype": "float32"}
    return {
        "format": FORMAT,
        "rule": RULE,
        "inputs": {
            "observation": {"shape": ["batch", config.observation_size], "dtype": "float32"},
            "reward": numbers,
            "previous_action": {"shape": action, "dtype": kind},
            "return_to_go": numbers,
            "state": state,
        },
        "outputs": outputs,
        "start": {
            "reward": 0.0,
            "previous_action": NO_ACTION if config.discrete else 0.0,
            "return_to_go": task.targets[0] if task and task.targets else None,
            # nine digits are those of a float32
            "state": [float(f"{number:.9g}") for number in step.initial_state],
        },
        "target_returns": list(task.targets) if task else [],
        "return_range": [task.return_min, task.return_max] if task else None,
        "return_scale": config.return_scale,
        "action_low": list(config.action_low),
        "action_high": list(config.action_high),
        "observation_mean": policy.model.observation_mean.tolist(),
        "observation_std": policy.model.observation_std.tolist(),
        "env_id": task.env_id if task else None,
        "reference": asdict(task.reference) if task and task.reference else None,
        "checkpoint": origin.checkpoint if origin else None,
        "encoder": config.encoder,
        "tokens": config.tokens,
        "versions": versions("onnx", "onnxscript"),
    }
