"""`decision-minrnn data download NAME...`: datasets from where they are to this machine."""

from __future__ import annotations

from typing import Annotated

import tyro


def download_datasets(names: Annotated[tuple[str, ...], tyro.conf.Positional], mirror: tuple[str, ...] = ()) -> None:
    """Download datasets that are not on this machine. A download that was stopped goes on where it was.

    Args:
        names: Names from `data list`, or Minari ids.
        mirror: Addresses (https://host/folder) to download D4RL's files from, tried before those that are known.
    """
    from decision_minrnn.cli.console import progress_console
    from decision_minrnn.data.fetch import fetch
    from decision_minrnn.data.resolve import locate
    from decision_minrnn.errors import ConfigError
    from decision_minrnn.progress import DownloadDisplay

    if not names:
        raise ConfigError("name the datasets to download; `decision-minrnn data list` shows what there is.")
    locations = [locate(name) for name in names]
    with DownloadDisplay(progress_console(stderr=True)) as display:
        for location in locations:
            fetch(location, mirror, display.show)
    for location in locations:
        print(f"{location.asked}: {location.path}")
