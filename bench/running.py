"""Running the programs that a benchmark compares: under the meter, in environments of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.contestants import ROOT


class Failed(Exception):
    """A contestant did not do the work."""


def measure(name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run a contestant's command under the meter and return what it cost; Failed."""
    result, output = folder / "cost.json", folder / "output.txt"
    meter = [sys.executable, "-I", str(ROOT / "bench" / "meter.py"), str(result), *command]
    told = {**os.environ, **environment, "no_proxy": "127.0.0.1"}
    with output.open("wb") as file:
        subprocess.run(meter, check=True, cwd=ROOT, env=told, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    cost: dict[str, Any] = json.loads(result.read_text(encoding="ascii"))
    if cost.pop("exit_status"):
        raise Failed(f"{name} failed:\n{output.read_text(errors='replace')[-2000:]}")
    return cost


def versions(python: Path, packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of packages in another environment."""
    asking = (
        f"import json, importlib.metadata as m; print(json.dumps({{n: m.version(n) for n in {tuple(packages)!r}}}))"
    )
    answer = subprocess.run([python, "-c", asking], check=True, capture_output=True)
    found: dict[str, str] = json.loads(answer.stdout)
    return found
