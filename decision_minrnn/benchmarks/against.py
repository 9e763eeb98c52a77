"""Our encoders against public implementations of the same architecture, of equal width, depth, batch and tokens.

Each pair is a whole update, in which everything but the encoder is the same. Where a public implementation has no
feed-forward network (`nn.GRU`, `MambaModel`), ours is measured without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from decision_minrnn.benchmarks.contestant import TrainedContestant
from decision_minrnn.benchmarks.encoders import check_encoders
from decision_minrnn.benchmarks.public.huggingface import huggingface_encoder_model
from decision_minrnn.benchmarks.public.mamba import public_mamba_model
from decision_minrnn.benchmarks.public.minimal import public_minimal_model
from decision_minrnn.benchmarks.public.pytorch import torch_recurrent_model, torch_transformer_model
from decision_minrnn.benchmarks.sizes import Sizes, model_config, random_batch
from decision_minrnn.benchmarks.timing import Key, Work, measure
from decision_minrnn.config import ModelConfig, OptionValue, Tokens
from decision_minrnn.errors import MissingExtraError
from decision_minrnn.model import DecisionModel


@dataclass(frozen=True)
class Pair:
    """An encoder of ours with the options that make it equal, and whose it is held against."""

    encoder: str
    public: str
    build: Callable[[ModelConfig], DecisionModel]
    options: Mapping[str, OptionValue] = field(default_factory=dict)


_BARE: dict[str, OptionValue] = {"feed_forward": 0.0}

PAIRS = (
    Pair("mingru", "minGRU-pytorch", lambda config: public_minimal_model(config, "minGRU")),
    Pair("minlstm", "minGRU-pytorch (minLSTM)", lambda config: public_minimal_model(config, "minLSTM")),
    Pair("gru", "torch.nn.GRU", lambda config: torch_recurrent_model(config, nn.GRU), _BARE),
    Pair("lstm", "torch.nn.LSTM", lambda config: torch_recurrent_model(config, nn.LSTM), _BARE),
    Pair("transformer", "transformers (DecisionTransformer's GPT-2)", huggingface_encoder_model, {"heads": 1}),
    Pair("transformer", "torch.nn.TransformerEncoder", torch_transformer_model, {"heads": 1}),
    Pair("mamba", "transformers (MambaModel)", public_mamba_model, _BARE),
    Pair("s6", "transformers (MambaModel, expand 1)", lambda config: public_mamba_model(config, expand=1), _BARE),
)


@dataclass(frozen=True)
class Comparison:
    """One row of the table."""

    encoder: str
    public: str
    ours_ms: float
    """Median of an update."""
    public_ms: float
    times: float
    """Our time as a multiple of the other's."""


def measure_against(
    names: Sequence[str], tokens: Tokens, sizes: Sizes, rounds: int
) -> tuple[list[Comparison], dict[str, str]]:
    """Time an update of each pair, all in turn.

    Args:
        names: encoders; none for all that have a counterpart.
        tokens: of the models.
        sizes: of models and batches.
        rounds: how often each is timed.

    Returns:
        The comparisons, and the counterparts that are left out with the reason: a package that is not installed.

    Raises:
        UnknownNameError: a name that is no encoder.
    """
    check_encoders(names)
    batch = random_batch(sizes.batch_size, sizes.context)
    works: dict[Key, Work] = {}
    left_out, paired = {}, []
    for pair in PAIRS:
        if names and pair.encoder not in names:
            continue
        config = model_config(pair.encoder, tokens, sizes, pair.options)
        try:
            sides = {"ours": DecisionModel(config), "public": pair.build(config)}
        except MissingExtraError as error:
            left_out[pair.public] = str(error)
            continue
        paired.append(pair)
        for side, model in sides.items():
            task = TrainedContestant(model).update(batch, "float32")
            assert task is not None
            works[pair.public, side] = Work(task)
    medians = {(row.contestant, row.what): row.median_ms for row in measure(works, rounds)}
    rows = []
    for pair in paired:
        ours, public = medians[pair.public, "ours"], medians[pair.public, "public"]
        rows.append(Comparison(pair.encoder, pair.public, ours, public, ours / public))
    return rows, left_out
