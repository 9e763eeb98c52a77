"""`GaussianActor`: the policy that SAC trains, as arrays, and the files that hold one. Nothing is unpickled.

    a = tanh(mean(h) + std(h) ε),  ε ~ N(0, I),  log std clipped to [-20, 2],  h = layers of ReLU over the observation

(Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications", appendix C).

The project's own file is an .npz of the arrays `n_hidden`, `w0`, `b0`, ... of the hidden layers, `w_mean`, `b_mean`,
`w_std` and `b_std`, weights as [inputs, outputs].
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray

from decision_minrnn.errors import DataError
from decision_minrnn.files import write_bytes_atomically

LOG_STD = (-20.0, 2.0)
_RELU = str(torch.nn.ReLU)
"""As stable-baselines3 writes it into the readable part of its settings."""


class Linear(NamedTuple):
    """x ↦ x W + b."""

    weight: Float32[ndarray, "inputs outputs"]
    bias: Float32[ndarray, " outputs"]


class GaussianActor:
    """A Gaussian squashed by tanh, whose mean and deviation a network of ReLU layers gives."""

    def __init__(self, hidden: tuple[Linear, ...], mean: Linear, log_std: Linear) -> None:
        """Raises `ValueError` for layers that do not fit each other and for weights that are not finite."""
        self.hidden, self.mean, self.log_std = hidden, mean, log_std
        for layer in (*hidden, mean, log_std):
            if layer.weight.ndim != 2 or layer.bias.shape != layer.weight.shape[1:]:
                raise ValueError(f"a layer has weights of {layer.weight.shape} and biases of {layer.bias.shape}")
            if not (np.isfinite(layer.weight).all() and np.isfinite(layer.bias).all()):
                raise ValueError("there are weights that are not finite")
        for before, after in pairwise((*hidden, mean)):
            if before.weight.shape[1] != after.weight.shape[0]:
                raise ValueError(f"a layer of {after.weight.shape[0]} inputs follows {before.weight.shape[1]} outputs")
        if mean.weight.shape != log_std.weight.shape:
            raise ValueError(f"mean and deviation have the shapes {mean.weight.shape} and {log_std.weight.shape}")

    @property
    def observation_size(self) -> int:
        """O."""
        return len((*self.hidden, self.mean)[0].weight)

    @property
    def action_size(self) -> int:
        """A."""
        return len(self.mean.bias)

    def act(
        self, observation: Float32[ndarray, " observation"], generator: np.random.Generator
    ) -> Float32[ndarray, " action"]:
        """Draw an action, in (-1, 1)."""
        hidden = observation
        for layer in self.hidden:
            hidden = np.maximum(hidden @ layer.weight + layer.bias, 0)
        mean, log_std = (hidden @ layer.weight + layer.bias for layer in (self.mean, self.log_std))
        noise = generator.standard_normal(self.action_size, np.float32)
        action: ndarray = np.tanh(mean + np.exp(np.clip(log_std, *LOG_STD)) * noise)
        return action

    def save(self, path: Path) -> None:
        """Write the .npz file."""
        layers = {str(index): layer for index, layer in enumerate(self.hidden)}
        layers |= {"_mean": self.mean, "_std": self.log_std}
        arrays = {f"w{name}": layer.weight for name, layer in layers.items()}
        arrays |= {f"b{name}": layer.bias for name, layer in layers.items()}
        content = io.BytesIO()
        np.savez(content, n_hidden=np.array(len(self.hidden)), **arrays)  # type: ignore[arg-type]
        write_bytes_atomically(path, content.getvalue())


def load_actor(path: Path) -> GaussianActor:
    """Read an actor: the .npz file described above, or a .zip file that stable-baselines3 saved its SAC in.

    Raises `DataError` for a file that is missing, damaged, or holds another kind of policy.
    """
    readers: dict[str, Callable[[Path], GaussianActor]] = {".npz": _read_arrays, ".zip": _read_stable_baselines}
    reader = readers.get(path.suffix)
    if reader is None:
        raise DataError(f"{path} is not known to hold an actor. Expected an .npz file or a .zip of stable-baselines3.")
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    try:
        return reader(path)
    except KeyError as error:
        raise DataError(f"{path} does not hold the actor of SAC: it lacks {error}.") from error
    except Exception as error:  # numpy, zipfile and torch each raise what they like
        raise DataError(f"{path} does not hold the actor of SAC, or is damaged: {error}.") from error


def actor_from_weights(weights: Mapping[str, Any]) -> GaussianActor:
    """The actor of stable-baselines3's SAC from its `state_dict`.

    Raises `KeyError` and `ValueError` for weights of another kind of network.
    """

    def linear(name: str) -> Linear:
        weight, bias = (weights[f"{name}.{part}"].float().cpu().numpy() for part in ("weight", "bias"))
        # copies: training goes on with the originals
        return Linear(weight.T.copy(), bias.copy())

    hidden = [name for name in weights if name.startswith("latent_pi.") and name.endswith(".weight")]
    layers = tuple(linear(name.removesuffix(".weight")) for name in hidden)
    return GaussianActor(layers, linear("mu"), linear("log_std"))


def _read_arrays(path: Path) -> GaussianActor:
    with np.load(path, allow_pickle=False) as arrays:

        def linear(name: str) -> Linear:
            return Linear(arrays[f"w{name}"].astype(np.float32), arrays[f"b{name}"].astype(np.float32))

        hidden = tuple(linear(str(index)) for index in range(int(arrays["n_hidden"])))
        return GaussianActor(hidden, linear("_mean"), linear("_std"))


def _read_stable_baselines(path: Path) -> GaussianActor:
    """Only the weights are loaded; of the settings beside them, pickles among them, the readable part is looked at."""
    with zipfile.ZipFile(path) as file:
        settings = json.loads(file.read("data")).get("policy_kwargs", {})
        weights = torch.load(io.BytesIO(file.read("policy.pth")), map_location="cpu", weights_only=True)
    activation = settings.get("activation_fn", _RELU)
    if activation != _RELU:
        raise ValueError(f"its layers are of {activation}, and {_RELU} was expected")
    own = {name.removeprefix("actor."): value for name, value in weights.items() if name.startswith("actor.")}
    return actor_from_weights(own)
