"""`decision-minrnn evaluate`: roll a trained policy out and print its scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from decision_minrnn.cards import EnvCard, env_card, env_cards, is_card_path
from decision_minrnn.cli.console import progress_console
from decision_minrnn.cli.outputs import check_output
from decision_minrnn.cli.parsing import run_command
from decision_minrnn.config import EVALUATION_SEED, Memory
from decision_minrnn.errors import ConfigError
from decision_minrnn.files import write_json


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    run_command(evaluate, "evaluate", arguments)


def evaluate(
    run: Annotated[str, tyro.conf.Positional],
    episodes: int = 100,
    targets: tuple[float, ...] = (),
    memory: Memory = "carried",
    context: int | None = None,
    sampled: bool = False,
    seed: int = EVALUATION_SEED,
    env: str | None = None,
    environments: int = 20,
    workers: int = 0,
    step_timeout: float | None = None,
    checkpoint: int | None = None,
    json: str | None = None,
    video: Path | None = None,
) -> None:
    """Roll the policy of a run folder out, print its scores and write them into the folder.

    Scores go to evaluation.json, with `--memory window` or `reset` to evaluation-window.json or evaluation-reset.json,
    in place of those of the evaluation before. TensorBoard shows them as figures, and the video. A run that is still
    training acts with its last complete checkpoint. Scores of a shared policy are printed and not written.

    Args:
        run: The run folder; or the folder of a shared policy, or its id on the Hugging Face hub (owner/name).
        episodes: Episodes for each target.
        targets: Target returns, in the environment's units; by default those of the run.
        memory: `carried` keeps the state over the whole episode, `window` feeds the last --context steps again at each
            step, `reset` drops the state every --context steps.
        context: Steps of `window` and `reset` memory; by default those of training.
        sampled: Draw discrete actions from the predicted distribution, in place of the likeliest.
        seed: Seed of the first episode; each episode has its own.
        env: Environment to evaluate in, in place of the run's: a card's name, a gymnasium id or the path of a card.
        environments: Episodes that run at once. Changes the speed, not the result.
        workers: Processes that run the episodes, each with a copy of the policy; 0, the default, runs them in this
            one. They pay where cores are free and the evaluation takes longer than the seconds in which they start.
            Changes the speed, not the result.
        step_timeout: Seconds after which a step of an environment is given up as failed; needs --workers.
        checkpoint: Update of the checkpoint; by default the last.
        json: File to write the result to as well; - prints it, and nothing else, to the standard output.
        video: MP4 file to film the first episode of the first target to (extra: video).
    """
    from decision_minrnn.board import show_evaluation
    from decision_minrnn.cli.tables import evaluation_table
    from decision_minrnn.progress import Progress
    from decision_minrnn.rollout import evaluate as evaluate_policy
    from decision_minrnn.runs import evaluation_path, load_policy
    from decision_minrnn.sharing import is_shared
    from decision_minrnn.video import check_video, write_video

    if context is not None and memory == "carried":
        raise ConfigError(f"--context {context} is of --memory window or reset; carried memory has no such limit.")
    check_output("--json", json)
    check_output("--video", video)
    if video is not None:
        check_video(video)
    policy = load_policy(run, memory=memory, context=context, sampled=sampled, checkpoint=checkpoint)
    task = policy.task
    env_id, card = _environment(env, task.env_id if task else None)
    if env_id is None:
        raise ConfigError(f"{env or run} does not say its environment. Name a gymnasium id with --env.")
    targets = targets or (task.targets if task else ())
    with Progress(progress_console(stderr=json == "-")) as progress:
        for warning in task.target_warnings(targets) if task else ():
            progress.message(warning, style="yellow")
        with progress.episodes(episodes * len(targets)) as bar:
            evaluation = evaluate_policy(
                policy,
                env_id,
                targets,
                episodes=episodes,
                seed=seed,
                reference=task.reference if task else None,
                reference_name=task.reference_name if task else None,
                card=card,
                environments=environments,
                workers=workers,
                step_timeout=step_timeout,
                on_episode=lambda episode: bar.advance(
                    f"episode of seed {episode.seed} failed"
                    if episode.failure
                    else f"return {episode.episode_return:.0f}"
                ),
            )
    # shown before it is written: the folder may be one that cannot be written to
    console = Console(stderr=json == "-")
    if json != "-":
        console.print(evaluation_table(evaluation))
    if json is not None:
        write_json(json, evaluation.to_dict())
    preview = None
    if video is not None:
        filmed = write_video(video, policy, env_id, targets[0], seed, card)
        console.print(
            f"video: {video}, return {filmed.episode.episode_return:.0f} at target {targets[0]:g}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        preview = filmed.preview
    if not is_shared(run):
        assert policy.origin is not None
        folder = Path(run)
        write_json(evaluation_path(folder, memory), evaluation.to_dict())
        show_evaluation(folder, policy.origin.update, evaluation, preview)


def _environment(env: str | None, trained: str | None) -> tuple[str | None, EnvCard | None]:
    """The gymnasium id to evaluate in, and the card that the user gave."""
    if env is None:
        return trained, None
    if not is_card_path(env) and env not in env_cards():
        return env, None
    card = env_card(env)
    return card.choose_id(trained), card
