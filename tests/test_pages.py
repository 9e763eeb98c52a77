"""What pages tell a reader to do is done, from top to bottom, in an empty folder; and the site is built of them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / "docs"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DOCS.exists(), reason="the pages are in the repository, not in the wheel"),
]

SCRIPT = "import sys; sys.path.remove(''); from decision_minrnn.cli import main; sys.exit(main())"
"""As the console script runs: the working directory is not on the import path."""


def follow(page: str, folder: Path) -> tuple[str, set[str]]:
    """Do what a page says; returns what was printed, and the names of the files that it shows.

    A block of code is run, or written to the file that is named beside its language; one marked `skip` is for people.
    """
    # threads that wait for each other would cost such small models more than they bring
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MINARI_DATASETS_PATH": str(folder / "minari")}
    printed, files = "", set()

    def run(*command: str) -> None:
        nonlocal printed
        done = subprocess.run(
            [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        printed += done.stdout

    blocks = re.findall(r"```(\w+) ?(\S*)\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    for language, name, content in blocks:
        if name == "skip":
            continue
        if name:
            files.add(name)
            (folder / name).write_text(content, encoding="utf-8")
        elif language == "python":
            run("-c", content)
        for line in content.splitlines() if language == "sh" else []:
            program, *words = shlex.split(line)
            if program == "decision-minrnn":
                run("-c", SCRIPT, *words)
            elif program == "python":
                run(*words)
            elif program == "export":
                environment.update([words[0].split("=", 1)])
            else:
                subprocess.run([program, *words], cwd=folder, check=True)
    return printed, files


def test_own_data(tmp_path: Path) -> None:
    printed, files = follow("own-data.md", tmp_path)
    assert files == {"puck.py", "puck.toml", "record.py"}
    with np.load(tmp_path / "random.npz") as recorded:
        data_mean = recorded["rewards"].sum() / 1000
    (row,) = json.loads((tmp_path / "scores.json").read_text())["targets"]
    assert row["return_mean"] > data_mean + 5
    assert "highest return in the data; --targets names others" in printed
    assert printed.count("0 errors, 0 warnings") == 2


@pytest.mark.timeout(900)
def test_the_tutorial(tmp_path: Path) -> None:
    printed, _ = follow("tutorial.md", tmp_path)
    assert "80,342 in 184 episodes" in printed
    assert re.search(r"earned [1-9]\d+\n$", printed)
    assert "<figure" in (tmp_path / "first.html").read_text(encoding="utf-8")
    assert {path.name for path in (tmp_path / "first").glob("evaluation*.json")} == {
        "evaluation.json",
        "evaluation-window.json",
    }


def test_the_site_is_built_without_warnings(tmp_path: Path) -> None:
    for package in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        assert page.stem == "index" or f'href="{page.stem}.html"' in index
    reference = (tmp_path / "about" / "reference.html").read_text(encoding="utf-8")
    for name in ("training.train", "policy.Policy.act", "data.trajectories.Trajectories.returns_to_go"):
        assert f'id="decision_minrnn.{name}"' in reference
