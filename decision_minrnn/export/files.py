"""Exporting a policy: write the file, and see that it acts as the policy does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import torch
from numpy import ndarray

from decision_minrnn.errors import ConfigError, ExportError
from decision_minrnn.export import onnx, program
from decision_minrnn.export.comparison import largest_difference
from decision_minrnn.export.description import describe
from decision_minrnn.export.step import INPUTS, Arrays, ControlStep
from decision_minrnn.files import write_bytes_atomically
from decision_minrnn.policy import Policy

Format = Literal["onnx", "torch"]
TOLERANCE = 1e-5
"""By how much an action may differ, as a share of the reach of the action space."""


class Loaded(Protocol):
    """An exported step, as a user runs it."""

    description: dict[str, Any]

    def __call__(self, inputs: Arrays) -> dict[str, ndarray]:
        """One step."""


class _Form(NamedTuple):
    suffix: str
    serialize: Callable[[ControlStep, tuple[torch.Tensor, ...], dict[str, Any]], bytes]
    load: Callable[[bytes, int], Loaded]


_FORMS: dict[Format, _Form] = {
    "onnx": _Form(".onnx", onnx.serialize, onnx.Session),
    "torch": _Form(".pt2", program.serialize, program.Program),
}


def default_name(format: Format) -> str:
    """The name of the file, where none is given."""
    return f"policy{_FORMS[format].suffix}"


def export_policy(
    policy: Policy, path: str | Path, format: Format = "onnx", *, check: bool = True, overwrite: bool = False
) -> float | None:
    """Write one control step of a policy to a file.

    Args:
        policy: with carried memory.
        path: the file, which ends in .onnx or .pt2; the folder must be there.
        format: `onnx`, or `torch` for a program of `torch.export`.
        check: whether to run the file beside the policy, over episodes of made-up observations and rewards.
        overwrite: whether to replace a file that is there.

    Returns:
        The largest difference that the check found, as in `largest_difference`; None without.

    Raises:
        ConfigError: a file that is there already, another ending than the format's, or a format that is none.
        MissingExtraError: a package of the extra `export` is missing.
        ExportError: a policy that cannot be exported; or the check found actions that differ, and nothing is written.
    """
    path = Path(path)
    if format not in _FORMS:
        raise ConfigError(f"format expects {' or '.join(_FORMS)}, got {format!r}.")
    if path.suffix != _FORMS[format].suffix:
        raise ConfigError(f"{path}: a file of the format {format} expects a name that ends in {_FORMS[format].suffix}.")
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists already. Choose another file with --out, or replace it with --overwrite.")
    step = ControlStep(policy)
    # two rows, since torch would take the size of a batch of one for a constant
    inputs = {"observation": policy.model.observation_mean.cpu().numpy()[None].repeat(2, axis=0), **step.start(2, 0.0)}
    arguments = tuple(torch.from_numpy(inputs[name]) for name in INPUTS)
    content = _FORMS[format].serialize(step, arguments, describe(step, policy))
    difference = None
    if check:
        difference = largest_difference(policy, step, _FORMS[format].load(content, 0))
        if not difference <= TOLERANCE:
            raise ExportError(
                f"the exported step acts otherwise than the policy, by {difference:.1e} of the action's reach where at "
                f"most {TOLERANCE:.0e} was expected; {path} was not written. --no-check writes it nevertheless."
            )
    write_bytes_atomically(path, content)
    return difference


def load_exported(path: str | Path, threads: int = 0) -> Loaded:
    """An exported step that runs, by the file's name an ONNX model or a torch program; 0 threads: the library's choice.

    Raises `ConfigError` for another name.
    """
    path = Path(path)
    form = next((form for form in _FORMS.values() if form.suffix == path.suffix), None)
    if form is None:
        raise ConfigError(f"{path} expects a name that ends in {' or '.join(form.suffix for form in _FORMS.values())}.")
    return form.load(path.read_bytes(), threads)
