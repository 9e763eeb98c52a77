"""Soft actor-critic, as stable-baselines3 implements it: this is the only file that imports stable_baselines3.

Networks, losses, optimisers and the replay buffer are stable-baselines3's, at its default settings: two layers of 256
ReLU, batches of 256, learning rate 3e-4, discount 0.99, a learned temperature, one update for each step of an
environment. Its loop over environments is replaced by one that knows the seed of every episode and leaves nothing out,
so that training can stop after any step and go on as if it had not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from decision_minrnn.collection.actor import GaussianActor, actor_from_weights
from decision_minrnn.collection.replay import Transitions
from decision_minrnn.envs import Environments
from decision_minrnn.errors import MissingExtraError


class SAC:
    """An actor and its critics in training, in as many environments at once as there are copies.

    Draws from torch's and numpy's global generators, as stable-baselines3 does: used inside `seeded` and
    `restored_generators`.
    """

    def __init__(
        self,
        environments: Environments,
        seed_of: Callable[[int], int],
        *,
        capacity: int,
        warmup: int,
        seed: int,
        device: torch.device,
    ) -> None:
        """Begin an episode in every environment.

        Args:
            environments: to train in.
            seed_of: the seed of an episode, by its number.
            capacity: steps that the replay buffer holds: as many as will be taken, so that none is overwritten.
            warmup: steps with uniform actions, before the first update.
            seed: of initial weights, actions and batches.
            device: where the networks are.

        Raises:
            MissingExtraError: stable-baselines3 is not installed.
        """
        try:
            import stable_baselines3
            from stable_baselines3.common.logger import Logger
        except ImportError as error:
            raise MissingExtraError("stable-baselines3", "collect") from error
        # the environment is only asked for its spaces
        self._sac = stable_baselines3.SAC("MlpPolicy", environments[0], buffer_size=capacity, seed=seed, device=device)
        self._sac.set_logger(Logger(None, []))
        assert self._sac.replay_buffer is not None
        self._buffer = self._sac.replay_buffer
        self._environments, self._seed_of, self._warmup, self._seed = environments, seed_of, warmup, seed
        self.steps = 0
        """Steps taken, in all environments together."""
        self._begun = 0
        """Episodes begun."""
        self._episodes = np.zeros(len(environments), np.int64)
        """Number of the episode that each environment is in."""
        self._observations = np.zeros((len(environments), environments.observation_size), np.float32)
        for index in range(len(environments)):
            self._begin(index)

    def step(self) -> None:
        """Take one step in every environment, and make as many updates."""
        shape, policy = (len(self._environments), self._environments.action_size), self._sac.policy
        if self.steps < self._warmup:
            scaled = np.random.default_rng((self._seed, self.steps)).uniform(-1, 1, shape)
        else:
            scaled = policy.scale_action(self._sac.predict(self._observations)[0])
        scaled = scaled.astype(np.float32)
        for index, action in enumerate(policy.unscale_action(scaled)):
            observation, reward, terminated, truncated = self._environments.step(index, action)
            over, cut = np.array(terminated or truncated), truncated and not terminated
            information = [{"TimeLimit.truncated": cut}]
            self._buffer.add(self._observations[index], observation, scaled[index], np.array(reward), over, information)
            self._observations[index] = observation
            if over:
                self._begin(index)
        self.steps += len(scaled)
        if self.steps > self._warmup:
            self._sac.train(len(scaled), self._sac.batch_size)

    def actor(self) -> GaussianActor:
        """A copy of the present actor."""
        return actor_from_weights(self._sac.actor.state_dict())

    def transitions(self, start: int = 0) -> Transitions:
        """The steps from number `start` on."""
        buffer, rows = self._buffer, (slice(start, self.steps), 0)
        over, cut = buffer.dones[rows] > 0, buffer.timeouts[rows] > 0
        return Transitions(
            observations=buffer.observations[rows].astype(np.float32),
            actions=buffer.actions[rows].astype(np.float32),
            rewards=buffer.rewards[rows].copy(),
            next_observations=buffer.next_observations[rows].astype(np.float32),
            terminated=over & ~cut,
            truncated=cut,
        )

    def state(self) -> dict[str, Any]:
        """What training goes on from, beside the transitions: tensors and plain data."""
        assert self._sac.log_ent_coef is not None
        numbers: Any = np.random.get_state(legacy=False)
        state = {
            "parameters": self._sac.get_parameters(),
            "log_temperature": self._sac.log_ent_coef.detach(),
            "steps": self.steps,
            "begun": self._begun,
            "episodes": self._episodes.tolist(),
            "generator/numpy": (torch.from_numpy(numbers["state"]["key"].astype(np.int64)), numbers["state"]["pos"]),
            "generator/torch": torch.get_rng_state(),
        }
        if self._sac.device.type == "cuda":
            state["generator/cuda"] = torch.cuda.get_rng_state(self._sac.device)
        return state

    def restore(self, state: dict[str, Any], transitions: Transitions) -> bool:
        """The inverse of `state` and `transitions()`: training goes on as if it had never stopped.

        The episodes under way are run again with their seeds and actions. Where an environment answers otherwise than
        before, its episode is truncated where it was and a new one begins; returns whether that was so.

        Raises `KeyError`, `ValueError` or `RuntimeError` for a state of other settings or another version.
        """
        self._sac.set_parameters(state["parameters"], device=self._sac.device)
        assert self._sac.log_ent_coef is not None
        self._sac.log_ent_coef.data.copy_(state["log_temperature"])
        self.steps, self._begun, self._episodes[:] = state["steps"], state["begun"], state["episodes"]
        buffer, rows = self._buffer, (slice(0, self.steps), 0)
        buffer.observations[rows] = transitions.observations
        buffer.actions[rows] = transitions.actions
        buffer.rewards[rows] = transitions.rewards
        buffer.next_observations[rows] = transitions.next_observations
        buffer.dones[rows] = transitions.terminated | transitions.truncated
        buffer.timeouts[rows] = transitions.truncated
        buffer.pos = self.steps
        repeated = [self._repeat(index) for index in range(len(self._environments))]
        key, position = state["generator/numpy"]
        numbers = {"key": key.numpy().astype(np.uint32), "pos": position}
        np.random.set_state({"bit_generator": "MT19937", "state": numbers})
        torch.set_rng_state(state["generator/torch"])
        if "generator/cuda" in state and self._sac.device.type == "cuda":
            torch.cuda.set_rng_state(state["generator/cuda"], self._sac.device)
        return not all(repeated)

    def _begin(self, index: int) -> None:
        """Start the next episode in one environment."""
        self._episodes[index] = self._begun
        self._observations[index] = self._environments.reset(index, self._seed_of(self._begun))
        self._begun += 1

    def _repeat(self, index: int) -> bool:
        """Run the episode again that one environment was in; False if it came out otherwise, and was cut."""
        rows = np.arange(index, self.steps, len(self._environments))
        ends = np.flatnonzero(self._buffer.dones[rows, 0])
        rows = rows[ends[-1] + 1 :] if len(ends) else rows
        observation = self._environments.reset(index, self._seed_of(int(self._episodes[index])))
        for action in self._sac.policy.unscale_action(self._buffer.actions[rows, 0]):
            observation = self._environments.step(index, action).observation
        self._observations[index] = observation
        if not len(rows) or (observation == self._buffer.next_observations[rows[-1], 0]).all():
            return True
        self._buffer.dones[rows[-1], 0] = self._buffer.timeouts[rows[-1], 0] = 1
        self._begin(index)
        return False


@contextmanager
def restored_generators() -> Iterator[None]:
    """Give the caller numpy's and Python's global generators back as they were: stable-baselines3 seeds them."""
    before = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        np.random.set_state(before[0])
        random.setstate(before[1])
