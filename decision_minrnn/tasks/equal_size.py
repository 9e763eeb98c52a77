"""The width at which a model has as many parameters as another, so that encoders are compared at equal size."""

from __future__ import annotations

from dataclasses import replace

from decision_minrnn.encoders import encoder_options
from decision_minrnn.tasks.model import TokenModel, TokenModelConfig


def matched_width(config: TokenModelConfig, parameters: int) -> int:
    """The width whose model comes nearest to a number of parameters; the lesser of two that are as near.

    Heads have to divide the width, and rotary positions want them even: with an option `heads`, the width is a multiple
    of twice as many.
    """
    heads = encoder_options(config.encoder).get("heads")
    unit = 1 if heads is None else 2 * int(config.encoder_options.get("heads", heads))

    def count(units: int) -> int:
        return TokenModel(replace(config, width=units * unit)).parameter_count

    high = 1
    while count(high) < parameters:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < parameters else (low, middle)
    if low and parameters - count(low) <= count(high) - parameters:
        return low * unit
    return high * unit
