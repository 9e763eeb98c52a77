"""Policies of several seeds that learn at once: every update is one of all of them, as one stacked model.

Each has the initial weights, the batches, the clipped gradient and the moments that it would have alone, so that
without dropout its losses are those of its single run, but for rounding. Dropout is drawn for all together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from decision_minrnn.data.gathering import StepTable
from decision_minrnn.learner import NotFiniteError, PolicyLearner, Step
from decision_minrnn.losses import action_loss, choice_loss
from decision_minrnn.optimization import learning_rate, stacked_optimizer
from decision_minrnn.replay import DeviceUpdates, kept
from decision_minrnn.seeds.stacking import stack
from decision_minrnn.types import Batch, State


class MemberNotFiniteError(NotFiniteError):
    """The loss or gradient of one of several models is not finite; the weights of all are those before the update."""

    def __init__(self, member: int, step: Step, batch: Batch) -> None:
        super().__init__(step, batch)
        self.member = member


class SeedsLearner:
    """Several learners, of one configuration but for the seed, that are at the same update."""

    def __init__(self, members: Sequence[PolicyLearner]) -> None:
        """`members` have learnt nothing so far. They hold what was learnt, as if each had learnt alone."""
        self.members, first = members, members[0]
        self.config, self.device = first.config, first.device
        self.model = stack([member.model for member in members])
        self.optimizer = stacked_optimizer(self.model, self.config)
        self.carried: State | None = None
        for index, member in enumerate(members):
            member.sampler.table = first.sampler.table
            for parameter, own in zip(self.model.parameters(), member.model.parameters(), strict=True):
                moments = self.optimizer.state[parameter].items()
                member.optimizer.state[own] = {name: x if name == "step" else x[index] for name, x in moments}
        sampler = first.sampler
        self.updates = DeviceUpdates(
            sampler.table if sampler.table.device else StepTable(sampler.data, self.device),
            len(members) * self.config.batch_size,
            sampler.context,
            sampler.marked,
            self.optimizer,
            self._gradient,
            len(members),
        )

    def learn_on(self, limit: int) -> list[list[Step]]:
        """At least one update, and at most `limit`: what each showed, for each member.

        Raises `MemberNotFiniteError`.
        """
        self.model.train()
        count, update = min(limit, self.updates.stride), self.members[0].update
        drawn = [self._draw() for _ in range(count)]
        rates = [learning_rate(self.config, update + index) for index in range(count)]
        shown = self.updates.run(drawn, rates)
        steps = [
            [Step(loss, norm, rate) for (loss, norm), rate in zip(shown[..., index].tolist(), rates, strict=True)]
            for index in range(len(self.members))
        ]
        for index, of_update in enumerate(zip(*steps, strict=True)):
            for number, step in enumerate(of_update):
                if not step.is_finite:
                    self._reach(update + index)
                    batch = Batch._make(x if x is None else self._shares(x)[number] for x in self.updates.batch(index))
                    raise MemberNotFiniteError(number, step, batch)
        self._reach(update + count)
        return steps

    def _draw(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows of all members."""
        steps, masks = zip(*(member.sampler.draw() for member in self.members), strict=True)
        return np.concatenate(steps), np.concatenate(masks)

    def _reach(self, update: int) -> None:
        """Tell the members what was learnt."""
        for index, member in enumerate(self.members):
            member.update = update
            if self.carried is not None:
                member.carried[0] = tuple(self._shares(tensor)[index] for tensor in self.carried)

    def _shares(self, rows: Tensor) -> Tensor:
        """The rows of each member."""
        return rows.unflatten(0, (len(self.members), -1))

    def _gradient(self, batch: Batch) -> Float[Tensor, "two models"]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            predicted, state = self.model(
                batch.returns_to_go, batch.observations, batch.previous_actions, self.carried, batch.reset
            )
        loss = choice_loss if self.model.config.discrete else action_loss
        losses = torch.vmap(loss)(*map(self._shares, (predicted, batch.actions, batch.mask)))
        self.optimizer.zero_grad()
        losses.sum().backward()
        norms = self._clip()
        if batch.reset is not None:
            self.carried = kept(self.carried, tuple(tensor.detach() for tensor in state))
        return torch.stack([losses.detach(), norms])

    def _clip(self) -> Float[Tensor, " models"]:
        """Shrink each model's gradient to the limit; gives the norms before."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norms = torch.linalg.vector_norm(
            torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]), dim=0
        )
        shrinking = (norms / self.config.gradient_clip).clamp_min(1.0)
        for gradient in gradients:
            gradient.div_(shrinking.view(-1, *[1] * (gradient.ndim - 1)))
        return norms
