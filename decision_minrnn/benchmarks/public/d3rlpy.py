"""d3rlpy's Decision Transformer, updated by its own `update` and stepped by its own wrapper of a single environment."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from typing import Any

import numpy as np
import torch

from decision_minrnn.benchmarks.contestant import Contestant
from decision_minrnn.benchmarks.sizes import ACTION, OBSERVATION, Sizes
from decision_minrnn.benchmarks.timing import Task
from decision_minrnn.config import Precision
from decision_minrnn.errors import MissingExtraError
from decision_minrnn.types import Batch


class D3rlpyContestant(Contestant):
    """`DecisionTransformer` of the sizes and with the optimiser of the others."""

    def __init__(self, sizes: Sizes) -> None:
        """Raises `MissingExtraError`."""
        try:
            # it imports gym where that is there, which complains of its age
            with redirect_stderr(io.StringIO()):
                from d3rlpy.algos import DecisionTransformerConfig
                from d3rlpy.models import VectorEncoderFactory
                from d3rlpy.optimizers import AdamWFactory
        except ImportError as error:
            raise MissingExtraError("d3rlpy", "bench") from error
        config = DecisionTransformerConfig(
            context_size=sizes.context,
            num_layers=sizes.layers,
            # a linear embedding of the observation, as the others have
            encoder_factory=VectorEncoderFactory([sizes.width], exclude_last_activation=True),
            optim_factory=AdamWFactory(weight_decay=1e-4, clip_grad_norm=0.25),
        )
        self.algorithm: Any = config.create(device="cpu")
        self.algorithm.create_impl((OBSERVATION,), ACTION)
        module = self.algorithm.impl.modules.transformer
        self.parameters = sum(parameter.numel() for parameter in module.parameters())

    def update(self, batch: Batch, precision: Precision) -> Task | None:
        """Its own, which is in float32."""
        if precision != "float32":
            return None
        from d3rlpy.torch_utility import TorchTrajectoryMiniBatch

        rows, steps = batch.returns_to_go.shape
        own = TorchTrajectoryMiniBatch(
            observations=batch.observations,
            actions=batch.actions,
            rewards=torch.zeros(rows, steps, 1),
            returns_to_go=batch.returns_to_go[..., None],
            terminals=torch.zeros(rows, steps, 1),
            timesteps=torch.arange(1, steps + 1).expand(rows, steps),
            masks=batch.mask.float(),
            device="cpu",
        )
        return lambda: self.algorithm.impl.update(own, 0)

    def step(self, count: int) -> Task | None:
        """Of its wrapper, which knows one environment."""
        if count != 1:
            return None
        wrapper, observation = self.algorithm.as_stateful_wrapper(target_return=0.0), np.zeros(OBSERVATION, np.float32)
        return lambda: wrapper.predict(observation, 0.0)
