"""The other experiments of "Were RNNs All We Needed?" (arXiv 2410.01201): the encoders on tasks of tokens.

A task (`base`) gives batches and measures a model (`model`); `training` trains one, `experiment` several that are
compared. `parameters` and `scaling` count and measure without training.
"""
