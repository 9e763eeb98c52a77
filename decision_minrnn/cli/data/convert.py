"""`decision-minrnn data convert`: a dataset from one format into another."""

from __future__ import annotations

from typing import Annotated

import tyro

from decision_minrnn.data.minari.writing import Storage


def convert(
    source: Annotated[str, tyro.conf.Positional],
    target: Annotated[str, tyro.conf.Positional],
    env: str | None = None,
    storage: Storage = "hdf5",
    algorithm: str = "",
    description: str = "",
    unfinished_episode: bool = True,
    overwrite: bool = False,
) -> None:
    """Write a dataset in another format, equal to the bit: D4RL's layout in HDF5, the same in an npz archive, Minari.

    Args:
        source: A name from `data list`, a Minari id, or the path of an HDF5 or npz file or Minari folder.
        target: What ends in .hdf5, .h5 or .npz is a file in D4RL's layout, namespace/name-v0 a dataset in Minari's
            folder, and anything else (./name) a folder for a Minari dataset.
        env: The environment it belongs to, in place of the one it names: a card, a gymnasium id or a card's path.
        storage: How a Minari dataset is stored; arrow and parquet need the extra `arrow`.
        algorithm: What recorded it, in place of what the source says.
        description: Of the recording, in place of what the source says.
        unfinished_episode: Whether to keep an unfinished episode at the end.
        overwrite: Replace what is at the target.
    """
    from decision_minrnn.cli.console import progress_console
    from decision_minrnn.data import convert_dataset
    from decision_minrnn.progress import DownloadDisplay

    with DownloadDisplay(progress_console(stderr=True)) as display:
        path, read = convert_dataset(
            source,
            target,
            env=env,
            keep_unfinished=unfinished_episode,
            algorithm=algorithm,
            description=description,
            storage=storage,
            overwrite=overwrite,
            on_download=display.show,
        )
    print(f"read    {read}\nwritten {path}")
