"""gymnasium environments, the only file that imports gymnasium."""

from __future__ import annotations

import warnings
from contextlib import suppress
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer, UInt8
from numpy import ndarray

from decision_minrnn.cards import EnvCard, card_listing
from decision_minrnn.errors import ConfigError, DecisionMinRNNError, UnknownNameError
from decision_minrnn.registration import registration

if TYPE_CHECKING:
    import gymnasium
    from gymnasium.envs.registration import EnvSpec


class Transition(NamedTuple):
    """What one step of an environment returns."""

    observation: Float[ndarray, " observation"]
    reward: float
    terminated: bool
    truncated: bool


class Fault(NamedTuple):
    """What came in the place of a transition: why the environment failed."""

    reason: str


Order = int | Float[ndarray, " action"] | Integer[ndarray, ""]
"""What a copy is to do: start the episode of a seed, or take an action."""


def is_registered(env_id: str) -> bool:
    """Whether gymnasium knows an environment of that id."""
    import gymnasium

    return env_id in gymnasium.registry


def register_spec(spec: EnvSpec) -> None:
    """Make an environment known that another process has registered."""
    from gymnasium import registry

    registry.setdefault(spec.id, spec)


def _register(env_id: str, card: EnvCard | None) -> None:
    """See that gymnasium knows an id, with its card's help if need be."""
    from gymnasium import registry

    if env_id in registry:
        return
    if card is None or env_id not in card.ids:
        card = card_listing(env_id)
    if card is None or not card.register:
        raise UnknownNameError(
            "environment",
            env_id,
            registry,
            "It must be registered with gymnasium. If the card that does so is not in a card folder, give its path "
            "with --env, for each command anew.",
        )
    register = registration(card)
    if env_id not in registry:  # importing it may have been enough
        register()
    if env_id not in registry:
        raise ConfigError(
            f"the card {card.path or card.name} lists {env_id}, but {card.register} did not register that id."
        )


class Environments:
    """Independent copies of one environment, each reset and stepped by its number.

    Not a gymnasium vector environment: there a copy whose episode has ended is either reset unasked or must be stepped
    on, while evaluation wants one seed for each episode and no step that counts for nothing.
    """

    def __init__(self, env_id: str, count: int = 1, *, card: EnvCard | None = None, **options: Any) -> None:
        """`options` go to `gymnasium.make`.

        An id that gymnasium does not know is registered by the function that its card names: the given `card`, or the
        one in the card folders that lists the id.

        Raises:
            UnknownNameError: no environment is registered under `env_id`.
            ConfigError: it cannot be registered or made, or its spaces are not vectors of real numbers.
        """
        import gymnasium
        from gymnasium.spaces import Box, Discrete

        _register(env_id, card)
        self.env_id, self.options = env_id, options
        try:
            self._copies: list[gymnasium.Env[Any, Any] | None] = [self._make() for _ in range(count)]
        except (gymnasium.error.Error, ImportError) as error:
            raise ConfigError(f"cannot make the environment {env_id}: {error}") from error
        first = self[0]
        space, actions = first.observation_space, first.action_space
        if not isinstance(space, Box) or len(space.shape) != 1:
            raise ConfigError(f"{env_id} has observations of the space {space}; expected a vector (a Box of one axis).")
        self.observation_size = space.shape[0]
        self.discrete = isinstance(actions, Discrete)
        """Whether an action is a choice: an index from 0 to below `action_size`."""
        if isinstance(actions, Discrete):
            self.action_size, self._start = int(actions.n), int(actions.start)
            self.action_low, self.action_high = np.zeros(1, np.float32), np.full(1, actions.n - 1, np.float32)
        elif isinstance(actions, Box) and len(actions.shape) == 1:
            self.action_size, self.action_low, self.action_high = actions.shape[0], actions.low, actions.high
        else:
            raise ConfigError(
                f"{env_id} has actions of the space {actions}; expected a vector (a Box of one axis) or a choice "
                "(Discrete)."
            )

    def _make(self) -> gymnasium.Env[Any, Any]:
        import gymnasium

        with warnings.catch_warnings():
            # gymnasium announces newer versions of an environment; which one is used is this caller's decision
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", message=".*is out of date.*")
            return gymnasium.make(self.env_id, **self.options)

    @property
    def spec(self) -> EnvSpec:
        """What `gymnasium.make` made the copies from."""
        import gymnasium

        return gymnasium.spec(self.env_id)

    def __len__(self) -> int:
        return len(self._copies)

    def __getitem__(self, index: int) -> gymnasium.Env[Any, Any]:
        """One copy, for libraries that ask for gymnasium's own interface."""
        copy = self._copies[index]
        if copy is None:
            copy = self._copies[index] = self._make()
        return copy

    def check_sizes(self, observation_size: int, action_size: int, discrete: bool = False) -> None:
        """Raise `ConfigError` unless observations and actions are those that a policy is trained for."""
        if (self.observation_size, self.action_size, self.discrete) != (observation_size, action_size, discrete):
            raise ConfigError(
                f"{self.env_id} has {_sizes(self.observation_size, self.action_size, self.discrete)}, but the policy "
                f"is trained for {_sizes(observation_size, action_size, discrete)}. "
                "Name the environment that it was trained in."
            )

    def reset(self, index: int, seed: int) -> Float[ndarray, " observation"]:
        """Start an episode in one copy; the same seed gives the same episode whatever was run there before."""
        observation, _ = self[index].reset(seed=seed)
        return np.asarray(observation, np.float32)

    def step(self, index: int, action: Float[ndarray, " action"] | Integer[ndarray, ""]) -> Transition:
        """Take one action in one copy: a vector, clipped to the space's bounds, or an index."""
        taken: Any = np.clip(action, self.action_low, self.action_high)
        if self.discrete:
            taken = self._start + int(taken.item())
        observation, reward, terminated, truncated, _ = self[index].step(taken)
        return Transition(np.asarray(observation, np.float32), float(reward), bool(terminated), bool(truncated))

    def obey(self, index: int, order: Order) -> Transition | Fault:
        """Reset or step one copy; an exception or a number that is not finite is a fault, after which it is made anew.

        A reset is a transition without reward.
        """
        try:
            if isinstance(order, int):
                outcome = Transition(self.reset(index, order), 0.0, False, False)
            else:
                outcome = self.step(index, order)
        except DecisionMinRNNError:
            raise
        except Exception as error:
            fault = Fault(f"{type(error).__name__}: {error}")
        else:
            if isfinite(outcome.reward) and np.isfinite(outcome.observation).all():
                return outcome
            what = "an observation" if isfinite(outcome.reward) else "a reward"
            fault = Fault(f"{what} that is not finite")
        copy, self._copies[index] = self._copies[index], None
        with suppress(Exception):
            if copy is not None:
                copy.close()
        return fault

    def set_state(
        self, index: int, positions: Float[ndarray, " position"], velocities: Float[ndarray, " velocity"]
    ) -> Float[ndarray, " observation"]:
        """Put one copy of a MuJoCo environment into a state of its simulator, `qpos` and `qvel`; returns what it sees.

        The copy must have been reset. Raises `ConfigError` for an environment without such states, or of other sizes.
        """
        copy: Any = self[index].unwrapped
        if not (hasattr(copy, "set_state") and hasattr(copy, "_get_obs") and hasattr(copy, "model")):
            raise ConfigError(f"{self.env_id} has no simulator state that can be set; MuJoCo's environments have one.")
        expected, found = (copy.model.nq, copy.model.nv), (len(positions), len(velocities))
        if found != expected:
            raise ConfigError(f"{self.env_id} has states of the sizes {expected}, but {found} were given.")
        copy.set_state(np.asarray(positions, np.float64), np.asarray(velocities, np.float64))
        return np.asarray(copy._get_obs(), np.float32)

    def render(self, index: int) -> UInt8[ndarray, "height width 3"]:
        """What one copy looks like, for copies made with `render_mode="rgb_array"`.

        Raises `ConfigError` for an environment that cannot be drawn, or not on this machine.
        """
        try:
            frame: Any = self[index].render()
        except Exception as error:  # drawing is done by libraries of the environment's choice, which raise their own
            raise ConfigError(
                f"cannot draw {self.env_id}: {error}. MuJoCo draws without a display by EGL or OSMesa (Debian's "
                "packages libegl1 and libosmesa6), which MUJOCO_GL=egl or osmesa chooses."
            ) from error
        if not isinstance(frame, ndarray) or frame.ndim != 3:
            raise ConfigError(f"{self.env_id} cannot be drawn: it has no render mode rgb_array.")
        return frame[..., :3].astype(np.uint8)

    def close(self) -> None:
        """Free the simulators."""
        for copy in self._copies:
            if copy is not None:
                copy.close()

    def __enter__(self) -> Environments:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _sizes(observation_size: int, action_size: int, discrete: bool) -> str:
    actions = f"{action_size} discrete actions" if discrete else f"actions of size {action_size}"
    return f"observations of size {observation_size} and {actions}"
