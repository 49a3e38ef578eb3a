"""Calling the system's own tools."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from runtime.errors import OperatorNeeded

MOST_SECONDS = 60.0
Answer = subprocess.CompletedProcess[bytes]


def is_there(tool: str) -> bool:
    """Return whether the tool is found."""
    return shutil.which(tool) is not None


def ask(command: Sequence[str], given: bytes = b"") -> Answer:
    """Run a tool and return its answer, however it ended; OperatorNeeded where it does not end, or cannot begin."""
    try:
        return subprocess.run(command, input=given, capture_output=True, timeout=MOST_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OperatorNeeded(f"`{command[0]}` does not work here ({error}).") from error


def call(command: Sequence[str], given: bytes = b"") -> Answer:
    """Run a tool and return its answer; OperatorNeeded with its words where it fails."""
    answer = ask(command, given)
    if answer.returncode:
        raise OperatorNeeded(f"`{' '.join(command)}` failed: {words(answer) or f'exit status {answer.returncode}'}.")
    return answer


def words(answer: Answer) -> str:
    """Return what a tool said, on one line."""
    return " ".join((answer.stderr or answer.stdout).decode("utf-8", "replace").split())
