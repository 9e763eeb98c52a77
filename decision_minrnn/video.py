"""A video of one episode, with its return and return-to-go in the picture (extra: video).

The episode is run by `rollout`, in an environment that is filmed as it is stepped: with the seed and the target of an
evaluation's episode, it has that episode's return.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from ctypes.util import find_library
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from jaxtyping import Float, Integer, UInt8
from numpy import ndarray

from decision_minrnn.cards import EnvCard
from decision_minrnn.envs import Environments, Transition
from decision_minrnn.episodes import EpisodeResult, rollout
from decision_minrnn.errors import ConfigError, EvaluationError, MissingExtraError
from decision_minrnn.files import write_bytes_atomically
from decision_minrnn.policy import Policy

FRAMES_PER_SECOND = 30
"""About so many of the environment's frames are kept, so that a second of the video is one of the simulation."""

PREVIEW_WIDTH, PREVIEW_FRAMES = 240, 60

Frame = UInt8[ndarray, "height width 3"]


class Video(NamedTuple):
    """What was filmed."""

    episode: EpisodeResult
    frames: int
    preview: bytes
    """The same as a small GIF of fewer frames."""


class FilmedEnvironment(Environments):
    """One copy of an environment that hands out what it looks like at the first step, every few steps and the last."""

    def __init__(
        self, env_id: str, target_return: float, on_frame: Callable[[Frame], None], card: EnvCard | None = None
    ) -> None:
        """Raises as `Environments` does, and `ConfigError` for an environment that cannot be drawn."""
        _prepare_drawing()
        try:
            with warnings.catch_warnings():
                # gymnasium warns of an unknown render mode; the first frame would say so as an error
                warnings.filterwarnings("ignore", message=".*not in the possible render_modes.*")
                super().__init__(env_id, card=card, render_mode="rgb_array")
        except TypeError as error:  # its constructor takes no render mode
            raise ConfigError(f"{env_id} cannot be drawn: it has no render mode rgb_array.") from error
        self._target, self._on_frame = target_return, on_frame
        _follow(self[0].unwrapped)
        steps_per_second = self[0].metadata.get("render_fps") or FRAMES_PER_SECOND
        self.every = max(1, round(steps_per_second / FRAMES_PER_SECOND))
        """Steps from one frame to the next."""
        self.frames_per_second = steps_per_second / self.every

    def reset(self, index: int, seed: int) -> Float[ndarray, " observation"]:
        """Start the episode, and film how it looks then."""
        observation = super().reset(index, seed)
        self._steps, self._return = 0, 0.0
        self._film()
        return observation

    def step(self, index: int, action: Float[ndarray, " action"] | Integer[ndarray, ""]) -> Transition:
        """Take a step, and film what it led to if it is one of those."""
        transition = super().step(index, action)
        self._steps += 1
        self._return += transition.reward
        if self._steps % self.every == 0 or transition.terminated or transition.truncated:
            self._film()
        return transition

    def _film(self) -> None:
        to_go = self._target - self._return
        words = f"step {self._steps}   return {self._return:,.0f}   return-to-go {to_go:,.0f}"
        self._on_frame(_with_words(self.render(0), words))


def check_video(path: Path) -> None:
    """Refuse what `write_video` could not write, before the work.

    Raises `MissingExtraError` without imageio and its ffmpeg, `ConfigError` for a name that does not end in .mp4.
    """
    try:
        import imageio_ffmpeg  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("imageio[ffmpeg]", "video") from error
    if path.suffix.lower() != ".mp4":
        raise ConfigError(f"--video {path}: videos are MP4 files; expected a name that ends in .mp4.")


def write_video(
    path: Path, policy: Policy, env_id: str, target_return: float, seed: int, card: EnvCard | None = None
) -> Video:
    """Run one episode and write it as an MP4 file, about as fast as it would be seen.

    Args:
        path: the file; what was there is replaced once the episode is over.
        policy: what acts; reset by this function.
        env_id: gymnasium id.
        target_return: in the environment's units.
        seed: of the episode.
        card: the environment's card, where it is not one of those in the card folders.

    Raises:
        MissingExtraError: imageio or its ffmpeg is not installed.
        ConfigError: a file that is no MP4, or an environment that cannot be made or drawn here.
        EvaluationError: the environment failed.
    """
    check_video(path)
    import imageio

    preview: list[Frame] = []
    with TemporaryDirectory() as folder:
        file = Path(folder) / "episode.mp4"
        frames = 0

        def keep(frame: Frame) -> None:
            nonlocal frames
            frames += 1
            writer.append_data(frame)
            preview.append(_small(frame))

        environment = FilmedEnvironment(env_id, target_return, keep, card)
        with environment:
            # ffmpeg wants even sizes for the colours that every player shows
            options: dict[str, Any] = {"fps": environment.frames_per_second, "quality": 8, "macro_block_size": 2}
            writer: Any = imageio.get_writer(file, format="FFMPEG", mode="I", **options)
            with writer:
                (episode,) = rollout(policy, environment, target_return, [seed])
        if episode.failure is not None:
            raise EvaluationError(f"{env_id} failed after {episode.length} steps of the film: {episode.failure}.")
        write_bytes_atomically(path, file.read_bytes())
    return Video(episode, frames, _gif(preview, environment.frames_per_second))


def _prepare_drawing() -> None:
    choose_renderer()
    if find_spec("triton"):
        # Mesa, which draws, has an LLVM of its own, and so has Triton, which PyTorch's optimisers import: it crashes
        # where it comes second
        import_module("triton")


def choose_renderer() -> None:
    """On Linux without a display, have MuJoCo draw by EGL or OSMesa, whichever is there, unless MUJOCO_GL is set."""
    told = any(os.environ.get(name) for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"))
    if told or not sys.platform.startswith("linux"):
        return
    for backend, library in (("egl", "EGL"), ("osmesa", "OSMesa")):
        if find_library(library):
            os.environ["MUJOCO_GL"] = backend
            return


def _follow(environment: Any) -> None:
    """Look through the camera that moves along, where a MuJoCo environment has one; its own choice stands still."""
    if hasattr(environment, "mujoco_renderer"):
        names = [environment.model.camera(index).name for index in range(environment.model.ncam)]
        if "track" in names:
            environment.mujoco_renderer.camera_id = names.index("track")


def _with_words(frame: Frame, words: str) -> Frame:
    """A frame with a line of text on a dark bar at its top, as wide as the frame at most."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(frame)
    draw = ImageDraw.Draw(image)
    size = max(8.0, min(0.04 * image.height, 1.7 * image.width / len(words)))
    draw.rectangle((0, 0, image.width, 1.7 * size), fill=(20, 28, 36))
    draw.text((0.6 * size, 0.25 * size), words, fill=(255, 255, 255), font=ImageFont.load_default(size))
    return np.asarray(image)


def _small(frame: Frame) -> Frame:
    import numpy as np
    from PIL import Image

    image = Image.fromarray(frame)
    return np.asarray(image.resize((PREVIEW_WIDTH, round(image.height * PREVIEW_WIDTH / image.width))))


def _gif(frames: list[Frame], frames_per_second: float) -> bytes:
    """At most `PREVIEW_FRAMES` of the frames, over the same time."""
    from PIL import Image

    every = -(-len(frames) // PREVIEW_FRAMES)
    first, *others = (Image.fromarray(frame) for frame in frames[::every])
    content = BytesIO()
    first.save(content, "GIF", save_all=True, append_images=others, duration=1000 * every / frames_per_second, loop=0)
    return content.getvalue()
