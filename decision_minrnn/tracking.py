"""What a run writes while it trains: `metrics.jsonl` and TensorBoard events, the same numbers in both."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decision_minrnn.files import write_text_atomically


class Tracker:
    """Writes scalars of one run; a resumed run goes on where its checkpoint was, without a gap or a double."""

    def __init__(self, folder: Path, resumed_at: int = 0) -> None:
        """`resumed_at` is the update of the checkpoint that training goes on from; what was logged after it is dropped."""
        # imported here: TensorBoard takes a second, and only a training run needs it
        from torch.utils.tensorboard import SummaryWriter

        self._path = folder / "metrics.jsonl"
        kept = [line for line in self.rows() if line["update"] <= resumed_at] if resumed_at else []
        write_text_atomically(self._path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = self._path.open("a", encoding="utf-8")
        self._writer = SummaryWriter(str(folder), purge_step=resumed_at + 1 if resumed_at else None)

    def rows(self) -> list[dict[str, Any]]:
        """What `metrics.jsonl` holds so far; a line that a crash cut short is left out."""
        if not self._path.exists():
            return []
        rows = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        return rows

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        """Write one line of metrics; a value that is not finite is written as null."""
        row = {tag: value if math.isfinite(value) else None for tag, value in values.items()}
        self._file.write(json.dumps({"update": update, **row}) + "\n")
        self._file.flush()
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, update)

    def text(self, tag: str, text: str) -> None:
        """Show a text, in Markdown."""
        self._writer.add_text(tag, text)

    def hparams(self, settings: Mapping[str, Any], results: Mapping[str, float]) -> None:
        """Enter the run into TensorBoard's table of hyperparameters, once, at its end."""
        from torch.utils.tensorboard.summary import hparams

        plain = {key: value if isinstance(value, (bool, int, float, str)) else str(value) for key, value in settings.items()}
        # SummaryWriter.add_hparams would open a second run beside this one
        for summary in hparams(plain, dict(results)):
            self._writer.file_writer.add_summary(summary)

    def close(self) -> None:
        """Flush everything to disk."""
        self._file.close()
        self._writer.close()
