"""What `sweep` and `benchmark returns` share: the settings of a grid, running it and printing its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import inf
from typing import TYPE_CHECKING, Literal

import tyro

from decision_minrnn.cli.console import wide_console
from decision_minrnn.cli.options import read_encoder
from decision_minrnn.cli.outputs import check_output
from decision_minrnn.config import OptionValue, TrainConfig, require
from decision_minrnn.errors import TrainingError, UnknownNameError
from decision_minrnn.files import write_json

if TYPE_CHECKING:
    from decision_minrnn.sweep.comparison import Comparison
    from decision_minrnn.sweep.status import Status
    from decision_minrnn.sweep.workers import Workers

Form = Literal["markdown", "csv", "latex"]


@dataclass(frozen=True, kw_only=True)
class TrialSettings(TrainConfig):
    """Of all trials, but for what the grid varies."""

    dataset: tyro.conf.Suppress[str] = ""
    encoder: tyro.conf.Suppress[str] = "mingru"
    encoder_options: tyro.conf.Suppress[Mapping[str, OptionValue]] = field(default_factory=dict)
    seed: tyro.conf.Suppress[int] = 0
    out: tyro.conf.Suppress[str | None] = None
    threads: int | None = 1
    """CPU threads of each trial."""

    def config(self) -> TrainConfig:
        """As what they were declared: the settings of a training."""
        return TrainConfig(**{field.name: getattr(self, field.name) for field in fields(TrainConfig)})


@dataclass(frozen=True, kw_only=True)
class ResultOptions:
    """What is printed of results."""

    table: Form = "markdown"
    """How the tables are printed."""

    against: str | None = None
    """Column over which the others' probability of improvement is shown; by default the first."""

    json: str | None = None
    """File to write the results to as well; - prints them, and nothing else, to the standard output."""


@dataclass(frozen=True, kw_only=True)
class GridOptions(ResultOptions):
    """How a grid is run."""

    out: str = "runs/sweep"
    """Folder of the trials' run folders."""

    jobs: int = 1
    """Trials that run at once on this machine, each in a process of its own."""

    retries: int = 0
    """How often a trial that fails goes on from its last checkpoint."""

    ray: str | None = None
    """Run on the Ray cluster at this address (HOST:PORT, ray://HOST:PORT or auto), or on one that is started here
    (local), in place of --jobs (extra: ray). All nodes must share the folder that the sweep is started in, at the same
    path."""

    cpus_per_trial: float = 1.0
    """CPUs of the cluster that each trial takes."""

    gpus_per_trial: float = 0.0
    """GPUs of the cluster that each trial takes; 0.5 puts two trials on one."""

    plan: bool = False
    """Print the trials and how far they are, and run nothing."""

    collect: bool = False
    """Print the tables of the trials that are done, and run nothing."""


def run_grid(
    options: GridOptions,
    settings: TrialSettings,
    datasets: Sequence[str],
    encoders: Sequence[str],
    seeds: Sequence[int],
    variations: Sequence[str] = (),
) -> None:
    """Run the trials of a grid that are not done, and print the tables of all that are.

    Raises `TrainingError` in the end where trials failed.
    """
    from decision_minrnn.data.resolve import locate
    from decision_minrnn.runs import LOG
    from decision_minrnn.sweep.comparison import compare
    from decision_minrnn.sweep.display import Display
    from decision_minrnn.sweep.grid import EncoderChoice, plan_trials, read_variation
    from decision_minrnn.sweep.results import read_results
    from decision_minrnn.sweep.running import run_waiting
    from decision_minrnn.sweep.status import statuses

    check_output("--json", options.json)
    require(options, "jobs", options.jobs >= 1, "a whole number of at least 1")
    require(options, "retries", options.retries >= 0, "a whole number of at least 0")
    require(options, "cpus_per_trial", 0 < options.cpus_per_trial < inf, "a number above 0")
    require(options, "gpus_per_trial", 0 <= options.gpus_per_trial < inf, "a number of at least 0")
    chosen = [EncoderChoice(*read_encoder(word)) for word in encoders]
    columns = [str(choice) for choice in chosen]
    if options.against is not None and options.against.partition(" ")[0] not in columns:
        raise UnknownNameError("column", options.against, columns, "--against expects one of --encoders.")
    varied = [read_variation(word) for word in variations]
    sweep = statuses(plan_trials(settings.config(), options.out, datasets, chosen, seeds, varied))
    if options.plan:
        return show_plan(sweep, options.json)
    if not options.collect and any(status.state == "waiting" for status in sweep):
        run_waiting(sweep, workers(options), Display(wide_console(stderr=True), sweep), options.retries)
    results = read_results(status.trial.folder for status in sweep)
    if results or options.collect:
        rows = [locate(dataset).name for dataset in datasets]
        keys = [key for key, _ in varied]
        show_results(compare(results, rows, columns, keys, len(sweep) - len(results)), options)
    if failed := [status for status in sweep if status.state == "failed"]:
        reasons = "".join(f"\n  {status.trial.folder / LOG}: {status.error}" for status in failed)
        raise TrainingError(f"{len(failed)} of {len(sweep)} trials failed; the same command tries them again.{reasons}")


def workers(options: GridOptions) -> Workers:
    """Where the trials are to run."""
    if options.ray is None:
        from decision_minrnn.sweep.processes import LocalProcesses

        return LocalProcesses(options.jobs)
    from decision_minrnn.sweep.cluster import RayCluster

    return RayCluster(options.ray, options.out, options.cpus_per_trial, options.gpus_per_trial)


def show_plan(sweep: Sequence[Status], json: str | None) -> None:
    """Print the trials and how far they are."""
    from decision_minrnn.sweep.display import status_table

    if json is not None:
        rows = [
            {"trial": row.trial.name, "state": row.state, "folder": row.trial.config.out} | row.progress._asdict()
            for row in sweep
        ]
        write_json(json, {"trials": rows})
    if json != "-":
        wide_console().print(status_table(sweep))


def show_results(comparison: Comparison, options: ResultOptions) -> None:
    """Print results in the form that was asked for."""
    from decision_minrnn.sweep import exports, tables

    if options.json is not None:
        write_json(options.json, exports.to_dict(comparison))
    if options.json == "-":
        return
    if options.table == "csv":
        print(exports.csv_text(comparison), end="")
    else:
        print(getattr(tables, options.table)(comparison, options.against), end="")
