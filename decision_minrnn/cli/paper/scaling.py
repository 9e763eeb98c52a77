"""`decision-minrnn paper scaling`: time and memory of a training step by length of the sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import tyro
from rich.table import Table

from decision_minrnn.cli.paper.shared import DrawnOutput, plain_table
from decision_minrnn.cli.parsing import run_command
from decision_minrnn.files import write_json
from decision_minrnn.tasks.scaling import ScalingConfig

if TYPE_CHECKING:
    from decision_minrnn.figures.curves import Panel
    from decision_minrnn.tasks.scaling import StepCost


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    run_command(_scaling, "paper scaling", arguments)


def _scaling(config: tyro.conf.OmitArgPrefixes[ScalingConfig], output: tyro.conf.OmitArgPrefixes[DrawnOutput]) -> None:
    """Time a training step of each encoder at growing lengths, and measure its peak memory.

    The slope is the exponent of the length in the time, fitted over the upper half of the lengths.

    Args:
        config: What is measured.
        output: Where numbers and curves go.
    """
    import torch

    from decision_minrnn.tasks.scaling import measure_scaling, slope
    from decision_minrnn.versions import versions

    output.check()
    costs = measure_scaling(config, lambda name: output.progress.print(f"measuring {name}", highlight=False))
    by_encoder = {
        name: [cost for cost in costs if cost.encoder == name] for name in dict.fromkeys(c.encoder for c in costs)
    }
    slopes = {name: slope(own) for name, own in by_encoder.items()}
    if output.json is not None:
        content = {
            "config": asdict(config),
            "threads": config.threads or torch.get_num_threads(),
            "versions": versions(),
            "slopes": slopes,
            "costs": [asdict(cost) for cost in costs],
        }
        write_json(output.json, content)
    output.draw(_panels(by_encoder), f"one training step, batch {config.batch_size}, width {config.width}")
    for table in (_table(by_encoder, "milliseconds", slopes), _table(by_encoder, "megabytes", {})):
        output.console.print(table)


def _table(by_encoder: dict[str, list[StepCost]], what: str, slopes: dict[str, float | None]) -> Table:
    """A row for each encoder, a column for each length."""
    lengths = sorted({cost.length for own in by_encoder.values() for cost in own})
    table = plain_table(what, "family", *map(str, lengths), *(["slope"] if slopes else []))
    for name, own in by_encoder.items():
        values = {cost.length: getattr(cost, what) for cost in own}
        cells = ["-" if values.get(length) is None else f"{values[length]:.3g}" for length in lengths]
        fitted = slopes.get(name)
        table.add_row(name, own[0].family, *cells, *(["-" if fitted is None else f"{fitted:.2f}"] if slopes else []))
    return table


def _panels(by_encoder: dict[str, list[StepCost]]) -> list[Panel]:
    from decision_minrnn.figures.curves import Curve, Panel

    panels = []
    for what, label in (("milliseconds", "ms a training step"), ("megabytes", "peak MB")):
        curves = []
        for name, own in by_encoder.items():
            # a step may leave the peak of the one before it, which a logarithmic axis cannot show
            points = [(cost.length, getattr(cost, what)) for cost in own if getattr(cost, what)]
            curves.append(Curve(name, [x for x, _ in points], [y for _, y in points]))
        panels.append(Panel("length", label, curves, x_logarithmic=True, y_logarithmic=True))
    return panels
