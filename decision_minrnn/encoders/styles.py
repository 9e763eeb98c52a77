"""What stands around a sequence layer inside a block: nothing, or the gates of H3 or Mamba.

    plain    layer(x)
    h3       W_o (q * layer(shift(k) * v)),    q, k, v = W x             (Fu et al. 2023, "H3", section 3)
    mamba    W_o (layer(silu(shift(u))) * silu(z)),    u, z = W x        (Gu and Dao 2023, "Mamba", section 3.4)

`shift` is a short causal convolution. With these, the architectures and layers of "Were RNNs All We Needed?" (table 2)
combine: `mamba` is S6 in Mamba's gates, `h3` S4D in H3's; `--encoder-options style=mamba` puts them around any other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import silu

from decision_minrnn.encoders.base import Encoder, Step, register_layer
from decision_minrnn.encoders.convolution import CausalConvolution
from decision_minrnn.encoders.direct import linear
from decision_minrnn.encoders.s4d import S4D
from decision_minrnn.encoders.s6 import S6
from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.types import State

MakeLayer = Callable[[int], Encoder]


class Gated(Encoder):
    """A layer behind a short convolution and between projections; the state is the convolution's, then the layer's."""

    def __init__(self, width: int, layer: Encoder, projections: int, size: int, kernel: int) -> None:
        super().__init__()
        if kernel < 1:
            raise ConfigError(f"encoder option kernel expects a whole number of at least 1, got {kernel}.")
        self.size = size
        self.project_in = nn.Linear(width, projections * size)
        self.shift = CausalConvolution(size, kernel)
        self.layer = layer
        self.project_out = nn.Linear(size, width)

    @abstractmethod
    def before(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """What enters the convolution, and what is kept for the gates."""

    @abstractmethod
    def between(self, shifted: Tensor, kept: Tensor) -> Tensor:
        """What enters the layer."""

    @abstractmethod
    def after(self, y: Tensor, kept: Tensor) -> Tensor:
        """What leaves through the last projection."""

    def initial_state(self, batch_size: int) -> State:
        """The convolution's, then the layer's."""
        return self.shift.initial_state(batch_size) + self.layer.initial_state(batch_size)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        state: State | None = None,
        reset: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """Over a sequence."""
        entering, kept = self.before(self.project_in(x))
        shifted, cache = self.shift(entering, state and state[:1], reset)
        y, memory = self.layer(self.between(shifted, kept), state and state[1:], reset)
        return self.project_out(self.after(y, kept)), cache + memory

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """For one step."""
        return self.stepper()(x, state)

    def stepper(self, rows: int | None = None) -> Step:
        """For one step, with those of the parts."""
        project_in, project_out = linear(self.project_in, rows), linear(self.project_out, rows)
        shift, layer = self.shift.stepper(rows), self.layer.stepper(rows)

        def step(x: Tensor, state: State) -> tuple[Tensor, State]:
            entering, kept = self.before(project_in(x))
            shifted, cache = shift(entering, state[:1])
            y, memory = layer(self.between(shifted, kept), state[1:])
            return project_out(self.after(y, kept)), cache + memory

        return step


class MambaStyle(Gated):
    """Mamba's gates, `expand` times as wide as the block."""

    def __init__(self, width: int, make_layer: MakeLayer, *, expand: int = 2, kernel: int = 4) -> None:
        if expand < 1:
            raise ConfigError(f"encoder option expand expects a whole number of at least 1, got {expand}.")
        size = expand * width
        super().__init__(width, make_layer(size), 2, size, kernel)

    def before(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """u; z."""
        return projected[..., : self.size], projected[..., self.size :]

    def between(self, shifted: Tensor, kept: Tensor) -> Tensor:
        """silu(shift(u))."""
        return silu(shifted)

    def after(self, y: Tensor, kept: Tensor) -> Tensor:
        """y * silu(z)."""
        return y * silu(kept)


class H3Style(Gated):
    """H3's gates with heads of size one."""

    def __init__(self, width: int, make_layer: MakeLayer, *, kernel: int = 4) -> None:
        super().__init__(width, make_layer(width), 3, width, kernel)

    def before(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """k; q and v."""
        return projected[..., : self.size], projected[..., self.size :]

    def between(self, shifted: Tensor, kept: Tensor) -> Tensor:
        """shift(k) * v."""
        return shifted * kept[..., self.size :]

    def after(self, y: Tensor, kept: Tensor) -> Tensor:
        """q * y."""
        return y * kept[..., : self.size]


@register_layer("mamba")
class Mamba(MambaStyle):
    """S6 in Mamba's gates."""

    def __init__(self, width: int, *, modes: int = 16, expand: int = 2, kernel: int = 4) -> None:
        super().__init__(width, lambda size: S6(size, modes=modes), expand=expand, kernel=kernel)


@register_layer("h3")
class H3(H3Style):
    """S4D in H3's gates."""

    def __init__(self, width: int, *, modes: int = 16, kernel: int = 4) -> None:
        super().__init__(width, lambda size: S4D(size, modes=modes), kernel=kernel)


STYLES: dict[str, Callable[[int, MakeLayer], Encoder]] = {
    "plain": lambda width, make_layer: make_layer(width),
    "h3": H3Style,
    "mamba": MambaStyle,
}


def styled(style: str, width: int, make_layer: MakeLayer) -> Encoder:
    """A layer in the gates of a style; raises `UnknownNameError` for one that is none."""
    if style not in STYLES:
        raise UnknownNameError("style of a block", style, STYLES)
    return STYLES[style](width, make_layer)
