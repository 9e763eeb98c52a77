"""`decision-minrnn data list`: the datasets that have a card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decision_minrnn.cards import DatasetCard


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

    from decision_minrnn.cli.console import wide_console

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
    console = wide_console()
    console.print(table)
    named = sorted({row["reference"] for row in rows if row["reference"]})
    console.print(
        f"\nreturn: mean over the episodes; score: the same normalised with the reference {', '.join(named)}. "
        f"Empty: the card does not say.\n"
        f"here: what is not on this machine is downloaded when it is asked for.\n"
        f"HDF5 and npz files in D4RL's layout and Minari folders are given by their paths.",
        soft_wrap=True,
        highlight=False,
    )


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
