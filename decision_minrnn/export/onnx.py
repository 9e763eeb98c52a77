"""The step as an ONNX model, for onnxruntime and whatever else reads that format."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from numpy import ndarray

from decision_minrnn.errors import ExportError, MissingExtraError
from decision_minrnn.export.description import KEY
from decision_minrnn.export.step import INPUTS, Arrays, ControlStep


def serialize(step: ControlStep, arguments: tuple[torch.Tensor, ...], description: dict[str, Any]) -> bytes:
    """The model as the content of a file; raises `ExportError` for operations that ONNX does not have."""
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("onnx and onnxscript", "export") from error
    batch = torch.export.Dim("batch")
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                step,
                arguments,
                dynamo=True,
                input_names=INPUTS,
                output_names=step.outputs,
                dynamic_shapes=({0: batch},) * len(arguments),
                verbose=False,
            )
    except Exception as error:
        # torch has no common class for what it cannot export
        raise ExportError(f"the encoder {step.config.encoder} cannot be exported to ONNX: {error}") from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    model.producer_name = "decision_minrnn"
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        del node.metadata_props[:]  # where its source lay on this machine
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.helper.set_model_props(model, {KEY: json.dumps(description, allow_nan=False)})
    onnx.checker.check_model(model)
    return model.SerializeToString()


class Session:
    """An exported step under onnxruntime."""

    def __init__(self, content: bytes, threads: int = 0) -> None:
        """`threads` within one operation; 0: onnxruntime's own choice."""
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("onnxruntime", "export") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.description: dict[str, Any] = json.loads(self._session.get_modelmeta().custom_metadata_map[KEY])

    def __call__(self, inputs: Arrays) -> dict[str, ndarray]:
        """One step."""
        return dict(zip(self._outputs, self._session.run(None, dict(inputs)), strict=True))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings, which are of libraries that a policy does not need and of its own workings."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
