"""Figures of "Were RNNs All We Needed?" (arXiv 2410.01201), to stand beside what is measured here.

They are of the paper's sizes, hardware and code; those that it takes over from others are marked in its tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from decision_minrnn.config import OptionValue


class Published(NamedTuple):
    """A mean and, where one is given, its deviation."""

    mean: float
    deviation: float | None = None

    def __str__(self) -> str:
        return f"{self.mean:.1f}" + (f"±{self.deviation:.1f}" if self.deviation is not None else "")


COPYING_BY_LAYERS = {
    ("minlstm", 1): Published(37.6, 2.0),
    ("minlstm", 2): Published(85.7, 5.8),
    ("minlstm", 3): Published(96.0, 2.8),
    ("mingru", 1): Published(37.0, 2.3),
    ("mingru", 2): Published(96.8, 3.2),
    ("mingru", 3): Published(99.5, 0.2),
}
"""Accuracy in percent on Selective Copying of 4096 places, by encoder and layers."""

COPYING_BY_LAYER_AND_STYLE = {
    ("s4d", "plain"): Published(18.3),
    ("s6", "plain"): Published(97.0),
    ("s4d", "h3"): Published(57.0),
    ("hyena", "h3"): Published(30.1),
    ("s6", "h3"): Published(99.7),
    ("s4d", "mamba"): Published(56.4),
    ("hyena", "mamba"): Published(28.4),
    ("s6", "mamba"): Published(99.8),
}
"""The same for layers in the gates of an architecture (taken over from Gu and Dao 2023; S4 where S4D stands here)."""

_GATED = {"mamba": ("s6", "mamba"), "h3": ("s4d", "h3")}
"""Encoders that are a layer in gates."""

PARAMETER_PERCENTAGES = {"mingru": (33, 22, 17, 13), "minlstm": (38, 25, 19, 15)}
"""Parameters of minGRU by those of GRU, and of minLSTM by those of LSTM, for expansions of 1 to 4."""

LANGUAGE_MODEL_LOSS = {"mingru": 1.548, "minlstm": 1.555, "mamba": 1.575, "transformer": 1.547}
"""Test loss in nats a character on the works of Shakespeare, three layers of width 384."""


def published_copying(encoder: str, options: Mapping[str, OptionValue], layers: int) -> Published | None:
    """What the paper reports for an encoder on Selective Copying, if anything."""
    style = str(options.get("style", "plain"))
    if style == "plain" and (encoder, layers) in COPYING_BY_LAYERS:
        return COPYING_BY_LAYERS[encoder, layers]
    return COPYING_BY_LAYER_AND_STYLE.get(_GATED.get(encoder, (encoder, style)))


D4RL_COLUMNS = {
    "transformer": "Decision Transformer",
    "s4d": "Decision S4",
    "aaren": "Decision Aaren",
    "mamba": "Decision Mamba",
    "minlstm": "minLSTM",
    "mingru": "minGRU",
}
"""What the paper calls the methods of its table of D4RL scores, by the encoder that is nearest to each."""

_D4RL = {
    "transformer": (42.6, 68.4, 75.5, 37.0, 85.6, 71.2, 88.8, 109.6, 109.3),
    "s4d": (42.5, 54.2, 78.0, 15.2, 49.6, 69.0, 92.7, 110.8, 105.7),
    "aaren": (42.2, 80.9, 74.4, 37.9, 77.9, 71.4, 75.7, 103.9, 110.5),
    "mamba": (42.8, 83.5, 78.2, 39.6, 82.6, 70.9, 91.9, 111.1, 108.3),
    "minlstm": (42.7, 85.0, 72.0, 38.6, 88.5, 69.7, 85.4, 110.3, 110.3),
    "mingru": (43.0, 79.4, 73.3, 38.5, 90.5, 72.8, 86.3, 109.7, 110.3),
}
_D4RL_DEVIATIONS = {
    "minlstm": (0.7, 4.4, 7.5, 1.1, 4.7, 10.7, 1.7, 1.6, 0.5),
    "mingru": (0.4, 8.2, 3.3, 1.1, 0.9, 8.9, 0.5, 2.7, 0.4),
}

D4RL_DATASETS = tuple(
    f"{robot}-{level}-v2"
    for level in ("medium", "medium-replay", "medium-expert")
    for robot in ("halfcheetah", "hopper", "walker2d")
)
"""Names of the nine locomotion datasets, in the order of the paper's table."""


def published_d4rl(dataset: str, encoder: str) -> Published | None:
    """The normalised score that the paper's table of D4RL results gives for a dataset and a method, if any.

    Over five seeds. Of the methods other than minLSTM and minGRU, which the table takes over from elsewhere, only the
    means stand here.
    """
    if dataset not in D4RL_DATASETS or encoder not in _D4RL:
        return None
    column = D4RL_DATASETS.index(dataset)
    deviations = _D4RL_DEVIATIONS.get(encoder)
    return Published(_D4RL[encoder][column], deviations[column] if deviations else None)
