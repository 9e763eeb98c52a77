"""What TensorBoard shows of a run: read from its files, and from a real TensorBoard through its own interface."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from tiny import train_config, trajectories

from decision_minrnn.board import show_evaluation
from decision_minrnn.runs import read_evaluation
from decision_minrnn.training import train

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with figures, a moving picture and its settings, in a folder of runs."""
    folder = tmp_path_factory.mktemp("logs") / "ledger"
    train(train_config(folder), trajectories())
    show_evaluation(folder, 12, read_evaluation(folder), moving())
    return folder


def moving() -> bytes:
    first, second = (Image.new("RGB", (30, 20), colour) for colour in ("red", "blue"))
    content = BytesIO()
    first.save(content, "GIF", save_all=True, append_images=[second], duration=40)
    return content.getvalue()


def test_images_lie_beside_the_training(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert len(list(run.glob("events.*"))) == 1
    found = EventAccumulator(str(run / "evaluation"), size_guidance={"images": 0}).Reload()
    images = {tag: found.Images(tag)[-1] for tag in found.Tags()["images"]}
    assert set(images) == {"calibration/carried", "returns/carried", "video/carried"}
    assert {image.step for image in images.values()} == {12}
    assert images["video/carried"].encoded_image_string == moving()
    assert (images["video/carried"].width, images["video/carried"].height) == (30, 20)
    for tag in ("calibration/carried", "returns/carried"):
        with Image.open(BytesIO(images[tag].encoded_image_string)) as image:
            assert (image.format, image.width) == ("PNG", 1020)
            assert image.width == images[tag].width


def test_without_matplotlib_and_video_nothing_is_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.style"):
        monkeypatch.setitem(sys.modules, name, None)
    show_evaluation(tmp_path, 12, read_evaluation(run))
    assert list(tmp_path.iterdir()) == []
    show_evaluation(tmp_path, 12, read_evaluation(run), moving())
    assert len(list(tmp_path.glob("evaluation/events.*"))) == 1


class Server:
    """A TensorBoard on a port of its own choice."""

    def __init__(self, folder: Path, log: Path) -> None:
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host", "127.0.0.1", "--port"]
        self.log = log
        with log.open("wb") as file:
            flags = ["0", "--load_fast=false"]
            self.process = subprocess.Popen([*command, *flags], stdout=file, stderr=subprocess.STDOUT)
        self.address = self.wait_for(self._address)

    def _address(self) -> str:
        return next(word for word in self.log.read_text().split() if word.startswith("http://")).rstrip("/")

    def wait_for(self, read: Any) -> Any:
        """What `read` returns once it raises no more, for at most two minutes."""
        for _ in range(240):
            assert self.process.poll() is None, self.log.read_text()
            try:
                return read()
            except (StopIteration, KeyError, urllib.error.URLError):
                time.sleep(0.5)
        raise AssertionError(self.log.read_text())

    def get(self, path: str, **query: str) -> bytes:
        with urllib.request.urlopen(f"{self.address}/data/{path}?{urllib.parse.urlencode(query)}") as answer:
            return answer.read()

    def json(self, path: str, **query: str) -> Any:
        return json.loads(self.get(path, **query))


@pytest.mark.slow
def test_a_real_tensorboard(run: Path, tmp_path: Path) -> None:
    server = Server(run.parent, tmp_path / "log")
    try:
        tags = server.wait_for(lambda: server.json("plugin/scalars/tags")["ledger"])
        assert {"losses/action", "charts/learning_rate", "eval/return/30"} <= set(tags)
        points = server.json("plugin/scalars/scalars", run="ledger", tag="losses/action")
        assert [step for _, step, _ in points] == [3, 4, 6, 8, 9, 12]
        written = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        losses = [row["losses/action"] for row in written if "losses/action" in row]
        assert [value for _, _, value in points] == pytest.approx(losses)

        images = server.wait_for(lambda: server.json("plugin/images/tags")["ledger/evaluation"])
        assert set(images) == {"calibration/carried", "returns/carried", "video/carried"}
        (entry,) = server.json("plugin/images/images", run="ledger/evaluation", tag="video/carried", sample="0")
        blob = server.get(f"plugin/images/individualImage?{entry['query']}".rstrip("?"))
        assert blob == moving()

        experiment = server.json("plugin/hparams/experiment", request='{"experimentName": ""}')
        assert {"width", "encoder", "seed"} <= {setting["name"] for setting in experiment["hparamInfos"]}
        wanted = {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS"], "sliceSize": 10}
        groups = server.json("plugin/hparams/session_groups", request=json.dumps(wanted))
        (group,) = groups["sessionGroups"]
        assert (group["hparams"]["encoder"], group["hparams"]["width"]) == ("mingru", 8)
    finally:
        server.process.terminate()
        server.process.wait()
