"""Recorded trajectories: reading them from any supported place into one form."""

from decision_minrnn.data.resolve import load_dataset
from decision_minrnn.data.trajectories import Trajectories

__all__ = ["Trajectories", "load_dataset"]
