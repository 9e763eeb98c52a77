"""`decision-minrnn paper language-model FILE`: predict the characters of a text, with encoders of equal size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.table import Table

from decision_minrnn.cli.options import read_encoder
from decision_minrnn.cli.paper.shared import DrawnOutput, OfEachRun, plain_table, start_or_resume
from decision_minrnn.encoders import encoder_options
from decision_minrnn.tasks.corpus import Corpus
from decision_minrnn.tasks.text import PAPER, LanguageModel, TextConfig

if TYPE_CHECKING:
    from decision_minrnn.figures.curves import Panel
    from decision_minrnn.tasks.experiment import FinishedRun

COMMAND = "language-model"


@dataclass(frozen=True, kw_only=True)
class _Settings(OfEachRun, TextConfig):
    """What all runs have in common."""


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    start_or_resume(COMMAND, arguments, _start, _resume)


def _start(
    settings: Annotated[_Settings, tyro.conf.OmitArgPrefixes, tyro.conf.PositionalRequiredArgs],
    output: tyro.conf.OmitArgPrefixes[DrawnOutput],
    encoders: tuple[str, ...] = ("mingru", "minlstm", "mamba", "transformer"),
    seeds: tuple[int, ...] = (0,),
    equal_size: bool = True,
    full: bool = False,
) -> None:
    """Train encoders to predict the characters of a text file, and print nats and bits a character.

    One run for each encoder and seed; each leaves a sample of what it writes in its folder. An experiment that was
    stopped goes on with: decision-minrnn paper language-model --resume FOLDER

    Args:
        encoders: What is trained, as NAME or NAME:KEY=VALUE,KEY=VALUE, such as mingru:convolution=4 s6:style=mamba. A
            transformer sees as many characters as --context, if its own context is not given.
        seeds: Seeds of weights and windows.
        equal_size: Whether --width is that of the first encoder, and the others get one at which they have as many
            parameters as it.
        full: The paper's width and layers, and nanoGPT's context, batch, updates, learning rate and dropout, in place
            of these flags (days on a CPU).
    """
    from decision_minrnn.tasks.equal_size import matched_width
    from decision_minrnn.tasks.experiment import PlannedRun, folder_name, start_experiment
    from decision_minrnn.tasks.model import TokenModel
    from decision_minrnn.tasks.training import model_config

    output.check()
    common = replace(settings, **PAPER) if full else settings
    task_of = _task_maker()
    task = task_of(common)
    runs: list[PlannedRun[TextConfig]] = []
    parameters: int | None = None
    for word in encoders:
        name, options = read_encoder(word)
        if "context" in encoder_options(name):
            options = {"context": common.context, **options}
        config: TextConfig = replace(common, encoder=name, encoder_options=options)
        if parameters is not None and equal_size:
            config = replace(config, width=matched_width(model_config(config, task), parameters))
        parameters = parameters or TokenModel(model_config(config, task)).parameter_count
        runs.extend(
            PlannedRun(f"{folder_name(name, options)}__seed-{seed}", replace(config, seed=seed)) for seed in seeds
        )
    folder, finished = start_experiment(COMMAND, runs, task_of, out=settings.out, console=output.progress)
    _show(folder, finished, output)


def _resume(resume: Path, output: tyro.conf.OmitArgPrefixes[DrawnOutput]) -> None:
    """Go on with an experiment that was stopped, with the settings it was started with.

    Args:
        resume: Its folder.
    """
    from decision_minrnn.tasks.experiment import resume_experiment

    output.check()
    finished = resume_experiment(resume, COMMAND, TextConfig, _task_maker(), output.progress)
    _show(resume, finished, output)


def _show(folder: Path, finished: Sequence[FinishedRun[TextConfig]], output: DrawnOutput) -> None:
    output.draw([_panel(folder, finished)], f"characters of {Path(finished[0].plan.config.file).name}")
    output.conclude(COMMAND, folder, finished, _table(finished))


def _task_maker() -> Callable[[TextConfig], LanguageModel]:
    """Makes tasks of a text that is read once."""
    read = cache(Corpus.read)
    return lambda config: LanguageModel(config, read(Path(config.file), config.validation_share, config.test_share))


def _panel(folder: Path, finished: Sequence[FinishedRun[TextConfig]]) -> Panel:
    """Validation nats by update, one curve for each run."""
    from decision_minrnn.figures.curves import Curve, Panel
    from decision_minrnn.tracking import read_metrics

    curves = []
    for run in finished:
        points = [
            (row["update"], row["eval/nats"]) for row in read_metrics(folder / run.plan.name) if "eval/nats" in row
        ]
        curves.append(
            Curve(f"{run.outcome.label}, seed {run.outcome.seed}", [x for x, _ in points], [y for _, y in points])
        )
    return Panel("updates", "validation, nats a character", curves, markers=False)


def _table(finished: Sequence[FinishedRun[TextConfig]]) -> Table:
    """A row for each run."""
    from decision_minrnn.published import LANGUAGE_MODEL_LOSS

    table = plain_table("encoder", "width", "parameters", "seed", "validation", "test", "bits", "updates/s", "paper")
    table.caption = "validation, test, paper: nats a character; bits: of test; paper: works of Shakespeare, width 384"
    for run in finished:
        outcome, scalars = run.outcome, run.outcome.scalars
        published = LANGUAGE_MODEL_LOSS.get(outcome.encoder)
        table.add_row(
            outcome.label,
            str(outcome.width),
            f"{outcome.parameters:,}",
            str(outcome.seed),
            f"{scalars['eval/nats']:.3f}",
            f"{scalars['eval/test_nats']:.3f}",
            f"{scalars['eval/test_bits']:.3f}",
            f"{outcome.updates_per_second:.3g}",
            "-" if published is None else f"{published:.3f}",
        )
    return table
