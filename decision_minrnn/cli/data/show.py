"""`decision-minrnn data show NAME`: what is in a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from decision_minrnn.data import Trajectories


def show_dataset(
    name: Annotated[str, tyro.conf.Positional],
    env: str | None = None,
    mirror: tuple[str, ...] = (),
    json: str | None = None,
) -> None:
    """Read one dataset and describe it; it is downloaded if it is not on this machine.

    Args:
        name: A name from `data list`, a Minari id, or the path of an HDF5 or npz file or Minari folder.
        env: The environment it belongs to, in place of the one it names: a card, a gymnasium id or a card's path.
        mirror: Addresses (https://host/folder) to download D4RL's files from, tried before those that are known.
        json: Write the description as JSON to this file, or to standard output if "-".
    """
    from decision_minrnn.cli.console import progress_console
    from decision_minrnn.data import load_dataset
    from decision_minrnn.files import write_json
    from decision_minrnn.progress import DownloadDisplay

    with DownloadDisplay(progress_console(stderr=True)) as display:
        data = load_dataset(name, env=env, mirrors=mirror, on_download=display.show)
    facts = describe(data)
    if json is not None:
        write_json(json, facts)
    if json != "-":
        _print_facts(facts)


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


def _print_facts(facts: dict[str, Any]) -> None:
    from rich.table import Table

    from decision_minrnn.cli.console import wide_console

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
    console = wide_console()
    console.print(facts["source"], soft_wrap=True, highlight=False, markup=False)
    console.print(table)


def _finite(bounds: Any) -> list[float | None]:
    from math import isfinite

    return [float(bound) if isfinite(bound) else None for bound in bounds]
