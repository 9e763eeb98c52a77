"""Whether an installation computes what it claims, on its own machine and device: `decision-minrnn selftest`."""
