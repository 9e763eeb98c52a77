"""Everything on the page about one's own environment and data is run, from top to bottom, as a reader would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "own-data.md"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the pages are in the repository, not in the wheel")

SCRIPT = "import sys; sys.path.remove(''); from decision_minrnn.cli import main; sys.exit(main())"
"""As the console script runs: the working directory is not on the import path."""


@pytest.mark.slow
def test_the_page_from_top_to_bottom(tmp_path: Path) -> None:
    environment = {**os.environ, "MINARI_DATASETS_PATH": str(tmp_path / "minari")}
    printed = ""

    def run(*command: str) -> None:
        nonlocal printed
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        printed += done.stdout

    blocks = re.findall(r"```(\w+) ?(\S*)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for language, name, content in blocks:
        if name:
            (tmp_path / name).write_text(content, encoding="utf-8")
        elif language == "python":
            run("-c", content)
        for line in content.splitlines() if language == "sh" else []:
            program, *words = line.split()
            if program == "decision-minrnn":
                run("-c", SCRIPT, *words)
            elif program == "python":
                run(*words)
            elif program == "export":
                environment.update([words[0].split("=", 1)])
            else:
                subprocess.run(line.split(), cwd=tmp_path, check=True)
    assert {name for _, name, _ in blocks} == {"", "puck.py", "puck.toml", "record.py"}
    with np.load(tmp_path / "random.npz") as recorded:
        data_mean = recorded["rewards"].sum() / 1000
    (row,) = json.loads((tmp_path / "scores.json").read_text())["targets"]
    assert row["return_mean"] > data_mean + 5
    assert "highest return in the data; --targets names others" in printed
    assert printed.count("0 errors, 0 warnings") == 2
