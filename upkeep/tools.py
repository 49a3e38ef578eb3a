"""Programs of others, run to their end or to a stop."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

from runtime.errors import OperatorNeeded
from runtime.stop import Stop

LOOK_SECONDS = 0.25


def run_tool(command: Sequence[str], stop: Stop, well: Collection[int] = (), password: str = "") -> None:
    """Run a tool to its end; OperatorNeeded with its words where it fails, Stopped within a moment of a stop.

    Exit statuses in `well` are no failure. The `password` goes to PostgreSQL's tools.
    """
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"} | ({"PGPASSWORD": password} if password else {})
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        told = b""
        while True:
            try:
                _, told = process.communicate(timeout=LOOK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                if stop.requested():
                    process.terminate()
                    process.communicate()
                    stop.raise_if_requested()
    if process.returncode and process.returncode not in well:
        words = told.decode("utf-8", "replace").strip().replace(password or "\0", "…")
        raise OperatorNeeded(f"{Path(command[0]).name} failed: {words[-500:]}")
