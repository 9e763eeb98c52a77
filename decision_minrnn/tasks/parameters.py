"""How many parameters a layer has: minGRU and minLSTM beside GRU and LSTM (arXiv 2410.01201, section 3).

For input and state sizes D and H = alpha D, without the map back to D and without biases:

    GRU 3 (D + H) H      LSTM 4 (D + H) H      minGRU 2 D H      minLSTM 3 D H

so that minGRU has 2 / (3 (1 + alpha)) of GRU's. The counts here are of the layers themselves, with what the formula
leaves out: biases, minGRU's learned initial state, and the map from H back to D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from decision_minrnn.encoders import build_encoder
from decision_minrnn.errors import ConfigError
from decision_minrnn.published import PARAMETER_PERCENTAGES

COUNTERPARTS = {"mingru": "gru", "minlstm": "lstm"}


@dataclass(frozen=True)
class ParameterCount:
    """One row of the table."""

    encoder: str
    counterpart: str
    expansion: int
    width: int
    weights: int
    """Entries of the matrices of the recurrence."""
    counterpart_weights: int
    percent: float
    """Of the counterpart's."""
    published_percent: int | None
    layer: int
    """All parameters of the layer as it is built here."""
    counterpart_layer: int


def count_parameters(width: int = 64, expansions: Sequence[int] = (1, 2, 3, 4)) -> list[ParameterCount]:
    """Count the layers of a width, for each expansion. Raises `ConfigError` for a width or expansion below 1."""
    if width < 1 or not expansions or min(expansions) < 1:
        raise ConfigError(f"expected a width and expansions of at least 1, got {width} and {list(expansions)}.")
    rows = []
    for encoder, counterpart in COUNTERPARTS.items():
        for expansion in expansions:
            own, other = _layer(encoder, width, expansion), _layer(counterpart, width, expansion)
            weights, others = _recurrent_weights(own), _recurrent_weights(other)
            published = PARAMETER_PERCENTAGES[encoder]
            rows.append(
                ParameterCount(
                    encoder=encoder,
                    counterpart=counterpart,
                    expansion=expansion,
                    width=width,
                    weights=weights,
                    counterpart_weights=others,
                    percent=100 * weights / others,
                    published_percent=published[expansion - 1] if expansion <= len(published) else None,
                    layer=_count(own),
                    counterpart_layer=_count(other),
                )
            )
    return rows


def _layer(encoder: str, width: int, expansion: int) -> nn.Module:
    """The sequence layer alone, out of an encoder of one block."""
    (block,) = build_encoder(encoder, width, 1, expansion=float(expansion)).blocks
    return block.get_submodule("layer")


def _recurrent_weights(layer: nn.Module) -> int:
    """Entries of the matrices, without the one that maps the state back to the width."""
    return sum(p.numel() for name, p in layer.named_parameters() if p.ndim == 2 and not name.startswith("project_out"))


def _count(layer: nn.Module) -> int:
    return sum(p.numel() for p in layer.parameters())
