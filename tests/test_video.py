"""Videos of real episodes, read back: size, frames, and the return of the evaluation."""

from __future__ import annotations

import os
import subprocess
import sys
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from tiny import LEDGER, hopper_model, random_model

from decision_minrnn.errors import ConfigError, MissingExtraError
from decision_minrnn.policy import Policy
from decision_minrnn.rollout import evaluate
from decision_minrnn.video import (
    PREVIEW_FRAMES,
    PREVIEW_WIDTH,
    FilmedEnvironment,
    check_video,
    choose_renderer,
    write_video,
)

imageio = pytest.importorskip("imageio")
pytest.importorskip("imageio_ffmpeg")
Image = pytest.importorskip("PIL.Image")

PAINTED = "decision_minrnn-tests/Painted-v0"


class Painted(gymnasium.Env[np.ndarray, np.ndarray]):
    """Twenty steps, each paid with its number; looks as grey as the step is late, in a frame of odd size."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 60}
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.time += 1
        return np.zeros(2, np.float32), float(self.time), False, self.time == 21, {}

    def render(self) -> np.ndarray:
        return np.full((151, 201, 3), 10 * self.time, np.uint8)


gymnasium.register(PAINTED, Painted)


@pytest.fixture(scope="module")
def _mujoco_draws() -> None:
    try:
        with FilmedEnvironment("Hopper-v5", 0.0, lambda frame: None) as environment:
            environment.reset(0, 0)
    except ConfigError as error:
        pytest.skip(f"MuJoCo cannot draw on this machine: {error}")


def test_every_second_frame_of_sixty_a_second_and_the_last(tmp_path: Path) -> None:
    path = tmp_path / "painted.mp4"
    video = write_video(path, Policy(random_model()), PAINTED, 300.0, 5)
    assert (video.episode.length, video.episode.episode_return, video.episode.seed) == (21, 231, 5)
    frames = imageio.mimread(path, memtest=False)
    assert (len(frames), video.frames) == (12, 12)
    assert frames[0].shape == (152, 202, 3)
    assert imageio.get_reader(path).get_meta_data()["fps"] == 30
    # below the words, each frame is as grey as its step
    greys = [float(frame[60:].mean()) for frame in frames]
    np.testing.assert_allclose(greys, [10 * step for step in (*range(0, 21, 2), 21)], atol=4)
    words = np.array([frame[:10].astype(float) for frame in frames])
    assert words.max() > 200
    assert all(np.abs(words[index + 1] - words[index]).max() > 80 for index in range(11))


def test_the_preview_is_a_small_moving_picture(tmp_path: Path) -> None:
    video = write_video(tmp_path / "painted.mp4", Policy(random_model()), PAINTED, 300.0, 5)
    gif = Image.open(BytesIO(video.preview))
    assert (gif.format, gif.width, gif.n_frames) == ("GIF", PREVIEW_WIDTH, 12)
    assert gif.n_frames <= PREVIEW_FRAMES


@pytest.mark.usefixtures("_mujoco_draws")
def test_hopper_has_the_return_of_the_evaluation(tmp_path: Path) -> None:
    policy = Policy(hopper_model())
    evaluation = evaluate(policy, "Hopper-v5", [300.0], episodes=3, seed=7)
    video = write_video(tmp_path / "hopper.mp4", policy, "Hopper-v5", 300.0, 7)
    assert video.episode.episode_return == evaluation.targets[0].returns[0]
    frames = imageio.mimread(tmp_path / "hopper.mp4", memtest=False)
    assert frames[0].shape == (480, 480, 3)
    assert len(frames) == video.frames == 1 + -(-video.episode.length // 4)
    assert all((first != second).any() for first, second in pairwise(frames))
    assert np.abs(frames[0][60:].astype(int) - frames[-1][60:]).max() > 100


@pytest.mark.usefixtures("_mujoco_draws")
def test_the_camera_moves_along(tmp_path: Path) -> None:
    with FilmedEnvironment("Hopper-v5", 0.0, lambda frame: None) as environment:
        environment.reset(0, 0)
        simulation: Any = environment[0].unwrapped
        environment.set_state(0, simulation.init_qpos + np.array([30, 0, 0, 0, 0, 0]), simulation.init_qvel)
        frame = environment.render(0).astype(int)
    # the hopper is the one thing that is more red than blue
    red = np.argwhere(frame[..., 0] - frame[..., 2] > 60)
    assert len(red) > 500
    assert abs(red[:, 1].mean() - frame.shape[1] / 2) < 60


def test_what_was_there_stays_where_an_episode_fails(tmp_path: Path) -> None:
    path = tmp_path / "ledger.mp4"
    path.write_bytes(b"old")
    with pytest.raises(ConfigError, match="cannot be drawn: it has no render mode"):
        write_video(path, Policy(random_model()), LEDGER, 30.0, 0)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_package_that_draws_and_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    policy = Policy(random_model(observation_size=4, discrete=True, action_size=2, action_low=(), action_high=()))
    with pytest.raises(ConfigError, match=r"cannot draw CartPole-v1: pygame is not installed, run .*pip install"):
        write_video(tmp_path / "pole.mp4", policy, "CartPole-v1", 30.0, 0)


def test_names_and_packages_are_checked_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"--video x.avi: .*ends in \.mp4"):
        check_video(Path("x.avi"))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingExtraError, match=r"decision-minrnn\[video\]"):
        check_video(Path("x.mp4"))


@pytest.mark.parametrize(
    ("environment", "libraries", "expected"),
    [
        ({}, {"EGL", "OSMesa"}, "egl"),
        ({}, {"OSMesa"}, "osmesa"),
        ({}, set(), None),
        ({"MUJOCO_GL": "glfw"}, {"EGL"}, "glfw"),
        ({"DISPLAY": ":0"}, {"EGL"}, None),
    ],
)
def test_how_mujoco_draws(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], libraries: set[str], expected: str | None
) -> None:
    for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"):
        # set first, so that what is chosen here is undone in any case
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("decision_minrnn.video.find_library", lambda name: name if name in libraries else None)
    monkeypatch.setattr(sys, "platform", "linux")
    choose_renderer()
    assert os.environ.get("MUJOCO_GL") == expected


@pytest.mark.usefixtures("_mujoco_draws")
def test_training_goes_on_in_a_process_that_has_drawn() -> None:
    code = (
        "import sys; from decision_minrnn.video import FilmedEnvironment; import torch\n"
        "assert 'triton' not in sys.modules\n"
        "with FilmedEnvironment('Hopper-v5', 0.0, lambda frame: None) as environment: environment.reset(0, 0)\n"
        "torch.optim.AdamW([torch.zeros(1, requires_grad=True)])"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
