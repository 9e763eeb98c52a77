"""`--encoder transformer --tokens interleaved` is Decision Transformer: beside HuggingFace's, with the same weights.

What HuggingFace's has beyond it is taken away: the embedding of timesteps, and the norm of the embedded tokens.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from decision_minrnn.benchmarks.learning import BatchLearner
from decision_minrnn.benchmarks.sizes import Sizes, model_config, random_batch
from decision_minrnn.config import TrainConfig
from decision_minrnn.data import load_dataset
from decision_minrnn.data.sampling import Sampler
from decision_minrnn.model import DecisionModel

pytest.importorskip("transformers")

SIZES = Sizes(batch_size=8, context=10, width=32, layers=2)


def pair() -> tuple[DecisionModel, DecisionModel]:
    """HuggingFace's, and ours with its weights; neither drops anything out."""
    from decision_minrnn.benchmarks.public.huggingface import HuggingFaceModel

    torch.manual_seed(0)
    options = {"heads": 1, "context": 3 * SIZES.context, "positions": "learned", "dropout": 0.0}
    config = model_config("transformer", "interleaved", SIZES, options)
    theirs, ours = HuggingFaceModel(config), DecisionModel(config)
    transformer: Any = theirs.transformer
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    transformer.embed_ln = nn.Identity()
    for embedding in (transformer.embed_timestep, transformer.encoder.wpe):
        nn.init.zeros_(embedding.weight).requires_grad_(False)
    for module in theirs.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    copy(transformer, ours)
    return theirs, ours


@torch.no_grad()
def copy(transformer: Any, ours: DecisionModel) -> None:
    own: Any = ours
    same = [
        (own.embed_return, transformer.embed_return),
        (own.embed_observation, transformer.embed_state),
        (own.embed_action, transformer.embed_action),
        (own.encoder.norm, transformer.encoder.ln_f),
        (own.head, transformer.predict_action[0]),
    ]
    # HuggingFace's GPT-2 keeps these matrices the other way round
    turned = []
    for block, other in zip(own.encoder.blocks, transformer.encoder.h, strict=True):
        same += [(block.layer_norm, other.ln_1), (block.feed_forward.norm, other.ln_2)]
        turned += [(block.layer.project_in, other.attn.c_attn), (block.layer.project_out, other.attn.c_proj)]
        turned += [(block.feed_forward.up, other.mlp.c_fc), (block.feed_forward.down, other.mlp.c_proj)]
        block.layer.bias.requires_grad_(False)  # zeros: no positions
    for one, other in same + turned:
        one.bias.copy_(other.bias)
        one.weight.copy_(other.weight.t() if (one, other) in turned else other.weight)


def test_actions_and_gradients_are_the_same() -> None:
    theirs, ours = pair()
    batch = random_batch(SIZES.batch_size, SIZES.context)
    inputs = (1000 * batch.returns_to_go, batch.observations, batch.previous_actions)
    (expected, _), (actions, _) = theirs(*inputs), ours(*inputs)
    torch.testing.assert_close(actions, expected, atol=1e-5, rtol=1e-4)
    assert expected.std() > 0.1
    for result in (expected, actions):
        (result - batch.actions).square().sum().backward()
    torch.testing.assert_close(
        ours.embed_observation.weight.grad, theirs.transformer.embed_state.weight.grad, atol=1e-4, rtol=1e-3
    )


def test_both_learn_the_embedded_data_alike() -> None:
    """The same loop, optimiser and batches give the same losses, update after update."""
    data, curves = load_dataset("hopper-medium"), []
    for model in pair():
        sampler = Sampler(data, SIZES.batch_size, SIZES.context, 0, "windows")
        learner = BatchLearner(model, sampler, TrainConfig("hopper-medium", warmup=0, updates=100))
        curves.append([learner.learn().loss for _ in range(30)])
    expected, losses = map(torch.tensor, curves)
    torch.testing.assert_close(losses, expected, atol=1e-5, rtol=1e-4)
    assert expected[-5:].mean() < 0.8 * expected[:5].mean()
