"""The linear recurrence h_t = a_t * h_{t-1} + b_t, elementwise, behind one function that picks an implementation.

Every encoder of this package that is linear in its state runs through `linear_scan`. Implementations stand beside this
file, one each; all are tested against a float64 loop.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from decision_minrnn.ops import triton
from decision_minrnn.ops.log_space import log_space_scan
from decision_minrnn.ops.reference import reference_scan
from decision_minrnn.ops.sequential import sequential_scan

Scan = Callable[[Tensor, Tensor, Tensor], Tensor]


def _on_gpu(coefficients: Tensor, values: Tensor, state: Tensor) -> Tensor:
    """The Triton kernel, whose module imports triton."""
    from decision_minrnn.ops.triton.linear import triton_scan

    return triton_scan(coefficients, values, state)


_BACKENDS: dict[str, Scan] = {
    "sequential": sequential_scan,
    "reference": reference_scan,
    "log_space": log_space_scan,
    "triton": _on_gpu,
}


def backends(device: torch.device | None = None) -> list[str]:
    """Names of the implementations that work on this machine, or on a device of it; `triton` only on a GPU for it."""
    on_gpu = triton.runs_here() if device is None else triton.takes(torch.empty(0, device=device))
    return [name for name in _BACKENDS if name != "triton" or on_gpu or triton.interpreted()]


def linear_scan(
    coefficients: Float[Tensor, "batch time dim"],
    values: Float[Tensor, "batch time dim"],
    state: Float[Tensor, "batch dim"] | None = None,
    *,
    reset: Bool[Tensor, "batch time"] | None = None,
    backend: str = "auto",
) -> tuple[Float[Tensor, "batch time dim"], Float[Tensor, "batch dim"]]:
    """Run h_t = coefficients_t * h_{t-1} + values_t over time.

    Computed in float32 (float64 or complex where coefficients or values are) whatever the inputs' precision and
    autocast say, since the rounding of a recurrence accumulates with T. Differentiable in `coefficients`, `values` and
    `state`.

    Args:
        coefficients: a, any strides.
        values: b, any strides.
        state: h before the first step; None is zero.
        reset: True where the state that enters step t is dropped, so that h_t = values_t.
        backend: one of `backends()`, or `auto`: `triton` for real numbers on a GPU that it supports, else
            `sequential`. `log_space` wants real coefficients and values >= 0, `triton` real numbers on a GPU.

    Returns:
        h at every step, and h at the last one.

    Raises:
        ValueError: shapes that do not fit, no time steps, an unknown backend, or numbers that it does not take.
    """
    if coefficients.ndim != 3 or coefficients.shape != values.shape:
        raise ValueError(
            "linear_scan expects coefficients and values of one shape [batch, time, dim], "
            f"got {list(coefficients.shape)} and {list(values.shape)}."
        )
    batch, time, dim = values.shape
    if time == 0:
        raise ValueError("linear_scan expects at least one time step, got a sequence of length 0.")
    if state is not None and state.shape != (batch, dim):
        raise ValueError(f"linear_scan expects a state of shape {[batch, dim]}, got {list(state.shape)}.")
    if reset is not None and (reset.shape != (batch, time) or reset.dtype != torch.bool):
        raise ValueError(
            f"linear_scan expects reset marks of shape {[batch, time]} and type bool, "
            f"got {list(reset.shape)} and {reset.dtype}."
        )
    if backend != "auto" and backend not in backends():
        raise ValueError(f"unknown scan backend '{backend}'; expected auto or one of {', '.join(backends())}.")
    is_complex = coefficients.is_complex() or values.is_complex()
    if backend in ("log_space", "triton") and is_complex:
        raise ValueError(f"the scan backend {backend} takes real numbers; give complex ones to another.")
    name = ("triton" if triton.takes(values) and not is_complex else "sequential") if backend == "auto" else backend
    dtype = torch.promote_types(torch.promote_types(coefficients.dtype, values.dtype), torch.float32)
    with torch.autocast(values.device.type, enabled=False):
        coefficients, values = coefficients.to(dtype), values.to(dtype)
        state = values.new_zeros(batch, dim) if state is None else state.to(dtype)
        if reset is not None:
            coefficients = coefficients.masked_fill(reset[..., None], 0.0)
        h = _BACKENDS[name](coefficients, values, state)
    return h, h[:, -1]
