"""HuggingFace's Decision Transformer: the whole model, and its GPT-2 blocks alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from decision_minrnn.benchmarks.public.placing import with_encoder
from decision_minrnn.config import ModelConfig
from decision_minrnn.errors import MissingExtraError
from decision_minrnn.model import DecisionModel
from decision_minrnn.types import ObservationStatistics


class HuggingFaceModel(DecisionModel):
    """`DecisionTransformerModel` behind the signature of `DecisionModel.forward`.

    Observations, returns and actions are scaled as ours are. Its timesteps are counted within the window: a batch does
    not say at which step of its episode a window starts. It has no state, so a policy has to feed its window again.
    """

    def __init__(self, config: ModelConfig, statistics: ObservationStatistics | None = None) -> None:
        """Raises `MissingExtraError`."""
        super().__init__(config, statistics)
        # HuggingFace's embeddings, blocks and head stand in the place of ours
        for part in ("embed", "embed_return", "embed_observation", "embed_action", "encoder"):
            self._modules.pop(part, None)
        try:
            from transformers import DecisionTransformerModel
        except ImportError as error:
            raise MissingExtraError("transformers", "bench") from error
        self.transformer = DecisionTransformerModel(_config(config))
        self.head = cast("nn.Linear", self.transformer.predict_action[0])

    def forward(
        self,
        returns_to_go: Tensor,
        observations: Tensor,
        previous_actions: Tensor,
        state: Any = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, Any]:
        """The actions of a window; its tokens are return, observation and the action that follows them."""
        returns, observations = self._scaled(returns_to_go, observations)
        batch, steps = returns_to_go.shape
        result = self.transformer(
            states=observations,
            actions=torch.cat([previous_actions[:, 1:], torch.zeros_like(previous_actions[:, :1])], dim=1),
            rewards=None,
            returns_to_go=returns,
            timesteps=torch.arange(steps, device=returns.device).expand(batch, steps),
            attention_mask=torch.ones(batch, steps, dtype=torch.long, device=returns.device),
            return_dict=True,
        )
        return self._action(result.action_preds), None

    def stepper(self, rows: int | None = None) -> Callable[..., Any]:
        """None: raises `NotImplementedError` when called."""

        def step(*arguments: Any) -> Any:
            raise NotImplementedError("DecisionTransformerModel carries no state; use memory='window'.")

        return step


class GPT2Encoder(nn.Module):
    """The blocks of `DecisionTransformerModel` in the place of our encoder."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        try:
            from transformers.models.decision_transformer.modeling_decision_transformer import (
                DecisionTransformerGPT2Model,
            )
        except ImportError as error:
            raise MissingExtraError("transformers", "bench") from error
        self.model = DecisionTransformerGPT2Model(_config(config))

    def forward(self, x: Tensor, state: Any = None, reset: Tensor | None = None) -> tuple[Tensor, None]:
        """Over a sequence, from its start."""
        return self.model(inputs_embeds=x, use_cache=False).last_hidden_state, None


def huggingface_encoder_model(config: ModelConfig) -> DecisionModel:
    """A model with HuggingFace's GPT-2 blocks as its encoder. Raises `MissingExtraError`."""
    return with_encoder(config, GPT2Encoder(config))


def _config(config: ModelConfig) -> Any:
    from transformers import DecisionTransformerConfig

    return DecisionTransformerConfig(
        state_dim=config.observation_size,
        act_dim=config.action_size,
        hidden_size=config.width,
        n_layer=config.layers,
        n_head=1,
        n_inner=4 * config.width,
        max_ep_len=1000,
        action_tanh=False,
        bos_token_id=0,
        eos_token_id=0,
    )
