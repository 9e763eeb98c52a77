"""`ControlStep`: what is exported, one step of a policy from arrays to arrays.

| input             | what                                        | at the first step | then                        |
|-------------------|---------------------------------------------|-------------------|-----------------------------|
| `observation`     | [B, O] float32, as the environment gives it | what is seen      | what is seen                |
| `reward`          | [B] float32                                 | 0                 | what the last action earned |
| `previous_action` | [B, A] float32; discrete: [B] int64         | 0; discrete: -1   | `action`                    |
| `return_to_go`    | [B] float32, in units of reward             | the target return | `next_return_to_go`         |
| `state`           | [B, S] float32, all tensors flattened (*)   | the initial state | `next_state`                |

| output              | what                                                                          |
|---------------------|-------------------------------------------------------------------------------|
| `action`            | [B, A] float32 within the action's bounds; discrete: [B] int64, the likeliest |
| `next_return_to_go` | [B] float32: `return_to_go` less `reward`                                     |
| `next_state`        | [B, S] float32                                                                |
| `logits`            | [B, A] float32, of discrete actions only: for a caller who wants to sample    |

(*) With interleaved tokens its last number says whether the episode has begun: the first step has no action to take in.

Rows are independent of each other: an episode starts in one of them with the values of the first step there, whatever
the others do.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn

from decision_minrnn.errors import ExportError
from decision_minrnn.policy import Policy

Arrays = Mapping[str, ndarray]
"""Inputs or outputs by name."""

INPUTS = ("observation", "reward", "previous_action", "return_to_go", "state")
OUTPUTS = ("action", "next_return_to_go", "next_state")
NO_ACTION = -1
"""The discrete `previous_action` of a first step."""


class ControlStep(nn.Module):
    """The step of a policy whose memory is carried; raises `ExportError` for one whose memory is not."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        if policy.memory != "carried":
            raise ExportError(
                f"a policy with {policy.memory} memory cannot be exported, since a step is more than an update of its "
                "state. Export it with carried memory."
            )
        model = deepcopy(policy.model).cpu()
        self.config = model.config
        with torch.no_grad():
            # what the step needs of the weights is made here, so that only the step itself is exported
            self._step = model.requires_grad_(False).stepper()
            initial = model.initial_state(1)
        self._shapes = [tuple(part.shape[1:]) for part in initial]
        self._sizes = [part[0].numel() for part in initial]
        self._marked = model.config.tokens == "interleaved"
        """Whether the last number of the state says that the episode has begun: its first step takes no action in."""
        parts = [part.flatten() for part in initial] + [torch.zeros(1)] * self._marked
        self.initial_state = torch.cat(parts).numpy() if parts else np.zeros(0, "f4")
        """[S], what `state` is at the first step."""
        self.eval()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what `forward` returns."""
        return (*OUTPUTS, "logits") if self.config.discrete else OUTPUTS

    def start(self, batch_size: int, target_return: float) -> dict[str, ndarray]:
        """The inputs of the first step, but for the observation."""
        discrete, size = self.config.discrete, self.config.action_size
        return {
            "reward": np.zeros(batch_size, np.float32),
            "previous_action": np.full(batch_size, NO_ACTION) if discrete else np.zeros((batch_size, size), np.float32),
            "return_to_go": np.full(batch_size, target_return, np.float32),
            "state": np.tile(self.initial_state, (batch_size, 1)),
        }

    def forward(
        self, observation: Tensor, reward: Tensor, previous_action: Tensor, return_to_go: Tensor, state: Tensor
    ) -> tuple[Tensor, ...]:
        """One step; see the tables above."""
        remaining = return_to_go - reward
        if self.config.discrete:
            choices = torch.arange(self.config.action_size)
            previous_action = (previous_action[:, None] == choices).to(observation.dtype)
        reset = state[:, -1] == 0 if self._marked else None
        flat = state[:, : sum(self._sizes)].split(self._sizes, 1) if self._sizes else ()
        parts = tuple(part.reshape(-1, *shape) for part, shape in zip(flat, self._shapes, strict=True))
        predicted, after = self._step(remaining, observation, previous_action, parts, reset)
        numbers = [part.flatten(1) for part in after] + [torch.ones_like(state[:, -1:])] * self._marked
        # a memoryless encoder's state of no numbers is handed on
        next_state = torch.cat(numbers, dim=1) if numbers else state + 0
        if self.config.discrete:
            return predicted.argmax(dim=1), remaining, next_state, predicted
        return predicted, remaining, next_state
