"""What is recorded of the kernels, and that a GPU's run compiles none for the CPU."""

from __future__ import annotations

import pytest
import torch

from decision_minrnn.ops import native
from decision_minrnn.ops.kernels import kernels_on

CPU = torch.device("cpu")


def test_on_a_cpu_they_are_compiled_or_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    for multiplies, compiled in ((True, "compiled"), (False, "compiled in part")):
        monkeypatch.setattr(native, "multiplies", lambda dtype, found=multiplies: found)
        assert kernels_on(CPU) == (compiled if native.runs_here() else "torch")
    monkeypatch.setenv(native.SWITCH, "off")
    assert kernels_on(CPU) == "torch"


def test_for_another_device_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "runs_here", lambda: pytest.fail("compiled for the CPU"))
    assert kernels_on(torch.device("meta")) == "torch"
