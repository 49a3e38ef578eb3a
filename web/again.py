"""Trying again what could not be read, from the page: `run.py again`, a process of its own with the same settings.

The page itself opens the database for reading only.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crawler.store.failures import KINDS
from runtime.door import PROGRAM
from web.wanted import read_number

PATIENCE_SECONDS = 60.0
ALL = "all"
STATUSES = {0: 200, 2: 409}
"""What the page answers, by the command's exit status: done, or refused in words."""
BROKEN = "That did not work: `python run.py again`, typed in a terminal, says why."
LATE = "That took too long and was given up. The database may be busy: try again."


@dataclass(frozen=True, slots=True)
class Told:
    """What the command said, line by line, and the status of the page that says it."""

    status: int
    lines: Sequence[str]


def arguments_of(form: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the command's arguments for what a form names, none for all; None where it names nothing that can fail."""
    kind, number = form.get("kind"), form.get("number")
    if kind == ALL and number is None:
        return ()
    if kind in KINDS and isinstance(number, str) and read_number(number) is not None:
        return kind, number
    return None


def try_again(arguments: Sequence[str], program: Path = PROGRAM, patience_seconds: float = PATIENCE_SECONDS) -> Told:
    """Run the command to its end, which takes some seconds, or until that takes too long."""
    try:
        done = subprocess.run(
            [sys.executable, str(program), "again", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=patience_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Told(503, (LATE,))
    if done.returncode not in STATUSES:
        return Told(500, (BROKEN,))
    return Told(STATUSES[done.returncode], (done.stdout + done.stderr).splitlines())
