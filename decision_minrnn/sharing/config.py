"""What `config.json` and `cards.json` of a shared policy hold."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from decision_minrnn.cards import dataset_cards, env_cards
from decision_minrnn.config import Memory
from decision_minrnn.errors import CheckpointError, ConfigError
from decision_minrnn.origin import Origin, RunInfo
from decision_minrnn.records import record_from_dict

FORMAT = 1


@dataclass(frozen=True)
class SharedPolicy:
    """A policy but for its weights."""

    memory: Memory
    context: int | None
    sampled: bool
    origin: Origin | None

    def to_json(self) -> str:
        """As written to `config.json`."""
        return json.dumps({"format": FORMAT, "policy": asdict(self)}, indent=2) + "\n"

    @staticmethod
    def read(path: Path) -> SharedPolicy:
        """Raises `CheckpointError` for a file that is damaged or of another version."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} is damaged: {error}.") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise CheckpointError(f"{path} is not a shared policy of format {FORMAT}, which this version reads.")
        try:
            return record_from_dict(content.get("policy"), SharedPolicy, str(path))
        except ConfigError as error:
            raise CheckpointError(f"{error} The file is damaged, or was written by another version.") from error


def without_folders(run: RunInfo) -> RunInfo:
    """What a run records of itself, with the names of files in place of their paths on this machine."""
    train = run.train
    dataset, env = _without_folder(train.dataset), train.env and _without_folder(train.env)
    described = run.dataset.replace(train.dataset, dataset)
    return replace(run, train=replace(train, dataset=dataset, env=env, out=None), dataset=described)


def _without_folder(name: str) -> str:
    """Of what is a path here, the last part; a dataset's id, which looks like one, stays whole."""
    path = Path(name).expanduser()
    return path.name if path.is_absolute() or path.exists() else name


def cards_json(origin: Origin | None) -> str:
    """The cards that a run names, as they are found now; of an environment's, not the code that it registers with."""
    names: dict[str, str | None] = origin.run.cards if origin else {}
    env, dataset = env_cards().get(names.get("env") or ""), dataset_cards().get(names.get("dataset") or "")
    shown: dict[str, Any] = {
        "env": env and {key: value for key, value in asdict(env).items() if key not in ("register", "path")},
        "dataset": dataset and asdict(dataset),
    }
    return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"
