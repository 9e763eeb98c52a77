"""gymnasium environments, the only file that imports gymnasium."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from decision_minrnn.errors import ConfigError, UnknownNameError


class Transition(NamedTuple):
    """What one step of an environment returns."""

    observation: Float[ndarray, " observation"]
    reward: float
    terminated: bool
    truncated: bool


class Environments:
    """Independent copies of one environment, each reset and stepped by its number.

    Not a gymnasium vector environment: there a copy whose episode has ended is either reset unasked or must be stepped
    on, while evaluation wants one seed for each episode and no step that counts for nothing.
    """

    def __init__(self, env_id: str, count: int = 1, **options: Any) -> None:
        """`options` go to `gymnasium.make`.

        Raises:
            UnknownNameError: no environment is registered under `env_id`.
            ConfigError: it cannot be made, or its spaces are not vectors of real numbers.
        """
        import gymnasium
        from gymnasium.spaces import Box

        if env_id not in gymnasium.registry:
            raise UnknownNameError("environment", env_id, gymnasium.registry, "It must be registered with gymnasium.")
        with warnings.catch_warnings():
            # gymnasium announces newer versions of an environment; which one is used is this caller's decision
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", message=".*is out of date.*")
            try:
                self._copies = [gymnasium.make(env_id, **options) for _ in range(count)]
            except (gymnasium.error.Error, ImportError) as error:
                raise ConfigError(f"cannot make the environment {env_id}: {error}") from error
        self.env_id = env_id
        space, actions = self._copies[0].observation_space, self._copies[0].action_space
        for what, box in (("observations", space), ("actions", actions)):
            if not isinstance(box, Box) or box.shape is None or len(box.shape) != 1:
                raise ConfigError(f"{env_id} has {what} of the space {box}; expected a vector (a Box of one axis).")
        assert isinstance(actions, Box)
        self.observation_size = int(space.shape[0])  # type: ignore[index]
        self.action_size = int(actions.shape[0])
        self._low, self._high = actions.low, actions.high

    def __len__(self) -> int:
        return len(self._copies)

    def check_sizes(self, observation_size: int, action_size: int) -> None:
        """Raise `ConfigError` unless observations and actions have the sizes that a policy is trained for."""
        if (self.observation_size, self.action_size) != (observation_size, action_size):
            raise ConfigError(
                f"{self.env_id} has observations of size {self.observation_size} and actions of size "
                f"{self.action_size}, but the policy is trained for {observation_size} and {action_size}. "
                "Name the environment of its data with --env."
            )

    def reset(self, index: int, seed: int) -> Float[ndarray, " observation"]:
        """Start an episode in one copy; the same seed gives the same episode whatever was run there before."""
        observation, _ = self._copies[index].reset(seed=seed)
        return np.asarray(observation, np.float32)

    def step(self, index: int, action: Float[ndarray, " action"]) -> Transition:
        """Take one action in one copy; actions are clipped to the space's bounds."""
        clipped = np.clip(action, self._low, self._high)
        observation, reward, terminated, truncated, _ = self._copies[index].step(clipped)
        return Transition(np.asarray(observation, np.float32), float(reward), bool(terminated), bool(truncated))

    def set_state(
        self, index: int, positions: Float[ndarray, " position"], velocities: Float[ndarray, " velocity"]
    ) -> Float[ndarray, " observation"]:
        """Put one copy of a MuJoCo environment into a state of its simulator, `qpos` and `qvel`; returns what it sees.

        The copy must have been reset. Raises `ConfigError` for an environment without such states, or of other sizes.
        """
        copy: Any = self._copies[index].unwrapped
        if not (hasattr(copy, "set_state") and hasattr(copy, "_get_obs") and hasattr(copy, "model")):
            raise ConfigError(f"{self.env_id} has no simulator state that can be set; MuJoCo's environments have one.")
        expected, found = (copy.model.nq, copy.model.nv), (len(positions), len(velocities))
        if found != expected:
            raise ConfigError(f"{self.env_id} has states of the sizes {expected}, but {found} were given.")
        copy.set_state(np.asarray(positions, np.float64), np.asarray(velocities, np.float64))
        return np.asarray(copy._get_obs(), np.float32)

    def close(self) -> None:
        """Free the simulators."""
        for copy in self._copies:
            copy.close()

    def __enter__(self) -> Environments:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
