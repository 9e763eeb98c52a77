"""From random actions to a policy that does better: recorded in a file, trained on and evaluated.

What is asked of a policy was fixed beforehand: the target of the card, else the highest return in the data; the last
checkpoint; a mean over episodes of two ranges of seeds that exceeds the data's mean by a margin of several standard
errors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import decision_minrnn as dm
from decision_minrnn.cards import env_card
from decision_minrnn.envs import Environments


def record(path: Path, env_id: str, episodes: int, seed: int = 0) -> None:
    """Episodes of a policy that draws every action from the action space, as an npz file in D4RL's layout."""
    import gymnasium

    Environments(env_id).close()  # registers it
    env = gymnasium.make(env_id)
    env.action_space.seed(seed)
    rows = []
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed + episode)
        over = False
        while not over:
            action = env.action_space.sample()
            following, reward, terminated, truncated, _ = env.step(action)
            rows.append((observation, action, reward, terminated, truncated))
            observation, over = following, terminated or truncated
    env.close()
    names = ("observations", "actions", "rewards", "terminals", "timeouts")
    arrays = dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))
    np.savez(path, **arrays, **{"metadata/env_id": np.array(env_id)})


@pytest.mark.parametrize(
    ("env_id", "recorded", "evaluated", "settings", "margin"),
    [
        ("CartPole-v1", 500, 50, {"updates": 300, "width": 32, "context": 20}, 30),
        pytest.param(
            "Pendulum-v1", 500, 300, {"updates": 1000, "width": 32, "context": 20}, 40, marks=pytest.mark.slow
        ),
        pytest.param(
            "AdroitHandPen-v1", 200, 50, {"updates": 1000, "width": 64, "context": 10}, 400, marks=pytest.mark.slow
        ),
    ],
)
def test_a_policy_from_random_actions_beats_them(
    tmp_path: Path, env_id: str, recorded: int, evaluated: int, settings: dict[str, int], margin: float
) -> None:
    record(tmp_path / "random.npz", env_id, recorded)
    data = dm.load_dataset(tmp_path / "random.npz")
    assert data.env == env_card(env_id)
    config = dm.TrainConfig(
        str(tmp_path / "random.npz"),
        **{"layers": 2, "batch_size": 64, "warmup": 100, "threads": 1, "device": "cpu"} | settings,  # type: ignore[arg-type]
        episodes=evaluated,
        out=str(tmp_path / "run"),
    )
    run = dm.train(config, data)
    assert run.evaluation is not None
    (first,) = run.evaluation.targets
    assert first.target_return == (data.env.targets or (data.returns.max(),))[0]
    (second,) = dm.evaluate(run.policy, env_id, [first.target_return], episodes=evaluated, seed=50_000).targets
    print(f"{env_id}: data {data.returns.mean():.1f}, policy {first.return_mean:.1f} and {second.return_mean:.1f}")
    assert min(first.return_mean, second.return_mean) > data.returns.mean() + margin
