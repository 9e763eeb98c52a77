"""Cards: what is known of an environment or a dataset, one TOML file each in `envs/` and `datasets/`.

A card is data only; the function that an environment's card may name is run by `registration`. `env_card("hopper")`
finds the card of that name or the one that lists that gymnasium id (`env_card("Hopper-v5")`), and takes the path of a
user's own card as well. Cards in the folder that the environment variable `DECISION_MINRNN_CARDS` names (in its
subfolders `envs` and `datasets`) are found like the built-in ones.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.records import record_from_dict

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Kind = Literal["envs", "datasets"]
Source = Literal["embedded", "d4rl", "minari"]


@dataclass(frozen=True)
class Reference:
    """Two returns between which a score is normalised: `100 * (return - min) / (max - min)`."""

    min: float
    """Return of a random policy; scores 0."""
    max: float
    """Return of an expert policy; scores 100."""
    source: str
    """Where the two numbers come from."""


@dataclass(frozen=True)
class EnvCard:
    """An environment: how to make it, its sizes, and what its returns mean.

    All but a gymnasium id may be left out: what is not known is taken from the data, or not checked.
    """

    name: str
    """Short name, by default the card's file name."""
    env_id: str = ""
    """gymnasium id; `env_ids` in its place where it differs by the kind of data."""
    env_ids: Mapping[str, str] = field(default_factory=dict)
    """gymnasium id by the kind of data: `d4rl` for D4RL's recordings, `minari` for those of Minari and this project."""
    register: str = ""
    """`module:function` that registers the id with gymnasium, if importing gymnasium does not; see `registration`."""
    observation_size: int = 0
    """0: not known."""
    action_size: int = 0
    """0: not known."""
    action_low: float | None = None
    """Lowest action, in every dimension."""
    action_high: float | None = None
    """Highest action, in every dimension."""
    discrete: bool = False
    """Whether an action is one of `action_size` choices, rather than a vector of that size."""
    episode_limit: int = 0
    """Steps after which an episode is truncated; 0: not known."""
    return_scale: float | None = None
    """Returns-to-go are divided by it before they enter the model; by default the largest return in the data."""
    targets: tuple[float, ...] = ()
    """Usual target returns, highest first; by default the highest return in the data."""
    references: Mapping[str, Reference] = field(default_factory=dict)
    """By name: `d4rl`, or `card` for a reference of the card's own. Without any, there are no normalised scores."""
    no_environment: str = ""
    """Why there is no gymnasium id, where there is none: such data can be trained on, but not evaluated."""
    path: Path | None = field(default=None, init=False, compare=False)
    """The file that the card was read from."""

    @property
    def ids(self) -> tuple[str, ...]:
        """All gymnasium ids of the card."""
        return ((self.env_id,) if self.env_id else ()) + tuple(self.env_ids.values())

    def choose_id(self, *preferred: str | None, kind: str = "") -> str | None:
        """The first of the preferred ids that the card lists, else that for a kind of data, else the card's first."""
        listed = [env_id for env_id in preferred if env_id in self.ids]
        return next(iter((*listed, *filter(None, [self.env_ids.get(kind)]), *self.ids)), None)


@dataclass(frozen=True)
class DatasetCard:
    """A dataset: where it is, which environment it was recorded in, and what it holds."""

    name: str
    """The name under which it is asked for."""
    source: Source
    """Which reader and which place: embedded in this package, D4RL's cache folder, or Minari."""
    location: str
    """File or folder name there, or Minari id."""
    env: str
    """Name of the environment card."""
    description: str
    env_id: str = ""
    """gymnasium id to evaluate in: the nearest to what was recorded; empty where there is none."""
    urls: tuple[str, ...] = ()
    """Where the file can be downloaded, in the order in which they are tried."""
    sha256: str = ""
    """Of the published file; empty where it is not known, and so are the facts below."""
    size_bytes: int = 0
    steps: int = 0
    episodes: int = 0
    return_mean: float | None = None
    aliases: tuple[str, ...] = field(default=())


Card = TypeVar("Card", EnvCard, DatasetCard)


def card_folders(kind: Kind) -> list[Path]:
    """Where cards of a kind lie: the user's folder first, then the package's (in a wheel) or the repository's."""
    package = Path(__file__).resolve().parent
    built_in = package / "_cards" / kind
    folders = [built_in if built_in.is_dir() else package.parent / kind]
    if own := os.environ.get("DECISION_MINRNN_CARDS"):
        folders.insert(0, Path(own).expanduser() / kind)
    return folders


def env_card(name: str) -> EnvCard:
    """The environment card of that name, gymnasium id or path.

    Raises `UnknownNameError` where there is none, `ConfigError` where the card is not well formed.
    """
    if is_card_path(name):
        return read_card(Path(name), EnvCard)
    cards = env_cards()
    if name in cards:
        return cards[name]
    if card := card_listing(name):
        return card
    known = [*cards, *(env_id for card in cards.values() for env_id in card.ids)]
    raise UnknownNameError("environment", name, known, "Or give the path of a card (NAME.toml).")


def is_card_path(env: str) -> bool:
    """Whether an environment is given by the path of its card, rather than by name or gymnasium id."""
    return env.endswith(".toml")


def card_listing(env_id: str) -> EnvCard | None:
    """The card in the card folders that lists a gymnasium id."""
    return next((card for card in env_cards().values() if env_id in card.ids), None)


def env_cards() -> dict[str, EnvCard]:
    """All environment cards by name."""
    return _all_cards("envs", EnvCard)


def dataset_cards() -> dict[str, DatasetCard]:
    """All dataset cards by name."""
    return _all_cards("datasets", DatasetCard)


def _all_cards(kind: Kind, card_type: type[Card]) -> dict[str, Card]:
    cards: dict[str, Card] = {}
    for folder in card_folders(kind):
        for path in sorted(folder.glob("*.toml")):
            card = read_card(path, card_type)
            cards.setdefault(card.name, card)
    return cards


def read_card(path: Path, card_type: type[Card]) -> Card:
    """Read one TOML file as a card; a missing, unknown or wrongly typed key raises `ConfigError` that names it."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the card {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the card {path} is not valid TOML: {error}.") from error
    card = record_from_dict({"name": path.stem, **content}, card_type, str(path))
    if isinstance(card, EnvCard):
        object.__setattr__(card, "path", path.absolute())
    return card
