"""The figures of a report, each with the words that say how to read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, get_args

from decision_minrnn.cards import is_card_path
from decision_minrnn.checkpoint import checkpoint_folders, load_model
from decision_minrnn.config import Memory
from decision_minrnn.data import Trajectories, load_dataset
from decision_minrnn.data.resolve import locate
from decision_minrnn.errors import DataError, DecisionMinRNNError
from decision_minrnn.figures.curves import Curve, Panel, draw_panels
from decision_minrnn.figures.evaluation import (
    Returns,
    draw_calibration,
    draw_memories,
    draw_returns,
    shared_targets,
)
from decision_minrnn.figures.memory import draw_gates, draw_influence
from decision_minrnn.model import DecisionModel
from decision_minrnn.report.gathering import Group, ReportedRun
from decision_minrnn.report.memory import best_episode, influence, write_gates
from decision_minrnn.runs import dataset_digest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_CURVES_OF_RETURNS = 2


class Picture(NamedTuple):
    """A figure and its words."""

    name: str
    """As in the name of its file."""
    title: str
    caption: str
    figure: Figure


def picture_results(groups: Sequence[Group]) -> Iterator[Picture]:
    """What metrics and evaluations of the groups on one dataset show, as far as they are there."""
    if panels := list(_learning_panels(groups)):
        yield Picture(
            "learning",
            "Learning curves",
            "The loss of training and, where a run was evaluated on the way, its returns. Of several seeds: "
            "their mean, and a band of one deviation to both sides.",
            draw_panels(panels, "", height=1.7),
        )
    carried = {group.name: found["carried"] for group in groups if "carried" in (found := _returns_by_memory(group))}
    if carried:
        task = groups[0].runs[0].info.task
        yield Picture(
            "calibration",
            "Asked and got",
            "Mean return of an episode against the target that the policy was given, state carried. Bands: a deviation "
            "over the seeds. A policy on the dotted line does as it is told; the shade holds the returns it has seen.",
            draw_calibration(carried, (task.return_min, task.return_max)),
        )
        yield Picture(
            "returns",
            "Returns of the episodes",
            "Every episode of every seed, for each target (dotted); heights are shares of the episodes.",
            draw_returns(carried),
        )
    # of runs with several modes alone: one seed in one mode is no match for three in another
    compared = [replace(group, runs=[run for run in group.runs if len(run.evaluations) > 1]) for group in groups]
    by_mode = {group.name: _returns_by_memory(group) for group in compared}
    if shared_targets(by_mode):
        yield Picture(
            "memory-modes",
            "Memory modes",
            "Mean return with the state carried over the episode, with the last steps fed anew at each step (window), "
            "and the state dropped every so many steps (reset). Bars: 95 % interval of the mean of all episodes. "
            "Of the runs that were evaluated with several modes.",
            draw_memories(by_mode),
        )


def picture_memory(groups: Sequence[Group], notes: list[str]) -> Iterator[Picture]:
    """What the policies of the groups on one dataset remember; why one cannot be looked at is added to `notes`."""
    models: dict[str, tuple[ReportedRun, DecisionModel]] = {}
    for group in groups:
        try:
            if chosen := _with_checkpoint(group):
                models[group.name] = chosen, load_model(next(reversed(checkpoint_folders(chosen.folder)))).eval()
            else:
                notes.append(f"{group.name}: no run has a checkpoint yet, so that its memory is not shown.")
        except DecisionMinRNNError as error:
            notes.append(f"{group.name}: {error}")
    if not models:
        return
    run = next(iter(models.values()))[0]
    try:
        episode = best_episode(_dataset_of(run))
    except DecisionMinRNNError as error:
        notes.append(f"What policies remember is not shown: {error}")
        return
    where = (
        f"the first {episode.observations.shape[1]:,} steps of the best episode of the data (number {episode.index}, "
        f"return {episode.episode_return:,.0f})"
    )
    found = {name: influence(model, episode) for name, (_, model) in models.items()}
    contexts = [chosen.info.model.context for chosen, _ in models.values()]
    yield Picture(
        "influence",
        "How far back actions depend on observations",
        "Frobenius norm of the Jacobian of an action by the observation k steps before it, through all layers, "
        f"over {where}; observations in standard deviations. "
        "Lines: medians over steps of its second half; bands: quartiles.",
        draw_influence(
            {name: (one.lags, one.quantiles) for name, one in found.items()},
            [context for context in contexts if context is not None],
        ),
    )
    for name, (chosen, model) in models.items():
        if gates := write_gates(model, episode):
            yield Picture(
                f"gates-{name.replace(', ', '-').replace(' ', '-')}",
                f"Gates of {name}",
                f"The write gate w of h = (1 - w) h + w g(c), of every layer and dimension of the state, over {where}; "
                f"seed {chosen.info.train.seed}. Dark dimensions remember, light ones follow the input.",
                draw_gates(gates),
            )


def _learning_panels(groups: Sequence[Group]) -> Iterator[Panel]:
    tags = {"losses/action": "training loss"}
    targets = groups[0].runs[0].info.task.targets
    tags |= {f"eval/return/{target:g}": f"return at {target:g}" for target in targets[-_MOST_CURVES_OF_RETURNS:]}
    for tag, label in tags.items():
        curves = []
        for group in groups:
            points = group.curve(tag)
            if len(points) > 1:
                several = len(group.runs) > 1
                spread = [point.deviation for point in points.values()] if several else None
                curves.append(Curve(group.name, list(points), [point.mean for point in points.values()], spread))
        if curves:
            yield Panel("update", label, curves, markers=False)


def _returns_by_memory(group: Group) -> Mapping[str, Returns]:
    """The episodes' returns of each run, by memory mode and target."""
    modes: tuple[Memory, ...] = get_args(Memory)
    return {
        mode: {target: [result.returns for result in results] for target, results in found.items()}
        for mode in modes
        if (found := group.results(mode))
    }


def _with_checkpoint(group: Group) -> ReportedRun | None:
    """The run of the lowest seed that can act already."""
    return next((run for run in group.runs if checkpoint_folders(run.folder)), None)


def _dataset_of(run: ReportedRun) -> Trajectories:
    """What a run was trained on; raises `DataError` where it is not on this machine, or is another by now."""
    config = run.info.train
    if not locate(config.dataset).available:
        raise DataError(f"the dataset {config.dataset} is not on this machine.")
    # the path of a card may name code to run, and a run folder may come from someone else
    env = None if config.env is None or is_card_path(config.env) else config.env
    data = load_dataset(config.dataset, env=env, keep_unfinished=config.unfinished_episode)
    data = data if config.top_percent == 100 else data.best(config.top_percent)
    if dataset_digest(data) != run.info.dataset_sha256:
        raise DataError(f"the dataset {config.dataset} is no longer the one that {run.folder.name} was trained on.")
    return data
