"""What an evaluation looks like in TensorBoard: returns asked for and got, all returns, and a video."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from decision_minrnn.errors import MissingExtraError
from decision_minrnn.evaluation import Evaluation
from decision_minrnn.figures.canvas import render
from decision_minrnn.figures.evaluation import draw_calibration, draw_returns
from decision_minrnn.tracking import write_images


def show_evaluation(run: Path, update: int, evaluation: Evaluation, preview: bytes | None = None) -> None:
    """Write the figures of an evaluation for TensorBoard, and a GIF of an episode if there is one.

    Nothing is drawn without matplotlib. Tags end in the memory mode, so that those of several stand side by side.
    """
    images = {}
    policies = {evaluation.memory: {result.target_return: [result.returns] for result in evaluation.targets}}
    with suppress(MissingExtraError):
        images[f"calibration/{evaluation.memory}"] = render(draw_calibration(policies), "png")
        images[f"returns/{evaluation.memory}"] = render(draw_returns(policies), "png")
    if preview is not None:
        images[f"video/{evaluation.memory}"] = preview
    if images:
        write_images(run, update, images)
