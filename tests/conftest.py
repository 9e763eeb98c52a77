"""Settings of all tests."""

from __future__ import annotations

import torch

# The tensors of the tests are small: threads that wait for each other cost more than they bring.
torch.set_num_threads(1)
