"""An encoder of one's own in one file: a class with three methods, by a name that `encoder=` and `--encoder` know."""

import torch

import decision_minrnn as dm
from decision_minrnn.encoders import Encoder, register_layer
from decision_minrnn.ops import linear_scan

UPDATES = 20


@register_layer("moving-average")
class MovingAverage(Encoder):
    """y_t = k y_{t-1} + (1 - k) x_t, with a k of its own, learned, for each dimension."""

    def __init__(self, width, *, start=2.0):
        """`start` is the logit of k before training; a keyword argument with a default is an option of the encoder."""
        super().__init__()
        self.logit = torch.nn.Parameter(torch.full((width,), start))

    def initial_state(self, batch_size):
        """Before the first step: zero."""
        return (self.logit.new_zeros(batch_size, len(self.logit)),)

    def forward(self, x, state=None, reset=None):
        """A sequence in parallel, as in training; `reset` marks steps that start afresh."""
        keep = torch.sigmoid(self.logit).expand_as(x)
        h, last = linear_scan(keep, (1 - keep) * x, state and state[0], reset=reset)
        return h, (last,)

    def step(self, x, state):
        """One step, as in acting; agrees with `forward`."""
        h = torch.lerp(x, state[0], torch.sigmoid(self.logit))
        return h, (h,)


if __name__ == "__main__":
    config = dm.TrainConfig(
        "hopper-medium", encoder="moving-average", encoder_options={"start": 1.0}, updates=UPDATES, width=16, layers=2,
        batch_size=4, targets=(1800.0,), episodes=2, threads=1, out="runs/moving-average",
    )  # fmt: skip
    run = dm.train(config)
    print(f"return {run.evaluation.targets[0].return_mean:.0f}")
