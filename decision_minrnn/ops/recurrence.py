"""h_t = a_t * h_{t-1} + b_t without a gradient: what the differentiable scans of this package run, both ways in time.

Step by step it is T small operations. With few rows these take their time in being called, so that a long sequence of
few rows is cut into pieces, which are gone through side by side as if each were a row of its own, from zero:

    h_t = local_t + (product of a from the piece's start to t) * (h before the piece)

and the h before each piece follow from one piece to the next: about 2 sqrt(T) operations instead of T, over three
times the memory.
"""

from __future__ import annotations

from math import isqrt

import torch
from jaxtyping import Shaped
from torch import Tensor

FEW_NUMBERS, MANY_STEPS = 512, 256
"""Pieces pay with at most so many numbers in a step, and at least so many steps."""


def in_pieces(values: Shaped[Tensor, "batch time dim"]) -> bool:
    """Whether a recurrence of this shape is gone through in pieces."""
    batch, time, dim = values.shape
    return values.device.type == "cpu" and batch * dim <= FEW_NUMBERS and time >= MANY_STEPS


def recurrence(
    coefficients: Shaped[Tensor, "batch time dim"],
    values: Shaped[Tensor, "batch time dim"],
    state: Shaped[Tensor, "batch dim"],
) -> Shaped[Tensor, "batch time dim"]:
    """h at every step, of real or complex numbers."""
    h = torch.empty_like(values, memory_format=torch.contiguous_format)
    whole = _by_pieces(coefficients, values, state, h) if in_pieces(values) else 0
    if whole:
        state = h[:, whole - 1]
    for a, b, out in zip(
        coefficients[:, whole:].unbind(1), values[:, whole:].unbind(1), h[:, whole:].unbind(1), strict=True
    ):
        torch.addcmul(b, a, state, out=out)
        state = out
    return h


def _by_pieces(coefficients: Tensor, values: Tensor, state: Tensor, h: Tensor) -> int:
    """Write h for as many steps as whole pieces of sqrt(T) have, and say how many these are."""
    time = values.shape[1]
    length = isqrt(time)
    count = time // length
    whole = count * length
    a, b, local = (x[:, :whole].unflatten(1, (count, length)).unbind(2) for x in (coefficients, values, h))
    products = torch.empty_like(h[:, :whole]).unflatten(1, (count, length))
    product = products.unbind(2)
    local[0].copy_(b[0])
    product[0].copy_(a[0])
    for step in range(1, length):
        torch.addcmul(b[step], a[step], local[step - 1], out=local[step])
        torch.mul(a[step], product[step - 1], out=product[step])
    before = torch.empty_like(local[0])
    for piece, entering in enumerate(before.unbind(1)):
        entering.copy_(state)
        state = torch.addcmul(local[-1][:, piece], product[-1][:, piece], state)
    h[:, :whole].unflatten(1, (count, length)).addcmul_(products, before[:, :, None])
    return whole


def reversed_recurrence(
    coefficients: Shaped[Tensor, "batch time dim"], values: Shaped[Tensor, "batch time dim"]
) -> Shaped[Tensor, "batch time dim"]:
    """G_t = b_t + a_{t+1} * G_{t+1}, from G_T = b_T: the gradient of a recurrence, from the gradients of its steps."""
    if in_pieces(values):
        after = torch.nn.functional.pad(coefficients[:, 1:], (0, 0, 0, 1)).flip(1)
        return recurrence(after, values.flip(1), torch.zeros_like(values[:, 0])).flip(1)
    total = values.clone(memory_format=torch.contiguous_format)
    a, g = coefficients.unbind(1), total.unbind(1)
    for t in range(len(g) - 2, -1, -1):
        g[t].addcmul_(a[t + 1], g[t + 1])
    return total
