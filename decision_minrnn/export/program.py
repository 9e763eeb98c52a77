"""The step as a torch program (`torch.export`), for torch without this package and for its ahead-of-time compiler.

`torch.export.load` is torch's own, and a file that someone has tampered with may make it run code: load what you trust.
The ONNX form has no such weakness.
"""

from __future__ import annotations

import io
import json
from typing import Any

import torch
from numpy import ndarray

from decision_minrnn.errors import ExportError
from decision_minrnn.export.description import KEY
from decision_minrnn.export.step import INPUTS, Arrays, ControlStep


def serialize(step: ControlStep, arguments: tuple[torch.Tensor, ...], description: dict[str, Any]) -> bytes:
    """The program as the content of a .pt2 file; raises `ExportError` for a step that torch cannot follow."""
    batch, content = torch.export.Dim("batch"), io.BytesIO()
    try:
        with torch.no_grad():
            program = torch.export.export(step, arguments, dynamic_shapes=({0: batch},) * len(arguments), strict=False)
            for node in program.graph.nodes:
                node.meta.pop("stack_trace", None)  # where its source lay on this machine
            torch.export.save(program, content, extra_files={KEY: json.dumps(description, allow_nan=False)})
    except Exception as error:
        # torch has no common class for what it cannot export
        raise ExportError(f"the encoder {step.config.encoder} cannot be exported as a program: {error}") from error
    return content.getvalue()


class Program:
    """An exported step under torch."""

    def __init__(self, content: bytes, threads: int = 0) -> None:
        """`threads` are those of the process, whatever is asked for here."""
        files = {KEY: ""}
        self._step = torch.export.load(io.BytesIO(content), extra_files=files).module()
        self.description: dict[str, Any] = json.loads(files[KEY])

    @torch.inference_mode()
    def __call__(self, inputs: Arrays) -> dict[str, ndarray]:
        """One step."""
        results = self._step(*(torch.from_numpy(inputs[name]) for name in INPUTS))
        return {name: result.numpy() for name, result in zip(self.description["outputs"], results, strict=True)}
