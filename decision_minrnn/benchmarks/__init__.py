"""Measurements that a user can repeat: `decision-minrnn benchmark`."""
