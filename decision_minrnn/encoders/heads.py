"""Attention heads: how a width is divided."""

from __future__ import annotations

from decision_minrnn.errors import ConfigError


def head_size(width: int, heads: int) -> int:
    """Width of one head; raises `ConfigError` where the heads do not divide the width."""
    if heads < 1 or width % heads:
        divisors = ", ".join(str(number) for number in range(1, width + 1) if width % number == 0)
        raise ConfigError(
            f"encoder option heads expects a divisor of the width {width}, got {heads}: one of {divisors}."
        )
    return width // heads
