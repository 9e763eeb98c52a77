"""The actor: numbers worked out by hand, its file, and stable-baselines3's, of which nothing is unpickled."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from decision_minrnn.collection.actor import GaussianActor, Linear, load_actor
from decision_minrnn.errors import DataError


def linear(weight: Any, bias: Any) -> Linear:
    return Linear(np.array(weight, np.float32), np.array(bias, np.float32))


def small_actor() -> GaussianActor:
    """Two observations, a hidden layer of two, one action."""
    return GaussianActor(
        (linear([[1, -1], [2, 0]], [0, 0.5]),), linear([[0.5], [1]], [-0.25]), linear([[0.25], [0]], [-1])
    )


class Noise(np.random.Generator):
    """Draws the same number always."""

    def __init__(self, value: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.value = value

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        return np.full(size, self.value, dtype)


def test_an_action_by_hand() -> None:
    # hidden: relu(1 + 2, -1 + 0.5) = (3, 0); mean 1.25; log deviation -0.25
    seen = np.array([1, 1], np.float32)
    assert small_actor().act(seen, Noise(0)) == pytest.approx(np.tanh(1.25))
    assert small_actor().act(seen, Noise(2)) == pytest.approx(np.tanh(1.25 + 2 * np.exp(-0.25)))


@pytest.mark.parametrize(("log_std", "clipped"), [(50, 2), (-50, -20)])
def test_the_deviation_is_clipped(log_std: float, clipped: float) -> None:
    actor = GaussianActor((), linear([[0.0]], [0.0]), linear([[0.0]], [log_std]))
    noise = 0.1 * np.exp(-clipped)
    assert actor.act(np.zeros(1, np.float32), Noise(noise)) == pytest.approx(np.tanh(0.1))


def test_actions_spread_as_the_network_says() -> None:
    generator, actor = np.random.default_rng(0), small_actor()
    drawn = np.arctanh([actor.act(np.array([1, 1], np.float32), generator)[0] for _ in range(4000)])
    assert drawn.mean() == pytest.approx(1.25, abs=0.05)
    assert drawn.std() == pytest.approx(np.exp(-0.25), rel=0.05)


def test_a_file_gives_the_same_actor_and_holds_the_documented_arrays(tmp_path: Path) -> None:
    actor, seen = small_actor(), np.array([0.3, -0.7], np.float32)
    actor.save(tmp_path / "actor.npz")
    read = load_actor(tmp_path / "actor.npz")
    assert (read.observation_size, read.action_size) == (2, 1)
    np.testing.assert_array_equal(read.act(seen, Noise(1)), actor.act(seen, Noise(1)))
    arrays = np.load(tmp_path / "actor.npz")
    assert set(arrays) == {"n_hidden", "w0", "b0", "w_mean", "b_mean", "w_std", "b_std"}
    assert arrays["w0"].tolist() == [[1, -1], [2, 0]]


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def write_zip(path: Path, weights: dict[str, Any], policy_settings: dict[str, Any] | None = None) -> Path:
    """What stable-baselines3 saves, as far as it matters here."""
    content = io.BytesIO()
    torch.save(weights, content)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data", json.dumps({"policy_kwargs": policy_settings or {}}))
        file.writestr("policy.pth", content.getvalue())
    return path


def weights_of(actor: GaussianActor) -> dict[str, Any]:
    layers = {"latent_pi.0": actor.hidden[0], "mu": actor.mean, "log_std": actor.log_std}
    weights = {f"actor.{name}.weight": torch.tensor(layer.weight.T) for name, layer in layers.items()}
    weights |= {f"actor.{name}.bias": torch.tensor(layer.bias) for name, layer in layers.items()}
    return weights | {"critic.qf0.0.weight": torch.zeros(3, 3)}


def test_a_zip_file_gives_the_actor_and_unpickles_nothing(tmp_path: Path) -> None:
    serialized = base64.b64encode(pickle.dumps(Bomb(tmp_path / "exploded"))).decode()
    settings = {":type:": "<class 'dict'>", ":serialized:": serialized, "use_sde": False}
    path = write_zip(tmp_path / "sac.zip", weights_of(small_actor()), settings)
    seen = np.array([0.3, -0.7], np.float32)
    np.testing.assert_array_equal(load_actor(path).act(seen, Noise(1)), small_actor().act(seen, Noise(1)))
    assert not (tmp_path / "exploded").exists()


def test_a_zip_file_with_a_pickle_for_weights_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "sac.zip", {"actor": Bomb(tmp_path / "exploded")})
    with pytest.raises(DataError, match="does not hold the actor of SAC"):
        load_actor(path)
    assert not (tmp_path / "exploded").exists()


def test_the_zip_file_of_stable_baselines3_acts_as_it_does(tmp_path: Path) -> None:
    library = pytest.importorskip("stable_baselines3", reason="needs the extra collect")
    sac = library.SAC("MlpPolicy", gymnasium.make("Hopper-v5"), seed=0, buffer_size=1, device="cpu")
    with torch.no_grad():
        sac.actor.log_std.bias.fill_(-1.5)
    sac.save(tmp_path / "sac.zip")
    actor = load_actor(tmp_path / "sac.zip")
    for seen in np.random.default_rng(0).standard_normal((20, 11)).astype(np.float32):
        expected, _ = sac.predict(seen, deterministic=True)
        np.testing.assert_allclose(actor.act(seen, Noise(0)), expected, atol=1e-6)
        mean, log_std, _ = sac.actor.get_action_dist_params(torch.from_numpy(seen[None]))
        drawn = torch.tanh(mean + 0.7 * log_std.exp()).detach().numpy()[0]
        np.testing.assert_allclose(actor.act(seen, Noise(0.7)), drawn, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w_mean": None}, "lacks 'w_mean"),
        ({"w0": np.ones((2, 3), np.float32)}, "biases of"),
        ({"w0": np.ones((2, 3), np.float32), "b0": np.ones(3, np.float32)}, "2 inputs follows 3 outputs"),
        ({"w_std": np.ones((3, 1), np.float32)}, "mean and deviation have the shapes"),
        ({"b0": np.array([np.nan, 0], np.float32)}, "not finite"),
        ({"w0": np.array([Path()])}, "does not hold the actor of SAC, or is damaged"),
    ],
)
def test_a_file_of_something_else_says_what_is_wrong(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    small_actor().save(tmp_path / "actor.npz")
    arrays = {**np.load(tmp_path / "actor.npz"), **change}
    np.savez(tmp_path / "changed.npz", **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(DataError, match=message):
        load_actor(tmp_path / "changed.npz")


def test_other_activations_and_state_dependent_noise_are_refused(tmp_path: Path) -> None:
    settings = {"activation_fn": str(torch.nn.Tanh)}
    with pytest.raises(DataError, match="Tanh"):
        load_actor(write_zip(tmp_path / "tanh.zip", weights_of(small_actor()), settings))
    weights = {name: value for name, value in weights_of(small_actor()).items() if "log_std" not in name}
    with pytest.raises(DataError, match=r"lacks 'log_std\.weight'"):
        load_actor(write_zip(tmp_path / "sde.zip", weights | {"actor.log_std": torch.zeros(2, 1)}))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        load_actor(tmp_path / "missing.npz")
    (tmp_path / "text.zip").write_text("text")
    with pytest.raises(DataError, match="is damaged"):
        load_actor(tmp_path / "text.zip")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(DataError, match="is damaged"):
        load_actor(tmp_path / "text.npz")
    with pytest.raises(DataError, match=r"Expected an \.npz file or a \.zip"):
        load_actor(tmp_path / "policy.pkl")
