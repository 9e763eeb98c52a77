"""Who takes part in `benchmark speed`, by name. What each is stands in docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from decision_minrnn.benchmarks.contestant import (
    CarriedContestant,
    Contestant,
    PlainContestant,
    TrainedContestant,
    WindowContestant,
)
from decision_minrnn.benchmarks.public.d3rlpy import D3rlpyContestant
from decision_minrnn.benchmarks.public.huggingface import HuggingFaceModel
from decision_minrnn.benchmarks.public.mamba import public_mamba_model
from decision_minrnn.benchmarks.public.minimal import public_minimal_model
from decision_minrnn.benchmarks.sizes import Sizes, model_config
from decision_minrnn.config import Tokens
from decision_minrnn.errors import MissingExtraError, UnknownNameError
from decision_minrnn.model import DecisionModel

BASELINE = "huggingface"

Build = Callable[[Sizes], Contestant]


def _ours(encoder: str, tokens: Tokens, **options: str | int) -> Build:
    return lambda sizes: CarriedContestant(DecisionModel(model_config(encoder, tokens, sizes, options)))


def _transformer(sizes: Sizes) -> Contestant:
    """Of one head, as HuggingFace's, and a cache that holds the window."""
    return _ours("transformer", "interleaved", heads=1, context=3 * sizes.context)(sizes)


CONTESTANTS: dict[str, Build] = {
    "mingru/merged": _ours("mingru", "merged"),
    "mingru/merged/no-kernels": lambda sizes: PlainContestant(DecisionModel(model_config("mingru", "merged", sizes))),
    "mingru/interleaved": _ours("mingru", "interleaved"),
    "mingru/interleaved/log-space": _ours("mingru", "interleaved", scan="log_space"),
    "minlstm/merged": _ours("minlstm", "merged"),
    "minlstm/interleaved": _ours("minlstm", "interleaved"),
    "gru/merged": _ours("gru", "merged"),
    "gru/interleaved": _ours("gru", "interleaved"),
    "lstm/merged": _ours("lstm", "merged"),
    "lstm/interleaved": _ours("lstm", "interleaved"),
    "transformer/interleaved": _transformer,
    "minGRU-pytorch/interleaved": lambda sizes: CarriedContestant(
        public_minimal_model(model_config("mingru", "interleaved", sizes), "minGRU")
    ),
    "minLSTM-pytorch/interleaved": lambda sizes: TrainedContestant(
        public_minimal_model(model_config("minlstm", "interleaved", sizes), "minLSTM")
    ),
    BASELINE: lambda sizes: WindowContestant(HuggingFaceModel(model_config("mlp", "interleaved", sizes))),
    "d3rlpy": D3rlpyContestant,
    "mamba-transformers/interleaved": lambda sizes: TrainedContestant(
        public_mamba_model(model_config("mamba", "interleaved", sizes))
    ),
}

DEFAULT = tuple(name for name in CONTESTANTS if not name.startswith("mamba-transformers"))
"""All but one whose update takes a hundred times as long as the others' where its kernels are missing."""


def check_names(names: Sequence[str]) -> None:
    """Raise `UnknownNameError` for a name that is no contestant."""
    for name in names:
        if name not in CONTESTANTS:
            raise UnknownNameError("contestant", name, CONTESTANTS)


def build(names: Sequence[str], sizes: Sizes) -> tuple[dict[str, Contestant], dict[str, str]]:
    """The contestants, and those that are left out with the reason: a package that is not installed."""
    check_names(names)
    built, left_out = {}, {}
    for name in names:
        try:
            built[name] = CONTESTANTS[name](sizes)
        except MissingExtraError as error:
            left_out[name] = str(error)
    return built, left_out
