"""Cards: every one of them loads and fits the others; what is refused in a card."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import gymnasium
import pytest

from decision_minrnn.cards import DatasetCard, EnvCard, card_folders, dataset_cards, env_card, env_cards, read_card
from decision_minrnn.data.resolve import d4rl_file_name
from decision_minrnn.envs import Environments
from decision_minrnn.errors import ConfigError, UnknownNameError


@pytest.mark.parametrize("name", sorted(env_cards()))
def test_an_environment_card_describes_its_environments(name: str) -> None:
    card = env_card(name)
    assert bool(card.ids) != bool(card.no_environment)
    for env_id in card.ids:
        assert env_card(env_id) == card
        Environments(env_id).close()  # registers it, if need be
        with pytest.warns(DeprecationWarning, match="out of date") if env_id.endswith("-v4") else nullcontext():
            env = gymnasium.make(env_id)
        assert env.observation_space.shape == (card.observation_size,)
        if card.discrete:
            assert env.action_space == gymnasium.spaces.Discrete(card.action_size)
        else:
            assert isinstance(env.action_space, gymnasium.spaces.Box)
            assert env.action_space.shape == (card.action_size,)
            assert (env.action_space.low == card.action_low).all()
            assert (env.action_space.high == card.action_high).all()
        assert env.spec is not None
        assert env.spec.max_episode_steps == card.episode_limit
        env.close()
    assert list(card.targets) == sorted(card.targets, reverse=True)
    assert all(reference.min < reference.max for reference in card.references.values())


@pytest.mark.parametrize("name", sorted(dataset_cards()))
def test_a_dataset_card_fits_its_environment_card(name: str) -> None:
    card = dataset_cards()[name]
    assert card.name == name
    env = env_card(card.env)
    assert card.env_id in env.ids or (not card.env_id and env.no_environment)
    if card.source == "d4rl":
        assert card.location == d4rl_file_name(name)
        assert card.urls[0] == f"http://rail.eecs.berkeley.edu/datasets/offline_rl/gym_mujoco_v2/{card.location}"
        assert (len(card.sha256) == 64 and card.size_bytes > 0) or (not card.sha256 and not card.size_bytes)


def test_the_datasets_of_d4rl_and_of_minari_have_cards() -> None:
    four, paper = ("hopper", "halfcheetah", "walker2d", "ant"), ("medium", "medium-replay", "medium-expert")
    names = {f"{env}-{level}-v2" for env in four for level in (*paper, "random", "expert", "full-replay")}
    names |= {f"mujoco/{env}/{level}-v0" for env in four for level in ("simple", "medium", "expert")}
    cards = dataset_cards()
    assert set(cards) == names | {"hopper-medium"}
    assert all(cards[f"{env}-{level}-v2"].sha256 for env in four[:3] for level in paper)
    aliases = [alias for card in cards.values() for alias in card.aliases]
    assert not set(aliases) & set(cards)


def test_reference_scores_by_hand() -> None:
    hopper = env_card("Hopper-v5").references["d4rl"]
    assert (hopper.min, hopper.max) == (-20.272305, 3234.3)
    assert "D4RL" in hopper.source
    assert env_card("hopper").targets == (3600, 1800)


def test_unknown_environment_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean hopper"):
        env_card("hoper")


def good(path: Path, **changes: str) -> Path:
    """A card file, with some of its lines replaced; an empty replacement leaves the line out."""
    lines = {
        "name": '"mine"',
        "source": '"embedded"',
        "location": '"mine.hdf5"',
        "env": '"hopper"',
        "env_id": '"Hopper-v5"',
        "description": '"Mine."',
    } | changes
    path.write_text("\n".join(f"{key} = {value}" for key, value in lines.items() if value))
    return path


def test_a_good_card(tmp_path: Path) -> None:
    card = read_card(good(tmp_path / "mine.toml", steps="5", return_mean="2", aliases='["own"]'), DatasetCard)
    assert (card.steps, card.return_mean, card.aliases, card.sha256) == (5, 2.0, ("own",), "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": ""}, "a DatasetCard needs env"),
        ({"colour": '"red"'}, "unknown key colour"),
        ({"steps": '"many"'}, "steps: expected int, got 'many'"),
        ({"steps": "1.5"}, "steps: expected int"),
        ({"source": '"web"'}, "source: expected 'embedded' | 'd4rl' | 'minari'"),
        ({"name": "["}, "not valid TOML"),
    ],
)
def test_a_bad_card_is_refused_by_its_key(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    path = good(tmp_path / "mine.toml", **changes)
    with pytest.raises(ConfigError) as error:
        read_card(path, DatasetCard)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_card_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('env_id = "Mine-v0"')
    card = env_card(str(path))
    assert (card.name, card.ids, card.path) == ("mine", ("Mine-v0",), path)
    assert card == EnvCard("mine", "Mine-v0")


def test_the_id_of_a_card_by_what_is_preferred() -> None:
    card = EnvCard("hopper", env_ids={"d4rl": "Hopper-v4", "minari": "Hopper-v5"})
    assert card.choose_id() == "Hopper-v4"
    assert card.choose_id(kind="minari") == "Hopper-v5"
    assert card.choose_id("Hopper-v2", None, "Hopper-v5", kind="d4rl") == "Hopper-v5"
    assert EnvCard("mine", "Mine-v0").choose_id("Hopper-v5", kind="d4rl") == "Mine-v0"
    assert EnvCard("none").choose_id(kind="d4rl") is None


def test_a_card_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "envs").mkdir()
    text = (card_folders("envs")[0] / "hopper.toml").read_text(encoding="utf-8")
    own = tmp_path / "envs" / "mine.toml"
    own.write_text(text.replace('name = "hopper"', 'name = "mine"').replace("Hopper", "Mine"), encoding="utf-8")
    assert env_card(str(own)).env_ids["minari"] == "Mine-v5"
    with pytest.raises(UnknownNameError):
        env_card("mine")
    monkeypatch.setenv("DECISION_MINRNN_CARDS", str(tmp_path))
    assert env_card("Mine-v5") == env_card("mine") == read_card(own, EnvCard)
