"""Training SAC until its evaluations are good enough, in a folder from which it goes on after any stop.

Evaluations draw their actions as recordings do. After each of them, and after the step that a signal comes in, all is
saved; from there training goes on to the same weights, to the bit, on one machine and thread count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, NoReturn

import numpy as np
import torch

from decision_minrnn.collection.folder import Evaluated, SACFolder
from decision_minrnn.collection.recording import Purpose, episode_seed, episode_seeds, record_episodes, stochastic
from decision_minrnn.collection.sac import SAC, restored_generators
from decision_minrnn.devices import seeded
from decision_minrnn.envs import Environments
from decision_minrnn.files import locked
from decision_minrnn.interruption import Interruption, StopRequested, TrainingInterrupted
from decision_minrnn.progress import Progress
from decision_minrnn.tracking import Tracker

Enough = Callable[[Sequence[Evaluated]], bool]
"""Whether training can end, by its evaluations so far."""


def train_sac(
    folder: SACFolder,
    steps: int,
    enough: Enough,
    *,
    device: torch.device,
    progress: Progress,
    interruption: Interruption,
) -> None:
    """Begin or go on, until the evaluations are enough or `steps` steps are taken and evaluated.

    Does nothing, and needs nothing installed, where that is so already.

    Raises:
        MissingExtraError: stable-baselines3 is not installed.
        ConfigError: an environment that SAC cannot be trained in.
        CheckpointError: what was saved before is damaged.
        TrainingInterrupted: a signal came; all is saved.
    """
    if _is_over(folder, steps, enough):
        progress.message(f"training  {folder.path} is far enough, at step {folder.evaluations(steps)[-1].step:,}")
        return
    settings = folder.settings
    with (
        Environments(settings.env_id, settings.environments) as environments,
        seeded(settings.seed, device),
        restored_generators(),
    ):
        sac = SAC(
            environments,
            lambda number: episode_seed(settings.seed, Purpose.TRAINING, number),
            capacity=steps,
            warmup=settings.warmup,
            seed=settings.seed,
            device=device,
        )
        folder.create()
        tell = partial(progress.message, f"waiting for another process, which trains in {folder.path}")
        with locked(folder.path / "lock", tell):
            _Training(folder, sac, steps, enough, progress, interruption).run()


def _is_over(folder: SACFolder, steps: int, enough: Enough) -> bool:
    evaluations = folder.evaluations(steps)
    return enough(evaluations) or bool(evaluations and evaluations[-1].step == steps)


class _Training:
    """One training, from its first or a later step."""

    def __init__(
        self,
        folder: SACFolder,
        sac: SAC,
        steps: int,
        enough: Enough,
        progress: Progress,
        interruption: Interruption,
    ) -> None:
        self.folder, self.sac, self.steps, self.enough = folder, sac, steps, enough
        self.progress, self.interruption = progress, interruption

    def run(self) -> None:
        """Go on from what is saved, to the end."""
        state = self.folder.state()
        self.folder.drop_after(state["steps"] if state else 0)
        if state:
            self.restore(state)
        self.saved = self.sac.steps
        self.tracker = Tracker(self.folder.path, self.saved)
        begun = f", from step {self.saved:,}" if self.saved else ""
        self.progress.message(f"training  SAC in {self.folder.settings.env_id}: {self.folder.path}{begun}")
        self.note = ""
        try:
            with self.progress.steps(self.steps, self.saved) as self.bar:
                while not _is_over(self.folder, self.steps, self.enough):
                    if self.is_evaluation_due():
                        self.evaluate()
                    else:
                        self.step()
        finally:
            self.tracker.close()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        transitions = self.folder.transitions(state["steps"])
        try:
            was_cut = self.sac.restore(state, transitions)
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise self.folder.does_not_fit(error) from error
        if was_cut:
            self.folder.replace_last_transitions(self.sac.transitions())
            self.progress.message("the environment does not repeat its episodes: those under way were cut")

    def is_evaluation_due(self) -> bool:
        """Whether the actor is to be evaluated before training goes on."""
        step = self.sac.steps
        return step > 0 and step % self.folder.settings.evaluate_every == 0 and step not in self.tracker.evaluated

    def step(self) -> None:
        """Train up to the next evaluation; a signal ends it after the step that it came in."""
        while True:
            self.sac.step()
            self.bar.advance(self.note, to=self.sac.steps)
            if self.interruption.signal_number is not None:
                self.stop()
            if self.is_evaluation_due():
                return

    def evaluate(self) -> None:
        """Roll the actor out, keep it and write everything down; the state comes last."""
        settings, step, actor = self.folder.settings, self.sac.steps, self.sac.actor()
        seeds = islice(episode_seeds(settings.seed, Purpose.EVALUATION), settings.evaluation_episodes)
        try:
            with Environments(settings.env_id) as environment, self.interruption.at_once():
                episodes = list(record_episodes(stochastic(actor, environment), environment, seeds))
        except StopRequested:
            self.stop()
        returns = np.array([episode.episode_return for episode in episodes])
        values = {
            "eval/return": float(returns.mean()),
            "eval/return_deviation": float(returns.std()),
            "eval/length": float(np.mean([len(episode.rewards) for episode in episodes])),
        }
        self.note = f"return {values['eval/return']:.0f}"
        self.progress.message(f"step {step:,}: return {returns.mean():.1f} ± {returns.std():.1f}")
        self.folder.save_actor(step, actor)
        self.folder.save_transitions(self.saved, self.sac.transitions(self.saved))
        self.tracker.scalars(step, values)
        self.tracker.evaluated.add(step)
        self.tracker.flush()
        self.folder.save_state(self.sac.state())
        self.saved = step

    def stop(self) -> NoReturn:
        """Save, say so, and end."""
        assert self.interruption.signal_number is not None
        self.folder.save_transitions(self.saved, self.sac.transitions(self.saved))
        self.folder.save_state(self.sac.state())
        raise TrainingInterrupted(
            f"stopped at step {self.sac.steps:,} of {self.steps:,}, and saved in {self.folder.path}. "
            "The same command goes on from there.",
            self.interruption.signal_number,
        )
