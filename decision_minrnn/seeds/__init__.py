"""Several seeds of one configuration, trained side by side: one set of weights, batches and run folder for each."""

from decision_minrnn.seeds.training import train_seeds

__all__ = ["train_seeds"]
