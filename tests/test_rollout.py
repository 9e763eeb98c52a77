"""Rollouts and evaluations: bookkeeping where the returns are known, and results that do not depend on how many
episodes run at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import (
    LEDGER,
    constant_model,
    hopper_model,
    ledger_length,
    ledger_return,
    random_model,
    train_config,
    trajectories,
)

from decision_minrnn.cards import Reference
from decision_minrnn.envs import Environments
from decision_minrnn.episodes import EpisodeResult, rollout
from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.policy import Policy
from decision_minrnn.rollout import evaluate
from decision_minrnn.training import train

SEEDS = (4, 3, 10, 7, 5, 12, 9)


@pytest.mark.parametrize("count", [1, 3, 20])
def test_returns_lengths_and_ends_by_hand(count: int) -> None:
    ended: list[EpisodeResult] = []
    with Environments(LEDGER, count) as environments:
        results = rollout(Policy(constant_model(0.5)), environments, 30.0, SEEDS, ended.append)
    assert [result.seed for result in results] == list(SEEDS)
    assert [result.length for result in results] == [7, 6, 3, 5, 3, 5, 7]
    assert [result.terminated for result in results] == [True, False, True, False, False, True, False]
    expected = [ledger_return(seed, 0.5) for seed in SEEDS]
    assert expected[0] == 28 + 3.5
    np.testing.assert_allclose([result.episode_return for result in results], expected, rtol=1e-6)
    assert sorted(ended) == sorted(results)


def test_the_policy_is_told_what_the_environment_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(constant_model(-0.25))
    given: list[tuple[float, float, float]] = []
    act = Policy._act_carried

    def spy(self: Policy, returns: Any, observations: Any) -> Any:
        given.append((returns[0].item(), observations[0, 0].item(), self._previous_actions[0, 0].item()))
        return act(self, returns, observations)

    monkeypatch.setattr(Policy, "_act_carried", spy)
    with Environments(LEDGER) as environments:
        rollout(policy, environments, 100.0, [5, 6])
    paid = [0.75, 1.75, 2.75, 3.75]
    first = [(100 - sum(paid[:t]), t, -0.25 if t else 0) for t in range(ledger_length(5))]
    second = [(100 - sum(paid[:t]), t, -0.25 if t else 0) for t in range(ledger_length(6))]
    np.testing.assert_allclose(given, first + second, atol=1e-5)


def hopper_results(model: torch.nn.Module, memory: Any, count: int, seeds: range = range(22)) -> list[EpisodeResult]:
    with Environments("Hopper-v5", count) as environments:
        return rollout(Policy(model, memory), environments, 1000.0, seeds)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("memory", "tokens"),
    [("carried", "merged"), ("window", "merged"), ("reset", "merged"), ("carried", "interleaved")],
)
def test_an_episode_is_the_same_beside_any_number_of_others(memory: Any, tokens: str) -> None:
    model = hopper_model(tokens=tokens)
    results = {count: hopper_results(model, memory, count) for count in (1, 3, 20)}
    assert len({result.length for result in results[1]}) > 1
    assert results[1] == results[3] == results[20]


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["mingru", "minlstm"])
@pytest.mark.parametrize(("memory", "threads"), [("carried", 1), ("carried", 2), ("window", 1)])
def test_an_episode_is_the_same_beside_others_at_full_size(memory: Any, threads: int, encoder: str) -> None:
    model = hopper_model(encoder=encoder, width=128, layers=3, context=20)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        results = {count: hopper_results(model, memory, count) for count in (1, 3, 20)}
    finally:
        torch.set_num_threads(before)
    assert results[1] == results[3] == results[20]


def test_no_seeds_no_episodes() -> None:
    with Environments(LEDGER) as environments:
        assert rollout(Policy(random_model()), environments, 10.0, []) == []


def test_the_same_seeds_give_the_same_episodes_twice() -> None:
    policy = Policy(hopper_model())
    with Environments("Hopper-v5", 2) as environments:
        first = rollout(policy, environments, 1000.0, range(4))
        assert rollout(policy, environments, 1000.0, range(4)) == first
    assert len({result.episode_return for result in first}) == 4


def test_the_target_and_the_memory_make_a_difference() -> None:
    model = hopper_model()
    with Environments("Hopper-v5") as environments:
        one, other = (rollout(Policy(model), environments, target, [0]) for target in (0.0, 3000.0))
    assert one != other
    assert hopper_results(model, "carried", 1, range(3)) != hopper_results(model, "reset", 1, range(3))


def test_an_evaluation_by_hand() -> None:
    reference = Reference(min=-10.0, max=90.0, source="made up")
    evaluation = evaluate(
        Policy(constant_model(0.5), "window"),
        LEDGER,
        [30.0, 5.0],
        episodes=5,
        seed=0,
        reference=reference,
        reference_name="card",
        checkpoint="last, update 7 of 9",
    )
    # lengths 3 to 7: n (n + 1) / 2 + n / 2
    returns = np.array([7.5, 12, 17.5, 24, 31.5])
    row = evaluation.targets[0]
    assert (row.target_return, row.episodes, row.length_mean) == (30, 5, 5)
    np.testing.assert_allclose(row.returns, returns, rtol=1e-6)
    assert row.return_mean == pytest.approx(18.5)
    assert row.return_std == pytest.approx(returns.std())
    assert (row.return_min, row.return_max) == pytest.approx((7.5, 31.5))
    assert row.normalized_mean == pytest.approx(28.5)
    assert row.normalized_std == pytest.approx(returns.std())
    assert row.normalized_iqm == pytest.approx((12 + 17.5 + 24) / 3 + 10)
    assert row.ci95 is not None
    assert 17.5 < row.ci95[0] < 28.5 < row.ci95[1] < 41.5
    assert evaluation.targets[1].target_return == 5
    assert (evaluation.reference, evaluation.reference_min, evaluation.reference_max) == ("card", -10, 90)
    assert (evaluation.env_id, evaluation.memory, evaluation.checkpoint) == (LEDGER, "window", "last, update 7 of 9")
    assert evaluation.seeds == (0, 1, 2, 3, 4)
    assert evaluation.steps_per_second == pytest.approx(50 / evaluation.wall_seconds)
    assert evaluation.versions["torch"] == torch.__version__


def test_an_evaluation_as_json_has_what_was_promised() -> None:
    content = evaluate(Policy(random_model()), LEDGER, [30.0], episodes=2).to_dict()
    promised = "reference env_id memory checkpoint seeds versions steps_per_second wall_seconds targets"
    assert set(promised.split()) <= set(content)
    promised = (
        "target_return episodes return_mean return_std normalized_mean normalized_std normalized_iqm ci95 length_mean "
        "return_min return_max"
    )
    assert set(promised.split()) <= set(content["targets"][0])
    assert content["targets"][0]["normalized_mean"] is None


def test_scalars_are_named_after_their_target() -> None:
    reference = Reference(0.0, 100.0, "made up")
    evaluation = evaluate(
        Policy(constant_model(0.5)),
        LEDGER,
        np.array([30.0, 2.5]),
        episodes=1,
        seed=0,
        reference=reference,
        reference_name="card",
    )
    assert evaluation.scalars() == pytest.approx(
        {
            f"eval/{what}/{target}": value
            for target in ("30", "2.5")
            for what, value in (("return", 7.5), ("length", 3), ("normalized_score", 7.5))
        }
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"targets": []}, "at least one target return; give --targets"),
        ({"episodes": 0}, "at least 1 episode and 1 environment, got 0"),
        ({"environments": 0}, "at least 1 episode and 1 environment, got 20, 0"),
        ({"env_id": "Hopper-v5"}, "Hopper-v5 has observations of size 11 and actions of size 3"),
    ],
)
def test_evaluations_that_cannot_be_done(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(Policy(random_model()), **{"env_id": LEDGER, "targets": [1.0]} | settings)


def test_an_unknown_environment_names_its_neighbours() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean Hopper-v5"):
        evaluate(Policy(hopper_model()), "Hoper-v5", [1.0])


def test_the_policy_of_a_run_knows_what_it_is_evaluated_on(tmp_path: Path) -> None:
    run = train(train_config(tmp_path / "run", episodes=3), trajectories())
    policy = run.policy
    known = evaluate(policy, episodes=3)
    assert run.evaluation is not None
    for name in ("targets", "reference", "reference_min", "env_id", "memory", "checkpoint", "seeds"):
        assert getattr(known, name) == getattr(run.evaluation, name), name
    assert known.checkpoint == "last, update 12 of 12"
    other = evaluate(policy, targets=[7.0], episodes=1)
    assert [row.target_return for row in other.targets] == [7.0]
    assert policy.origin is not None
    assert (policy.origin.evaluation, policy.origin.update) == (run.evaluation, 12)
    elsewhere = replace(policy.origin.run, task=replace(policy.origin.run.task, env_id="Other-v0"))
    moved = Policy(policy.model, origin=replace(policy.origin, run=elsewhere))
    # the reference belongs to the task's environment
    assert evaluate(moved, LEDGER, episodes=1).reference is None


def test_a_policy_that_does_not_know_its_environment_asks_for_one() -> None:
    with pytest.raises(ConfigError, match=r"does not know its environment. Name one, as in evaluate\(policy, 'Hopper"):
        evaluate(Policy(random_model()))
    with pytest.raises(ConfigError, match="at least one target return"):
        evaluate(Policy(random_model()), LEDGER)
