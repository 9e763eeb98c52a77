"""What an encoder is, and the registry of sequence layers from which encoders are built.

An encoder maps a sequence to a sequence, causally, and can be run in two ways that agree: `forward` over a whole
sequence in parallel, and `step` by step with a state whose size does not depend on how many steps were taken. A layer,
a block of layers and a stack of blocks all share this one interface.

Laws that the tests hold every registered layer to: T steps equal one forward pass, in values and gradients; splitting a
sequence and carrying the state equals not splitting it; a reset at step t equals a fresh sequence from t; the future
never changes the past; permuting the batch permutes the output.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from difflib import get_close_matches
from math import isfinite
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.ops.dropout import Mask
from decision_minrnn.ops.residual import add_branch
from decision_minrnn.types import State

Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""From inputs [B, D] and the state before them to outputs and the state after."""


class Encoder(nn.Module, ABC):
    """A causal map from [B, T, D] to [B, T, D] that can also be run one step at a time."""

    remembers: ClassVar[bool] = True
    """Whether a step depends on those before it; the state of a layer without memory is empty."""

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """The state before the first step; each tensor has the batch as its first axis."""

    @abstractmethod
    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        state: State | None = None,
        reset: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """Run over a whole sequence.

        Args:
            x: inputs.
            state: the state before the first step; None is the initial state.
            reset: True at the steps that are entered with the initial state.

        Returns:
            Outputs, and the state after the last step.
        """

    def residual(
        self,
        x: Float[Tensor, "batch time width"],
        norm: nn.LayerNorm,
        mask: Mask | None,
        state: State | None,
        reset: Bool[Tensor, "batch time"] | None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """x + `forward` of norm(x), of which a mask drops elements, and the state after the last step."""
        y, state = self(norm(x), state, reset)
        return add_branch(x, y, mask), state

    @abstractmethod
    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """Run one step: the output, and the state after it."""

    def stepper(self, rows: int | None = None) -> Step:
        """`step` as a function to be called many times, until parameters are replaced.

        A module that spends its step on looking things up does so here, once, and defines `step` by this.

        With a number of `rows` it is to act with: it takes just so many, outside of autograd. It may then write over
        its inputs, and into the outputs of its last call; the states that it returns are new.
        """
        return self.step


def reset_rows(state: State, initial: State, rows: Bool[Tensor, " batch"]) -> State:
    """`state` with `initial` in the rows that are marked."""
    return tuple(
        torch.where(rows.view(-1, *[1] * (new.ndim - 1)), new, old) for old, new in zip(state, initial, strict=True)
    )


def check_state(state: State | None) -> None:
    """Raise `ValueError` for a state that came from outside with NaN in it: everything after would be NaN as well.

    Not looked at where gradients are recorded, since a training that meets NaN says so by its loss, nor where torch
    compiles or exports.
    """
    if state is None or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return
    for index, part in enumerate(state):
        rows = part.isnan().flatten(1).any(dim=1)
        if rows.any():
            raise ValueError(
                f"the state that was passed in has NaN in tensor {index} of {len(state)}, in the rows "
                f"{rows.nonzero().flatten().tolist()}. Start those rows anew: with state=None, or a reset mark."
            )


_LAYERS: dict[str, type[Encoder]] = {}
LayerType = TypeVar("LayerType", bound=type[Encoder])


def register_layer(name: str) -> Callable[[LayerType], LayerType]:
    """Class decorator: make a sequence layer known to `build_encoder`, and so to `train --encoder NAME`.

    The class takes `width` and, as keyword arguments with defaults, its options.
    """

    def register(layer: LayerType) -> LayerType:
        if name in _LAYERS:
            raise ValueError(f"an encoder named '{name}' is registered already: {_LAYERS[name].__qualname__}.")
        _LAYERS[name] = layer
        return layer

    return register


def encoder_names() -> list[str]:
    """Names that `build_encoder` takes."""
    return sorted(_LAYERS)


def encoder_layer(name: str) -> type[Encoder]:
    """The layer registered under a name, or `UnknownNameError` with the nearest names."""
    if name not in _LAYERS:
        advice = "One of your own is known once the module that registers it is imported."
        raise UnknownNameError("encoder", name, _LAYERS, advice)
    return _LAYERS[name]


def keyword_options(function: Callable[..., Any]) -> dict[str, Any]:
    """Keyword-only arguments of a function and their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def checked_options(options: dict[str, Any], known: dict[str, Any], encoder: str) -> None:
    """Raise `ConfigError` for an option that is not known or not of its default's type."""
    for name, value in options.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            options_of_it = ", ".join(sorted(known))
            raise ConfigError(f"encoder {encoder} has no option '{name}'.{meant} Its options: {options_of_it}.")
        kinds = (int, float) if isinstance(known[name], float) else (type(known[name]),)
        if type(value) not in kinds or (isinstance(value, float) and not isfinite(value)):
            raise ConfigError(f"encoder option {name} expects a value of type {kinds[-1].__name__}, got {value!r}.")
