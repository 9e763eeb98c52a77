"""What TensorBoard's own reader finds in a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorboard.summary.writer.event_file_writer as event_files
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.util.tensor_util import make_ndarray

# Files are read in the order of their names: second, host, process, number. Trainings that one process does within a
# second differ in the number alone, which has to have as many digits in each for that order to be the right one.
event_files._global_uid = type(event_files._global_uid)(1_000_000)


def reader(folder: Path) -> EventAccumulator:
    everything = {"scalars": 0, "tensors": 0}
    return EventAccumulator(str(folder), size_guidance=everything).Reload()


def scalars_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) pairs of each tag."""
    found = reader(folder)
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def texts_of(folder: Path) -> dict[str, str]:
    found = reader(folder)
    texts = {}
    for tag in found.Tags()["tensors"]:
        if tag.endswith("/text_summary"):
            (event,) = found.Tensors(tag)
            texts[tag.removesuffix("/text_summary")] = make_ndarray(event.tensor_proto)[0].decode()
    return texts


def hparams_of(folder: Path) -> list[dict[str, Any]]:
    """The settings of each entry in the table of hyperparameters, from the raw events, so that a double shows."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    entries = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value if event.HasField("summary") else ():
                if value.tag == "_hparams_/session_start_info":
                    content = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                    settings = content.session_start_info.hparams
                    entries.append({name: getattr(item, item.WhichOneof("kind")) for name, item in settings.items()})
    return entries
