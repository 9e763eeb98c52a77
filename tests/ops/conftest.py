"""GPU kernels on a CPU: Triton's interpreter, with a prefix sum over the rows of a tile in place of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from decision_minrnn.ops import triton


@pytest.fixture(scope="session", autouse=True)
def quick_interpreter() -> Iterator[Callable[..., Any] | None]:
    """Several times as fast; gives the interpreter's own function, with which `test_triton.py` compares it."""
    if not triton.interpreted():
        yield None
        return
    from triton.runtime.interpreter import ScanOps

    own = ScanOps.generic_scan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScanOps, "generic_scan", scan_by_rows)
        yield own


def scan_by_rows(operation: Any, inputs: tuple[Any, ...]) -> list[Any]:
    """What `ScanOps.generic_scan` does along axis 0, for combinations that are elementwise."""
    assert operation.axis == 0
    columns = [x.handle.data for x in inputs]
    results = [np.zeros_like(column) for column in columns]
    total = None
    for index in range(len(columns[0])):
        row = [operation.to_tensor(column[index], x.dtype) for column, x in zip(columns, inputs, strict=True)]
        total = row if total is None else operation.combine_fn.fn(*total, *row)
        for result, x in zip(results, total, strict=True):
            result[index] = x.handle.data
    return [operation.to_tensor(result, x.dtype) for result, x in zip(results, inputs, strict=True)]
