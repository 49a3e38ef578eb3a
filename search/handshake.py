"""What home and helper must have in common: values travel between them as they lie in Python's memory."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping

PROTOCOL = "1"
LIBRARIES = ("distributed", "cloudpickle", "numpy")


def versions() -> dict[str, str]:
    """Return what this side has."""
    found = {"protocol": PROTOCOL, "Python": ".".join(platform.python_version_tuple()[:2])}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def difference(theirs: Mapping[str, str]) -> str:
    """Return in words what the other side has otherwise, empty where it is the same."""
    ours = versions()
    told = [
        f"{name} {ours.get(name, 'none')} here, {theirs.get(name, 'none')} there"
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    ]
    return ", ".join(told)
