"""Causal convolutions with a filter of each channel's own that is as long as a sequence.

    y_t = sum_{j < taps} f_j * x_{t-j}

PyTorch's depth-wise convolutions are made for a handful of taps. Short ones are a product with a Toeplitz matrix here,
long ones a product of spectra (Poli et al. 2023, "Hyena Hierarchy", section 2.1), in O(T log T).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

LONG = 96
"""Inputs, those before the first output included, from which on spectra are faster."""


def long_convolution(
    inputs: Float[Tensor, "batch before_and_time width"], kernel: Float[Tensor, "taps width"]
) -> Float[Tensor, "batch time width"]:
    """y at every step but the first `taps - 1`, which are what came before. Differentiable in both.

    The kernel begins with the weight of the nearest input. Spectra are in at least float32, whatever the precision of
    products; by them, later inputs change earlier outputs by rounding.
    """
    length, before = inputs.shape[1], len(kernel) - 1
    if length == len(kernel):
        return (inputs * kernel.flip(0)).sum(dim=1, keepdim=True).to(inputs.dtype)
    if length < LONG:
        return by_time(by_channel(inputs) @ toeplitz(kernel.t(), length - before, length).mT)
    # what a circular convolution wraps around falls on steps that are not asked for
    size, precision = _smooth(length), torch.promote_types(inputs.dtype, torch.float32)
    seen, weights = (torch.fft.rfft(x.transpose(-1, -2).to(precision), size) for x in (inputs, kernel))
    y = torch.fft.irfft(seen * weights, size)[..., before:length]
    return y.transpose(1, 2).to(inputs.dtype)


def toeplitz(kernel: Float[Tensor, "width taps"], rows: int, columns: int) -> Float[Tensor, "width {rows} {columns}"]:
    """f_{t-s} at [t, s] for the last `rows` of `columns` steps, and 0 where there is no such tap."""
    padded = nn.functional.pad(kernel.flip(1), (columns - kernel.shape[1], rows - 1))
    return padded.unfold(1, columns, 1).flip(1)


def by_channel(x: Float[Tensor, "*batch time width"]) -> Float[Tensor, "width rows time"]:
    """Each channel's sequences as the rows of a matrix.

    Contiguous, since PyTorch goes through products of matrices without a contiguous axis one by one.
    """
    return x.movedim(-1, 0).contiguous().flatten(1, -2)


def by_time(y: Float[Tensor, "width rows time"]) -> Float[Tensor, "rows time width"]:
    """The inverse, for what is no more multiplied; its gradient is contiguous as well."""
    if y.requires_grad:
        y.register_hook(torch.Tensor.contiguous)
    return y.movedim(0, -1)


def _smooth(length: int) -> int:
    """A multiple of a high power of two that is no less, and an eighth more at most: spectra of primes take longer."""
    step = 1 << max(0, length.bit_length() - 4)
    return -(-length // step) * step
