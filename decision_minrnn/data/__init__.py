"""Recorded trajectories: reading them from any supported place into one form, and writing them."""

from decision_minrnn.data.resolve import load_dataset
from decision_minrnn.data.saving import convert_dataset, save_dataset
from decision_minrnn.data.trajectories import Trajectories

__all__ = ["Trajectories", "convert_dataset", "load_dataset", "save_dataset"]
