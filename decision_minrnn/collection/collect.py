"""`collect`: from a configuration to a dataset on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from decision_minrnn.cards import EnvCard, env_card
from decision_minrnn.collection.config import CollectConfig
from decision_minrnn.collection.tiers import Collected, Collection
from decision_minrnn.data import Trajectories, save_dataset
from decision_minrnn.data.saving import check_target
from decision_minrnn.devices import seeded, torch_device
from decision_minrnn.envs import Environments, is_registered
from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.interruption import Interruption, StopRequested, TrainingInterrupted
from decision_minrnn.progress import Progress
from decision_minrnn.versions import versions


def collect(config: CollectConfig, progress: Progress) -> tuple[Path, Trajectories]:
    """Train what is to act, if need be, record it, and write a dataset.

    Args:
        config: every setting.
        progress: shows how far it is.

    Returns:
        Where the dataset is, and what is in it.

    Raises:
        DecisionMinRNNError: a setting, policy, folder or target that cannot be used, before anything is written.
        MissingExtraError: stable-baselines3 is not installed, and something is to be trained.
        TrainingError: no trained policy is medium.
        TrainingInterrupted: SIGINT or SIGTERM came. What is trained is saved, and the same command goes on with it.
    """
    env_id, card = find_environment(config.env)
    name = f"{card.name if card else env_id.rpartition('/')[2].rpartition('-v')[0].lower()}-{config.tier}"
    target = config.out or f"decision-minrnn/{name}-v0"
    check_target(target, config.overwrite)
    threads = seeded(config.seed, torch_device(config.device), config.threads)
    with Environments(env_id, card=card) as environments, Interruption() as interruption, threads:
        reference = next(iter(card.references.values()), None) if card else None
        collection = Collection(config, environments, reference, progress)
        collection.train(interruption)
        try:
            with interruption.at_once():
                collected = collection.record()
        except StopRequested:
            assert interruption.signal_number is not None
            raise TrainingInterrupted(
                "stopped while recording: no dataset was written. The same command records it anew, and trains nothing "
                "twice.",
                interruption.signal_number,
            ) from None
        data = _trajectories(collected, environments, name, card)
        about = f"Tier {config.tier} in {env_id}: {collected.what}. Recorded by `{config.command()}` with " + ", ".join(
            f"{package} {version}" for package, version in versions("stable-baselines3").items()
        )
        path = save_dataset(data, target, algorithm=collected.algorithm, description=about, overwrite=config.overwrite)
    return path, data


def find_environment(name: str) -> tuple[str, EnvCard | None]:
    """The gymnasium id to record in, and its card where it has one, by a card's name, gymnasium id or path.

    Raises `UnknownNameError` for what is neither a card nor registered with gymnasium, `ConfigError` for a card without
    gymnasium id.
    """
    try:
        card = env_card(name)
    except UnknownNameError:
        if is_registered(name):
            return name, None
        raise
    env_id = card.choose_id(name, kind="minari")
    if env_id is None:
        raise ConfigError(f"nothing can be recorded in {card.name}: {card.no_environment or 'its card lists no id'}.")
    return env_id, card


def _trajectories(collected: Collected, environments: Environments, name: str, card: EnvCard | None) -> Trajectories:
    episodes = collected.episodes
    lengths = [len(episode.rewards) for episode in episodes]
    return Trajectories(
        observations=np.concatenate([episode.observations[:-1] for episode in episodes]),
        actions=np.concatenate([episode.actions for episode in episodes]),
        rewards=np.concatenate([episode.rewards for episode in episodes]),
        offsets=np.cumsum([0, *lengths], dtype=np.int64),
        terminated=np.array([episode.terminated for episode in episodes]),
        truncated=np.array([episode.truncated for episode in episodes]),
        final_observations=np.stack([episode.observations[-1] for episode in episodes]),
        name=name,
        source=f"{name}: {collected.what}, recorded in {environments.env_id}",
        choices=environments.action_size if environments.discrete else None,
        action_low=environments.action_low.astype(np.float32),
        action_high=environments.action_high.astype(np.float32),
        env_id=environments.env_id,
        env=card,
        references={"measured": collected.reference} if collected.reference else {},
    )
