"""`decision-minrnn data ...`: which datasets there are, what is in one, and what can be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.extras import subcommand_cli_from_dict

if TYPE_CHECKING:
    from rich.console import Console

    from decision_minrnn.cards import DatasetCard
    from decision_minrnn.data import Trajectories


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    from decision_minrnn.cli.cache import show_cache
    from decision_minrnn.cli.check import check_dataset
    from decision_minrnn.cli.collect import collect_dataset
    from decision_minrnn.cli.convert import convert
    from decision_minrnn.cli.plot import plot_dataset

    commands: dict[str, Any] = {
        "list": list_datasets,
        "show": show_dataset,
        "check": check_dataset,
        "plot": plot_dataset,
        "download": download_datasets,
        "convert": convert,
        "collect": collect_dataset,
        "cache": show_cache,
    }
    subcommand_cli_from_dict(
        commands,
        prog="decision-minrnn data",
        description="List, describe, check, plot, convert, download and record datasets.",
        args=list(arguments),
    )


def list_datasets(json: str | None = None) -> None:
    """List the datasets that have a card, and say which of them are on this machine.

    Args:
        json: Write the list as JSON to this file, or to standard output if "-".
    """
    from decision_minrnn.cards import dataset_cards
    from decision_minrnn.files import write_json

    order = {"embedded": 0, "d4rl": 1, "minari": 2}
    cards = sorted(dataset_cards().values(), key=lambda card: (order[card.source], card.env, card.name))
    rows = [_card_facts(card) for card in cards]
    if json is not None:
        write_json(json, rows)
    if json != "-":
        _print_list(rows)


def show_dataset(
    name: Annotated[str, tyro.conf.Positional],
    env: str | None = None,
    mirror: tuple[str, ...] = (),
    json: str | None = None,
) -> None:
    """Read one dataset and describe it; it is downloaded if it is not on this machine.

    Args:
        name: A name from `data list`, a Minari id, or the path of an HDF5 file or Minari folder.
        env: The environment it belongs to, in place of the one it names: a card, a gymnasium id or a card's path.
        mirror: Addresses (https://host/folder) to download D4RL's files from, tried before those that are known.
        json: Write the description as JSON to this file, or to standard output if "-".
    """
    from decision_minrnn.data import load_dataset
    from decision_minrnn.files import write_json
    from decision_minrnn.progress import DownloadDisplay

    with DownloadDisplay(_console(stderr=True)) as display:
        data = load_dataset(name, env=env, mirrors=mirror, on_download=display.show)
    facts = describe(data)
    if json is not None:
        write_json(json, facts)
    if json != "-":
        _print_facts(facts)


def download_datasets(names: Annotated[tuple[str, ...], tyro.conf.Positional], mirror: tuple[str, ...] = ()) -> None:
    """Download datasets that are not on this machine. A download that was stopped goes on where it was.

    Args:
        names: Names from `data list`, or Minari ids.
        mirror: Addresses (https://host/folder) to download D4RL's files from, tried before those that are known.
    """
    from decision_minrnn.data.fetch import fetch
    from decision_minrnn.data.resolve import locate
    from decision_minrnn.errors import ConfigError
    from decision_minrnn.progress import DownloadDisplay

    if not names:
        raise ConfigError("name the datasets to download; `decision-minrnn data list` shows what there is.")
    locations = [locate(name) for name in names]
    with DownloadDisplay(_console(stderr=True)) as display:
        for location in locations:
            fetch(location, mirror, display.show)
    for location in locations:
        print(f"{location.asked}: {location.path}")


def describe(data: Trajectories) -> dict[str, Any]:
    """What is worth knowing of a dataset, as plain data for JSON; bounds that are infinite become None."""
    from decision_minrnn.scores import normalized_score

    finished = data.finished if data.finished.any() else ~data.finished
    returns, lengths = data.returns[finished], data.lengths[finished]
    mean = float(returns.mean())
    references = {
        name: {
            "min": reference.min,
            "max": reference.max,
            "source": reference.source,
            "normalized_mean": normalized_score(mean, reference),
        }
        for name, reference in data.references.items()
    }
    first = next(iter(references), None)
    return {
        "name": data.name,
        "source": data.source,
        "env": data.env.name if data.env else None,
        "env_id": data.env_id,
        "steps": data.steps,
        "episodes": data.episodes,
        "length_mean": float(lengths.mean()),
        "length_min": int(lengths.min()),
        "length_max": int(lengths.max()),
        "return_mean": mean,
        "return_std": float(returns.std()),
        "return_min": float(returns.min()),
        "return_max": float(returns.max()),
        "normalized_mean": references[first]["normalized_mean"] if first else None,
        "reference": first,
        "references": references,
        "terminated": int(data.terminated.sum()),
        "truncated": int(data.truncated.sum()),
        "cut_short": int(data.cut_short.sum()),
        "unfinished": int((~data.finished).sum()),
        "observation_size": int(data.observations.shape[1]),
        "action_size": data.action_size,
        "discrete": data.choices is not None,
        "action_low": _finite(data.action_low),
        "action_high": _finite(data.action_high),
    }


def _card_facts(card: DatasetCard) -> dict[str, Any]:
    """One row of the list: what the card says, and whether the dataset is here."""
    from decision_minrnn.cards import env_card
    from decision_minrnn.data.resolve import locate_card
    from decision_minrnn.scores import normalized_score

    location = locate_card(card)
    references = env_card(card.env).references
    reference = next(iter(references), None) if card.return_mean is not None else None
    score = None
    if card.return_mean is not None and reference is not None:
        score = normalized_score(card.return_mean, references[reference])
    return {
        "name": card.name,
        "aliases": list(card.aliases),
        "source": card.source,
        "env": card.env,
        "env_id": card.env_id or None,
        "steps": card.steps or None,
        "episodes": card.episodes or None,
        "return_mean": card.return_mean,
        "normalized_mean": score,
        "reference": reference,
        "available": location.available,
        "path": str(location.path),
        "urls": list(card.urls),
        "description": card.description,
    }


def _print_list(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("name", overflow="fold")
    table.add_column("source", no_wrap=True)
    table.add_column("environment", no_wrap=True)
    for column in ("steps", "episodes", "return", "score"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("here", no_wrap=True)
    for row in rows:
        table.add_row(
            row["name"],
            row["source"],
            row["env_id"] or f"none ({row['env']})",
            _count(row["steps"]),
            _count(row["episodes"]),
            "" if row["return_mean"] is None else f"{row['return_mean']:,.0f}",
            "" if row["normalized_mean"] is None else f"{row['normalized_mean']:.1f}",
            "yes" if row["available"] else "no",
        )
    console = _console()
    console.print(table)
    named = sorted({row["reference"] for row in rows if row["reference"]})
    console.print(
        f"\nreturn: mean over the episodes; score: the same normalised with the reference {', '.join(named)}. "
        f"Empty: the card does not say.\n"
        f"here: what is not on this machine is downloaded when it is asked for.\n"
        f"HDF5 files in D4RL's layout and Minari folders are given by their paths.",
        soft_wrap=True,
        highlight=False,
    )


def _print_facts(facts: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    without_id = f"{facts['env']}, which no gymnasium id is" if facts["env"] else "not known"
    table.add_row("environment", facts["env_id"] or without_id)
    table.add_row("steps", f"{facts['steps']:,} in {facts['episodes']:,} episodes")
    table.add_row("episode length", f"{facts['length_mean']:,.0f} ({facts['length_min']:,} to {facts['length_max']:,})")
    cut = f", {facts['cut_short']:,} of them cut short of the time limit" if facts["cut_short"] else ""
    table.add_row("ends", f"{facts['terminated']:,} terminated, {facts['truncated']:,} truncated{cut}")
    table.add_row(
        "return",
        f"{facts['return_mean']:,.1f} ± {facts['return_std']:,.1f} "
        f"({facts['return_min']:,.1f} to {facts['return_max']:,.1f})",
    )
    for name, reference in facts["references"].items():
        table.add_row(
            f"normalised ({name})",
            f"{reference['normalized_mean']:.1f}  [0 at {reference['min']:g}, 100 at {reference['max']:g}: "
            f"{reference['source']}]",
        )
    if not facts["references"]:
        table.add_row("normalised", "no reference scores are known for it")
    table.add_row("observations", f"{facts['observation_size']} dimensions")
    bounds = sorted(set(zip(facts["action_low"], facts["action_high"], strict=True)), key=str)
    dimensions = f"{facts['action_size']} dimensions in {', '.join(f'[{low}, {high}]' for low, high in bounds)}"
    table.add_row("actions", f"{facts['action_size']} choices" if facts["discrete"] else dimensions)
    console = _console()
    console.print(facts["source"], soft_wrap=True, highlight=False, markup=False)
    console.print(table)


def _console(stderr: bool = False) -> Console:
    """As wide as the terminal; wide enough for the tables where there is none."""
    from rich.console import Console

    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=120)


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _finite(bounds: Any) -> list[float | None]:
    from math import isfinite

    return [float(bound) if isfinite(bound) else None for bound in bounds]
