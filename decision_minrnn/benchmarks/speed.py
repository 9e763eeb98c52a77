"""How long an update and a step of a rollout take, beside HuggingFace's `DecisionTransformerModel` of the same size.

All contestants run in one process, in turn, round after round, so that whatever else the machine does meets all of
them; each figure is the median over rounds. The sizes are Decision Transformer's: rows of 20 steps, width 128, 3
layers, batches of 64, Hopper's observations and actions, float32, dropout 0.1, AdamW with a clipped gradient norm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from decision_minrnn.config import ModelConfig, Tokens, TrainConfig
from decision_minrnn.errors import MissingExtraError
from decision_minrnn.losses import action_loss
from decision_minrnn.model import DecisionModel
from decision_minrnn.optimization import build_optimizer, clip_gradient
from decision_minrnn.policy import Policy
from decision_minrnn.types import Batch

OBSERVATION, ACTION, CONTEXT, WIDTH, LAYERS, BATCH = 11, 3, 20, 128, 3, 64
ENVIRONMENTS = (1, 10, 100)
STEPS = 10
"""Steps of a rollout that are timed as one, after as many that are not."""
BASELINE = "huggingface"


@dataclass(frozen=True)
class Measurement:
    """One cell of the table."""

    contestant: str
    what: str
    """`update`, or `step/N` for one step of a rollout of N environments."""
    median_ms: float
    low_ms: float
    """First quartile."""
    high_ms: float
    """Third quartile."""
    ratio: float
    """The baseline's median by this one: how many times faster than it."""
    parameters: int


def measure_speed(rounds: int = 30, seed: int = 0) -> list[Measurement]:
    """Measure every contestant.

    Args:
        rounds: how often each is timed.
        seed: of weights and inputs.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    torch.manual_seed(seed)
    batch = random_batch()
    tasks: dict[tuple[str, str], Callable[[], object]] = {}
    parameters = {}
    for name, model in _contestants():
        parameters[name] = sum(p.numel() for p in model.parameters())
        tasks[name, "update"] = update_task(model.train(), batch)
        acting = deepcopy(model).eval()
        for count in ENVIRONMENTS:
            tasks[name, f"step/{count}"] = step_task(acting, count)
    times: dict[tuple[str, str], list[float]] = {key: [] for key in tasks}
    for _ in range(rounds + 2):
        for (name, what), task in tasks.items():
            repeats = 1
            if what != "update":
                repeats = STEPS
                for _ in range(STEPS):
                    # a rollout finds its weights in the cache; here another contestant has just thrown them out
                    task()
            began = time.perf_counter()
            for _ in range(repeats):
                task()
            times[name, what].append(1000 * (time.perf_counter() - began) / repeats)
    # the first two rounds warm up
    quartiles = {key: np.percentile(values[2:], (25, 50, 75)) for key, values in times.items()}
    return [
        Measurement(name, what, median, low, high, quartiles[BASELINE, what][1] / median, parameters[name])
        for (name, what), (low, median, high) in ((key, map(float, value)) for key, value in quartiles.items())
    ]


def _contestants() -> Iterator[tuple[str, nn.Module]]:
    for encoder in ("mingru", "minlstm"):
        for tokens in ("merged", "interleaved"):
            yield f"{encoder} {tokens}", DecisionModel(model_config(encoder, tokens))
    yield BASELINE, _HuggingFace()


def model_config(encoder: str, tokens: Tokens, context: int = CONTEXT) -> ModelConfig:
    """Of a model of the benchmark's sizes."""
    return ModelConfig(
        observation_size=OBSERVATION,
        action_size=ACTION,
        action_low=(-1.0,) * ACTION,
        action_high=(1.0,) * ACTION,
        tokens=tokens,
        encoder=encoder,
        width=WIDTH,
        layers=LAYERS,
        context=context,
    )


class _HuggingFace(nn.Module):
    """`DecisionTransformerModel` behind the signature of `DecisionModel.forward`."""

    def __init__(self) -> None:
        super().__init__()
        try:
            from transformers import DecisionTransformerConfig, DecisionTransformerModel
        except ImportError as error:
            raise MissingExtraError("transformers", "bench") from error
        config = DecisionTransformerConfig(
            state_dim=OBSERVATION,
            act_dim=ACTION,
            hidden_size=WIDTH,
            n_layer=LAYERS,
            n_head=1,
            n_inner=4 * WIDTH,
            max_ep_len=1000,
            bos_token_id=0,
            eos_token_id=0,
        )
        self.model = DecisionTransformerModel(config)

    def forward(self, returns_to_go: Tensor, observations: Tensor, actions: Tensor) -> tuple[Tensor, None]:
        batch, steps = returns_to_go.shape
        result = self.model(
            states=observations,
            actions=actions,
            rewards=None,
            returns_to_go=returns_to_go[..., None],
            timesteps=torch.arange(steps).expand(batch, steps),
            attention_mask=torch.ones(batch, steps, dtype=torch.long),
            return_dict=True,
        )
        return result.action_preds, None


def random_batch(batch: int = BATCH, context: int = CONTEXT) -> Batch:
    """What one update is computed from."""
    shape = (batch, context)
    return Batch(
        returns_to_go=torch.rand(shape),
        observations=torch.randn(*shape, OBSERVATION),
        previous_actions=torch.rand(*shape, ACTION) * 2 - 1,
        actions=torch.rand(*shape, ACTION) * 2 - 1,
        mask=torch.ones(shape, dtype=torch.bool),
    )


def update_task(model: nn.Module, batch: Batch) -> Callable[[], object]:
    """Forward, loss, backward, clip, AdamW."""
    optimizer = build_optimizer(model, TrainConfig("none"))

    def update() -> None:
        predicted, _ = model(batch.returns_to_go, batch.observations, batch.previous_actions)
        loss = action_loss(predicted, batch.actions, batch.mask)
        optimizer.zero_grad()
        loss.backward()
        clip_gradient(optimizer, 0.25)
        optimizer.step()

    return update


def step_task(model: nn.Module, count: int) -> Callable[[], object]:
    """One step of `count` environments, from numpy observations and rewards to numpy actions.

    With a carried state; the baseline shifts its window by one step and feeds it again, as its documentation does.
    """
    observations, rewards = np.zeros((count, OBSERVATION), np.float32), np.zeros(count, np.float32)
    if isinstance(model, DecisionModel):
        policy = Policy(model)
        policy.reset(count, 0.0)
        return lambda: policy.act(observations, rewards)
    returns, seen = torch.zeros(count, CONTEXT), torch.zeros(count, CONTEXT, OBSERVATION)
    actions = torch.zeros(count, CONTEXT, ACTION)

    @torch.no_grad()
    def feed_again() -> object:
        nonlocal returns, seen, actions
        returns = torch.cat([returns[:, 1:], returns[:, -1:] - torch.from_numpy(rewards)[:, None]], dim=1)
        seen = torch.cat([seen[:, 1:], torch.from_numpy(observations)[:, None]], dim=1)
        actions = torch.cat([actions[:, 1:], torch.zeros(count, 1, ACTION)], dim=1)
        predicted, _ = model(returns, seen, actions)
        actions[:, -1] = predicted[:, -1]
        return predicted[:, -1].numpy()

    return feed_again
