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
