"""Which versions produced a result."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("decision-minrnn", "torch", "numpy", "gymnasium", "mujoco", "minari")


def versions() -> dict[str, str]:
    """Python's version and those of the packages that a score depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
