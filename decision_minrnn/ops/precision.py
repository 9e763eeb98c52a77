"""The type that matrix products are computed in."""

from __future__ import annotations

import torch
from torch import Tensor


def product_precision(x: Tensor) -> torch.dtype:
    """Of products with x: autocast's on its device, or its own."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
