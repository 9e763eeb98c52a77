"""Training of several seeds: at once on a GPU, whose time one small model leaves idle, else one after another."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from decision_minrnn.config import TrainConfig
from decision_minrnn.data import Trajectories
from decision_minrnn.devices import seeded, torch_device
from decision_minrnn.distributed import rank_count
from decision_minrnn.errors import ConfigError
from decision_minrnn.graphed import can_be_graphed
from decision_minrnn.interruption import Interruption, TrainingInterrupted
from decision_minrnn.learner import PolicyLearner, build_model
from decision_minrnn.loop import TrainingLoop
from decision_minrnn.seeds.learner import MemberNotFiniteError, SeedsLearner
from decision_minrnn.seeds.stacking import can_be_stacked
from decision_minrnn.training import Run, begin, best_of, load_data, train


def train_seeds(
    config: TrainConfig,
    seeds: Sequence[int],
    data: Trajectories | None = None,
    *,
    together: bool | None = None,
    console: Console | None = None,
) -> list[Run]:
    """Train one policy for each seed; each has a run folder of its own, and can be resumed and evaluated by itself.

    A run of this has the initial weights and batches of the single run with its seed. Trained together, dropout is
    drawn for all seeds at once, and is not that of single runs.

    Args:
        config: every setting; its seed is not used, and `out` is a folder for the folders seed-0, seed-1, ...
        seeds: one for each run, all different.
        data: what to train on; by default `config.dataset` is loaded.
        together: whether all learn at once. By default they do where an update can be recorded as a CUDA graph: on a
            GPU. On a CPU one after another is faster.
        console: where to show progress; by default nowhere.

    Raises as `train`, and `ConfigError` for seeds or settings that cannot be trained so.
    """
    console = console or Console(quiet=True)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds expects one or more different numbers, got {list(seeds)}.")
    if rank_count() > 1:
        raise ConfigError("--seeds trains in one process; start it without torchrun.")
    configs = [replace(config, seed=seed, out=_folder(config.out, seed)) for seed in seeds]
    for each in configs:
        if each.out is not None and Path(each.out).exists():
            raise ConfigError(f"the output folder {each.out} exists. Choose another --out, or continue with --resume.")
    data = load_data(config, console) if data is None else data
    device = torch_device(config.device)
    possible = can_be_stacked(config) and config.accumulate == 1
    if together and not possible:
        raise ConfigError(
            "seeds are trained together with the encoders mingru and minlstm, without options convolution, style and "
            "scan and without --accumulate; train these one after another."
        )
    if together is None:
        together = len(seeds) > 1 and possible and config.cuda_graph and can_be_graphed(config, data, device)
    if not together:
        return [train(each, data, console=console) for each in configs]
    return _train_together(configs, best_of(data, config), console)


def _train_together(configs: Sequence[TrainConfig], data: Trajectories, console: Console) -> list[Run]:
    device = torch_device(configs[0].device)
    members = []
    for config in configs:
        with seeded(config.seed, device, config.threads):
            members.append(PolicyLearner(build_model(config, data).to(device), data, config))
    with seeded(configs[0].seed, device, configs[0].threads), ExitStack() as claims:
        # of several bars only one can be drawn: that of the first stands for all
        consoles = [console, *[Console(quiet=True)] * (len(members) - 1)]
        runs = zip(members, configs, consoles, strict=True)
        loops = [begin(member, config, data, shown, claims) for member, config, shown in runs]
        return _run_together(loops, SeedsLearner(members))


def _run_together(loops: Sequence[TrainingLoop[Run]], learner: SeedsLearner) -> list[Run]:
    """What `TrainingLoop.run` does, for runs that are always at the same update."""
    first, updates = loops[0], learner.config.updates
    interruption = Interruption()
    with interruption, ExitStack() as stack:
        for loop in loops:
            loop.interruption = interruption
            stack.enter_context(loop.opened())
        first.progress.message(f"together  {len(loops)} seeds: " + ", ".join(str(loop.folder) for loop in loops))
        while first.update < updates:
            _evaluate(loops)
            try:
                steps = learner.learn_on(first.updates_to_stop())
            except MemberNotFiniteError as error:
                loops[error.member].fail(error)
            stopping = first.is_stopped() and first.update < updates
            for loop, of_seed in zip(loops, steps, strict=True):
                loop.take(of_seed, stopping)
            if stopping:
                _stop(loops)
        return [loop.by_first(loop.finish) for loop in loops]


def _evaluate(loops: Sequence[TrainingLoop[Run]]) -> None:
    """What is due before the next update. All are saved first, since a signal may cut it short."""
    due = [loop for loop in loops if loop.is_evaluation_due()]
    for loop in loops if due else ():
        loop.save()
    for loop in due:
        loop.by_first(loop.evaluate_and_record)


def _stop(loops: Sequence[TrainingLoop[Run]]) -> NoReturn:
    """Say that all runs were saved, and end."""
    number = loops[0].interruption.signal_number
    assert number is not None
    commands = "; ".join(loop.continuation() for loop in loops)
    raise TrainingInterrupted(
        f"stopped after update {loops[0].update} of {loops[0].config.updates}, and saved. Continue with: {commands}",
        number,
    )


def _folder(out: str | None, seed: int) -> str | None:
    """Where a seed's run is written; None: where it would be by itself."""
    return None if out is None else str(Path(out) / f"seed-{seed}")
