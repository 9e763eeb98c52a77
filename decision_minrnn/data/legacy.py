"""What the package `d4rl` knows of its datasets, read without importing it.

`import d4rl` needs gym below 0.25, mujoco_py and dm_control, and does not work beside a gymnasium of today. Its file
`infos.py` needs nothing: it is found by `importlib.util.find_spec`, which does not run the package's `__init__`, and is
run by its path. The package comes with the extra `d4rl`, which is heavy (900 MB) and old, and nothing here needs it:
the cards hold the same numbers, and a test holds them against it where it is installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decision_minrnn.cards import Reference
from decision_minrnn.errors import DataError, MissingExtraError


@dataclass(frozen=True)
class LegacyInfos:
    """By D4RL name, `hopper-medium-v2`."""

    urls: Mapping[str, str]
    references: Mapping[str, Reference]


def read_infos() -> LegacyInfos:
    """Dataset addresses and reference scores of the installed package `d4rl`.

    Raises `MissingExtraError` where it is not installed, `DataError` where its `infos.py` cannot be read.
    """
    path = infos_path()
    if path is None:
        raise MissingExtraError("d4rl", "d4rl")
    try:
        spec = importlib.util.spec_from_file_location("decision_minrnn_d4rl_infos", path)
        assert spec is not None
        assert spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        low, high = module.REF_MIN_SCORE, module.REF_MAX_SCORE
        return LegacyInfos(
            urls={name: str(url) for name, url in module.DATASET_URLS.items()},
            references={
                name: Reference(float(low[name]), float(high[name]), f"infos.py of the installed d4rl ({path})")
                for name in low
                if name in high
            },
        )
    except Exception as error:
        raise DataError(f"{path} of the package d4rl cannot be read: {type(error).__name__}: {error}") from error


def infos_path() -> Path | None:
    """The `infos.py` of the package; None where it is not installed."""
    try:
        spec = importlib.util.find_spec("d4rl")
    except ValueError:  # something else put a module of that name where imports find it
        return None
    folders = spec.submodule_search_locations if spec else None
    return next((path for folder in folders or () if (path := Path(folder) / "infos.py").is_file()), None)
