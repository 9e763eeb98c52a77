"""`decision-minrnn share`: a policy with its model card, in a folder or on the Hugging Face hub."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from decision_minrnn.cli.parsing import run_command
from decision_minrnn.errors import ConfigError
from decision_minrnn.files import write_bytes_atomically


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    run_command(share, "share", arguments)


def share(
    run: Annotated[str, tyro.conf.Positional],
    folder: Annotated[str | None, tyro.conf.Positional] = None,
    push: str | None = None,
    private: bool = False,
    checkpoint: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write a policy with its model card into a folder, or publish it on the Hugging Face hub, or both.

    The card has the scores of the run's last evaluation of these weights; a video in the run folder (.mp4) goes along.
    Publishing needs a token: `hf auth login`, or the environment variable HF_TOKEN.

    Args:
        run: The run folder.
        folder: Where to write; a folder that does not exist, or is empty.
        push: Model repository on the hub to publish in, as owner/name. It is made if it is not there.
        private: Whether a repository that is made is private.
        checkpoint: Update of the checkpoint; by default the last.
        overwrite: Replace the files of a folder that is not empty.
    """
    from decision_minrnn.runs import load_policy
    from decision_minrnn.sharing import VIDEO, upload

    if folder is None and push is None:
        raise ConfigError("say where the policy is to go: a folder, --push owner/name, or both.")
    if folder is not None and Path(folder).is_dir() and any(Path(folder).iterdir()) and not overwrite:
        raise ConfigError(f"the folder {folder} is not empty. Choose another, or replace its files with --overwrite.")
    policy = load_policy(run, checkpoint=checkpoint)
    with tempfile.TemporaryDirectory() as temporary:
        written = Path(folder or temporary)
        policy.save_pretrained(written)
        if videos := sorted(Path(run).glob("*.mp4")):
            write_bytes_atomically(written / VIDEO, videos[-1].read_bytes())
        if policy.origin is None or policy.origin.evaluation is None:
            print(f"without scores: run `decision-minrnn evaluate {run}` first to have them in the model card")
        if folder is not None:
            print(f"written {folder}")
        if push is not None:
            print(f"published {upload(written, push, private).repository}")
