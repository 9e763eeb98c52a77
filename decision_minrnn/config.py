"""Every setting of a model and of a training run. The text under a field is its help on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Literal, get_type_hints

from decision_minrnn.errors import ConfigError
from decision_minrnn.records import described, fits

Tokens = Literal["merged", "interleaved"]
Memory = Literal["carried", "window", "reset"]
Sampling = Literal["streams", "windows"]
Precision = Literal["float32", "bfloat16"]
OptionValue = int | float | bool | str

EVALUATION_SEED = 10_000
"""First seed of an evaluation's episodes, away from the small numbers that training runs are seeded with."""


@dataclass(frozen=True)
class ModelConfig:
    """What a `DecisionModel` is built from. Stored with its weights."""

    observation_size: int
    action_size: int
    """Numbers in an action, or choices where actions are discrete."""
    action_low: tuple[float, ...]
    """Lowest action in each dimension; none where actions are discrete."""
    action_high: tuple[float, ...]
    """Highest action in each dimension."""
    discrete: bool = False
    """Whether an action is a choice: the model then predicts the logits of a categorical distribution."""
    tokens: Tokens = "merged"
    encoder: str = "mingru"
    encoder_options: Mapping[str, OptionValue] = field(default_factory=dict)
    width: int = 128
    layers: int = 3
    previous_action: bool = False
    """Merged tokens: whether a token holds the action before it."""
    return_conditioning: bool = True
    """Whether the model is shown the return-to-go, in whose place it sees zero otherwise."""
    return_scale: float = 1000.0
    """Returns-to-go are divided by this."""
    context: int | None = 64
    """Steps in a training window, which `window` and `reset` memory use; None: trained on whole episodes."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every training has to be told: the encoder, the descent, and what is written when."""

    encoder: str = "mingru"
    """Sequence layer of the encoder: mingru, minlstm, gru, lstm, transformer, aaren, s4d, s6, mamba, h3, hyena, mlp, or
    one of your own that is registered."""

    width: int = 128
    """Width of the model."""

    layers: int = 3
    """Blocks in the encoder."""

    dropout: float = 0.1
    """Dropout after the recurrence and the feed-forward network of each block."""

    encoder_options: Mapping[str, OptionValue] = field(default_factory=dict)
    """Further options of the encoder (docs/encoders.md) as KEY=VALUE, such as expansion=2 convolution=4 style=mamba."""

    updates: int = 10_000
    """Updates to train for."""

    batch_size: int = 20
    """Rows in a batch."""

    learning_rate: float = 1e-3
    """Peak learning rate of AdamW."""

    weight_decay: float = 1e-4
    """Weight decay of AdamW, on weight matrices only."""

    warmup: int = 500
    """Updates over which the learning rate rises linearly; from there it falls to zero along a cosine."""

    gradient_clip: float = 0.25
    """Largest norm of the gradient."""

    seed: int = 0
    """Seed of initial weights, dropout and sampling. A run repeats to the bit on one machine and thread count."""

    precision: Precision = "float32"
    """Precision of the matrix products in training. Weights, gates and recurrences stay in float32 either way."""

    device: str = "auto"
    """Where to train: cpu, cuda, or auto."""

    threads: int | None = None
    """CPU threads for tensor operations; by default PyTorch's own choice."""

    out: str | None = None
    """Folder to write; by default one in runs/ that is named after what is trained, and when."""

    log_every: int = 100
    """Updates between two lines of metrics."""

    checkpoint_every: int = 1000
    """Updates between two checkpoints; one is always written at the end."""

    keep_checkpoints: int = 3
    """Newest checkpoints that are kept."""

    keep_every: int = 0
    """Keep the checkpoints after every so many updates as well, for good (0: none)."""

    evaluate_every: int = 0
    """Updates between evaluations during training (0: only at the end)."""

    def __post_init__(self) -> None:
        # another type would be met in the middle of a run, or by whoever reads its config.json
        for name, expected in get_type_hints(type(self)).items():
            require(self, name, fits(getattr(self, name), expected), described(expected))
        counts = ("width", "layers", "updates", "batch_size", "log_every", "checkpoint_every", "keep_checkpoints")
        for name in counts:
            require(self, name, getattr(self, name) >= 1, "a whole number of at least 1")
        for name in ("warmup", "keep_every", "evaluate_every", "seed"):
            require(self, name, getattr(self, name) >= 0, "a whole number of at least 0")
        for name in ("learning_rate", "gradient_clip"):
            require(self, name, 0 < getattr(self, name) < inf, "a number above 0")
        require(self, "weight_decay", 0 <= self.weight_decay < inf, "a number of at least 0")
        require(self, "dropout", 0 <= self.dropout < 1, "a probability from 0 to below 1")
        require(self, "threads", self.threads is None or self.threads >= 1, "a whole number of at least 1")


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """How to train a policy."""

    dataset: str
    """What to train on: a name from `decision-minrnn data list`, a Minari id, or the path of an HDF5 or npz file or
    Minari folder."""

    env: str | None = None
    """Environment of the data, where the dataset does not say: a card's name, a gymnasium id or the path of a card."""

    unfinished_episode: bool = False
    """Whether to train on the unfinished episode at the end of a D4RL file too. Its returns-to-go are lower bounds."""

    tokens: Tokens = "merged"
    """`merged`: return-to-go and observation in one token a step, with --previous-action the action before them as
    well. `interleaved`: a token for each of the three (Decision Transformer's and the paper's form)."""

    previous_action: bool = False
    """With merged tokens, whether a token holds the action before it."""

    return_conditioning: bool = True
    """Whether the model is shown the return-to-go. Without, it is behaviour cloning, and targets change nothing."""

    top_percent: float = 100.0
    """Train on the episodes of highest return alone, as many as hold so many percent of the steps."""

    sampling: Sampling = "windows"
    """`windows`: every row of a batch starts anywhere and afresh (Decision Transformer's protocol). `streams`: it goes
    on where it was in the batch before, through packed episodes, with the state carried."""

    context: int | Literal["episode"] = 64
    """Steps in a row of a batch, or `episode`: streams with as many as the longest episode has. Gradients do not reach
    further back."""

    accumulate: int = 1
    """Parts that a batch is gone through in, one after another, before one descent: less memory for the same update."""

    cuda_graph: bool = True
    """Whether a GPU records an update of mingru or minlstm once and replays it, rather than being told every kernel."""

    out: str | None = field(default=None, kw_only=True)
    """Run folder to write; by default runs/DATASET__ENCODER__SEED__TIME."""

    evaluate: bool = True
    """Whether to evaluate the last weights at the end."""

    targets: tuple[float, ...] = ()
    """Target returns to evaluate at, in the environment's units; by default the environment card's."""

    episodes: int = 20
    """Episodes of each evaluation, for each target."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "episodes", self.episodes >= 1, "a whole number of at least 1")
        divides = self.accumulate >= 1 and self.batch_size % self.accumulate == 0
        require(self, "accumulate", divides, f"a divisor of the batch size {self.batch_size}")
        require(
            self, "context", self.context == "episode" or self.context >= 1, "a whole number of at least 1, or episode"
        )
        require(self, "top_percent", 0 < self.top_percent <= 100, "a percentage above 0 and up to 100")
        require(self, "targets", all(isfinite(target) for target in self.targets), "finite numbers")


def require(config: object, name: str, valid: bool, expected: str) -> None:
    """Raise a `ConfigError` that names the flag of a field, unless it is valid."""
    if not valid:
        raise ConfigError(f"--{name.replace('_', '-')} expects {expected}, got {getattr(config, name)!r}.")
