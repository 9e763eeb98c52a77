"""Run folders as a training leaves them, without the training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tiny import model_config

from decision_minrnn.cards import Reference
from decision_minrnn.config import TrainConfig
from decision_minrnn.origin import RunInfo, Task
from decision_minrnn.runs import create_run

D4RL = Reference(-20.272305, 3234.3, "made up")


def make_run(
    folder: Path,
    scores: tuple[float, ...] = (50.0,),
    *,
    targets: tuple[float, ...] = (3600.0,),
    update: int | None = None,
    reference: Reference | None = D4RL,
    card: str | None = None,
    **settings: Any,
) -> TrainConfig:
    """A run with one score for each target; one that is at `update` of its updates is not finished."""
    config = TrainConfig(**{"dataset": "hopper-medium", "updates": 100, "out": str(folder)} | settings)
    info = RunInfo(
        train=config,
        model=model_config(),
        task=Task("Hopper-v5", targets, "d4rl" if reference else None, reference, 0.0, 3000.0),
        dataset="made for a test",
        dataset_sha256="0" * 64,
        cards={"env": "hopper", "dataset": card},
        versions={"decision-minrnn": "0.1.0"},
    )
    create_run(folder, info)
    done = config.updates if update is None else update
    (folder / f"checkpoints/update-{done:07d}").mkdir(parents=True)
    rows: list[dict[str, float]] = [{"update": done, "losses/action": 0.25}]
    if update is None:
        row: dict[str, float] = {"update": done}
        for target, score in zip(targets, scores, strict=True):
            row[f"eval/return/{target:g}"] = 10 * score
            if reference:
                row[f"eval/normalized_score/{target:g}"] = score
        rows.append(row)
        (folder / "evaluation.json").write_text("{}")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return config
