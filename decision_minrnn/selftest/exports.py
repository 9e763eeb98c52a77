"""What is exported acts as the policy does, where the packages for it are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from decision_minrnn.export import TOLERANCE, default_name, export_policy
from decision_minrnn.policy import Policy
from decision_minrnn.selftest.base import Finding, register_check
from decision_minrnn.selftest.rollouts import small_model


@register_check("exports")
def exports(device: torch.device) -> Iterator[Finding]:
    """A small policy's step as an ONNX model beside the policy, through made-up episodes. On the CPU on any device."""
    with TemporaryDirectory() as folder:
        model = small_model(torch.device("cpu"))
        difference = export_policy(Policy(model), Path(folder) / default_name("onnx"))
        assert difference is not None
        yield Finding("actions of an ONNX model", difference, TOLERANCE)
