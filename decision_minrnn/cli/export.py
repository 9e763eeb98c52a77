"""`decision-minrnn export`: a policy's control step as a file that runs without this package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from decision_minrnn.cli.outputs import check_output
from decision_minrnn.cli.parsing import run_command
from decision_minrnn.export import Format
from decision_minrnn.files import write_json


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    run_command(export, "export", arguments)


def export(
    run: Annotated[str, tyro.conf.Positional],
    format: Format = "onnx",
    out: str | None = None,
    check: bool = True,
    checkpoint: int | None = None,
    overwrite: bool = False,
    json: str | None = None,
) -> None:
    """Write one control step of a policy as an ONNX model or a torch program (extra: export).

    The step takes observation, reward, previous_action, return_to_go and state, and returns action, next_return_to_go
    and next_state, for any number of episodes side by side. How an episode starts, shapes, bounds, target returns and
    versions stand in the file's metadata under `decision_minrnn`; normalisation and the scaling of actions are inside.

    Args:
        run: The run folder; or the folder of a shared policy, or its id on the Hugging Face hub (owner/name).
        format: `onnx` for onnxruntime and the like, `torch` for a program of torch.export.
        out: File to write; by default policy.onnx or policy.pt2, in that folder if it is one.
        check: Run the file beside the policy before it is written, and refuse one that acts otherwise.
        checkpoint: Update of the checkpoint; by default the last.
        overwrite: Replace the file if it is there.
        json: File to write what was found to as well; - prints it, and nothing else, to the standard output.
    """
    from decision_minrnn.export import default_name, export_policy
    from decision_minrnn.runs import load_policy

    check_output("--out", out)
    check_output("--json", json)
    policy = load_policy(run, checkpoint=checkpoint)
    folder = Path(run) if Path(run).is_dir() else Path()
    path = Path(out or folder / default_name(format))
    difference = export_policy(policy, path, format, check=check, overwrite=overwrite)
    if json is not None:
        write_json(json, {"file": str(path), "bytes": path.stat().st_size, "largest_difference": difference})
    if json == "-":
        return
    print(f"{path}: {path.stat().st_size:,} bytes")
    if difference is not None:
        print(f"acts as the policy does: actions differ by at most {difference:.0e} of their reach")
