"""What a run writes while it trains: `metrics.jsonl` and TensorBoard events, the same numbers in both."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from decision_minrnn.files import flush_names, write_text_atomically

_EVENTS = "events.out.tfevents."


class Tracker:
    """Writes scalars of one run; a resumed run goes on where its checkpoint was, without a gap or a double."""

    def __init__(self, folder: Path, resumed_at: int = 0) -> None:
        """`resumed_at` is the update that a run goes on from; what was logged after it is dropped."""
        # imported here: TensorBoard takes a second, and only a training run needs it
        from torch.utils.tensorboard import SummaryWriter

        kept = [row for row in read_metrics(folder) if row["update"] <= resumed_at]
        if not resumed_at:
            for left in folder.glob(f"{_EVENTS}*"):
                left.unlink()
        write_text_atomically(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in kept))
        self._folder = folder
        self._file = (folder / "metrics.jsonl").open("a", encoding="utf-8")
        _wait_for_a_later_name(folder)
        self._writer = SummaryWriter(str(folder), purge_step=resumed_at or None)
        # events up to a checkpoint are on the disk, those at its own update may be or not: they are written again
        for row in kept:
            if row["update"] == resumed_at:
                self._events(row["update"], row)
        self.evaluated = {row["update"] for row in kept if _holds_evaluation(row)}
        """Updates whose evaluation is written."""

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        """Write one line of metrics; a value that is not finite is written as null."""
        row = {tag: value if math.isfinite(value) else None for tag, value in values.items()}
        self._events(update, row)
        if _holds_evaluation(row):
            # a run is taken to be evaluated where the line stands: it comes after all else
            self._flush_events()
        self._file.write(json.dumps({"update": update, **row}) + "\n")
        self._file.flush()

    def text(self, tag: str, text: str) -> None:
        """Show a text, in Markdown."""
        self._writer.add_text(tag, text)

    def hparams(self, settings: Mapping[str, Any], results: Mapping[str, float]) -> None:
        """Enter the run into TensorBoard's table of hyperparameters, once, at its end.

        `results` names, by their tags, the scalars that the table shows beside the settings.
        """
        from torch.utils.tensorboard.summary import hparams

        plain = {
            key: value if isinstance(value, (bool, int, float, str)) else str(value) for key, value in settings.items()
        }
        # SummaryWriter.add_hparams would open a second run beside this one
        for summary in hparams(plain, dict(results)):
            self._writer.file_writer.add_summary(summary)  # type: ignore[attr-defined]

    def flush(self) -> None:
        """Bring everything to the disk, as must be done before a checkpoint that a run may be resumed from."""
        self._flush_events()
        os.fsync(self._file.fileno())

    def _flush_events(self) -> None:
        self._writer.flush()
        for path in self._folder.glob(f"{_EVENTS}*"):
            with path.open("rb") as events:
                os.fsync(events.fileno())
        flush_names(self._folder)

    def close(self) -> None:
        """Bring to the disk what can be, and close the files. What must be there was flushed before."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._writer.close()

    def _events(self, update: int, row: Mapping[str, float | None]) -> None:
        for tag, value in row.items():
            if tag != "update":
                self._writer.add_scalar(tag, math.nan if value is None else value, update)


def _wait_for_a_later_name(folder: Path) -> None:
    """Until a file of events made now comes after those that are there.

    TensorBoard reads them in the order of their names, which begin with the second that they were made in.
    """
    made = {path.name.removeprefix(_EVENTS).partition(".")[0] for path in folder.glob(f"{_EVENTS}*")}
    while str(int(time.time())) in made:
        time.sleep(0.02)


class NoTracker(Tracker):
    """Writes nothing: for the ranks that leave it to the first."""

    def __init__(self) -> None:
        self.evaluated = set()

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def text(self, tag: str, text: str) -> None:
        """Nothing."""

    def hparams(self, settings: Mapping[str, Any], results: Mapping[str, float]) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def write_images(run: Path, update: int, images: Mapping[str, bytes]) -> None:
    """Show images of an evaluation in TensorBoard, by tag: PNG, or GIF where they move.

    They go to `RUN/evaluation`: TensorBoard leaves a file of events as soon as there is a newer one beside it, and a
    run that is evaluated may still be training.
    """
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(run / "evaluation")) as writer:
        for tag, content in images.items():
            width, height = Image.open(BytesIO(content)).size
            image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=content)
            # SummaryWriter.add_video needs moviepy, and writes nothing without a word where it is missing
            writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), update)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's `metrics.jsonl`, as far as it is written; a line that a crash cut short is left out."""
    path = folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    rows = []
    for line in lines:
        with suppress(ValueError, RecursionError):
            row = json.loads(line)
            if isinstance(row, dict) and type(row.get("update")) is int:
                rows.append(row)
    return rows


def is_evaluated(folder: Path, update: int) -> bool:
    """Whether an evaluation after an update is written to a run's metrics."""
    return any(row["update"] == update and _holds_evaluation(row) for row in read_metrics(folder))


def _holds_evaluation(row: Mapping[str, Any]) -> bool:
    """Whether a line of metrics is one of an evaluation."""
    return any(tag.startswith("eval/") for tag in row)
