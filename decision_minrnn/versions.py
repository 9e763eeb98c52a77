"""Which versions produced a result."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("decision-minrnn", "torch", "numpy", "gymnasium", "mujoco", "minari")


def versions(*further: str) -> dict[str, str]:
    """Python's version and those of the packages that a score depends on; of `further` packages as well."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, *further):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
