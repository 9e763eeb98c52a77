"""Every setting of a recording. The text under a field is its help on the command line."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from math import isfinite
from typing import Literal, get_args

from decision_minrnn.config import require
from decision_minrnn.errors import ConfigError

Tier = Literal["random", "medium", "expert", "medium-replay", "medium-expert"]


@dataclass(frozen=True)
class SACSettings:
    """What a training depends on, beside its length."""

    env_id: str
    seed: int
    environments: int
    warmup: int
    evaluate_every: int
    evaluation_episodes: int


@dataclass(frozen=True)
class CollectConfig:
    """What to record, and how what acts is trained."""

    env: str
    """Environment: a card's name, a gymnasium id or the path of a card."""

    tier: Tier = "medium"
    """`random`: uniform actions. `medium`: the first evaluated policy of a training that is a third of the way from
    random to expert. `expert`: its last policy. `medium-replay`: all steps of the training up to medium.
    `medium-expert`: half and half."""

    steps: int | None = None
    """Steps to record, and as many more as the last episode needs; by default 1,000,000. A medium-replay set has those
    that the training took."""

    seed: int = 0
    """Seed of everything random: weights, actions and environments. A recording repeats to the bit on one machine and
    thread count."""

    policy: str | None = None
    """Record `medium` or `expert` with this policy in place of a trained one: an .npz file that this command kept, a
    .zip file of stable-baselines3's SAC, or a run folder of `train`."""

    target: float | None = None
    """Target return of the policy, where it is a run folder."""

    stop_return: float | None = None
    """Return from which a policy counts as medium, in place of the third of the way."""

    training_steps: int = 1_000_000
    """Steps of the whole training, after which the policy is the expert."""

    environments: int = 1
    """Environments to train in at once; one update is made for each step of each."""

    warmup: int = 1000
    """Steps with uniform actions before the first update."""

    evaluate_every: int = 5000
    """Steps between two evaluations. The policy of each is kept, and after a crash training goes on from the last."""

    evaluation_episodes: int = 10
    """Episodes of an evaluation."""

    reference_episodes: int = 100
    """Episodes from which the returns of random and expert are measured that the dataset names as its references."""

    device: str = "auto"
    """Where to train: cpu, cuda, or auto."""

    threads: int | None = None
    """CPU threads for tensor operations; by default PyTorch's own choice."""

    work: str | None = None
    """Folder of the training, from which the same command goes on, and from which other tiers are made; by default
    runs/sac__ENV__SEED."""

    out: str | None = None
    """Where to write the dataset: a Minari id, a folder, or a file that ends in .hdf5 or .npz; by default the Minari id
    decision-minrnn/ENV-TIER-v0."""

    overwrite: bool = False
    """Replace what is there."""

    def __post_init__(self) -> None:
        require(self, "tier", self.tier in get_args(Tier), " or ".join(get_args(Tier)))
        counts = ("training_steps", "environments", "evaluate_every", "evaluation_episodes", "reference_episodes")
        for name in (*counts, "steps", "threads"):
            value = getattr(self, name)
            require(self, name, value is None or value >= 1, "a whole number of at least 1")
        for name in ("seed", "warmup"):
            require(self, name, getattr(self, name) >= 0, "a whole number of at least 0")
        for name in ("target", "stop_return"):
            require(self, name, getattr(self, name) is None or isfinite(getattr(self, name)), "a finite number")
        for name, of in (("evaluate_every", "environments"), ("training_steps", "evaluate_every")):
            multiple = f"a multiple of --{of.replace('_', '-')} ({getattr(self, of)})"
            require(self, name, getattr(self, name) % getattr(self, of) == 0, multiple)
        if self.policy is not None and self.tier not in ("medium", "expert"):
            raise ConfigError(f"--policy records the tiers medium and expert, not {self.tier}.")
        if self.policy is None and self.target is not None:
            raise ConfigError("--target belongs to a run folder, which --policy names.")
        if self.tier == "medium-replay" and self.steps is not None:
            raise ConfigError("--steps: a medium-replay set has as many steps as its training took.")

    def training(self, env_id: str) -> SACSettings:
        """What the training depends on."""
        return SACSettings(
            env_id, self.seed, self.environments, self.warmup, self.evaluate_every, self.evaluation_episodes
        )

    def command(self) -> str:
        """The command line that asks for these settings."""
        words = ["decision-minrnn", "data", "collect", self.env, "--tier", self.tier]
        for setting in fields(self)[2:]:
            value = getattr(self, setting.name)
            if value != setting.default:
                flag = f"--{setting.name.replace('_', '-')}"
                words += [flag] if value is True else [flag, str(value)]
        return shlex.join(words)
