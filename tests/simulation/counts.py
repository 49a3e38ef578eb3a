"""What an attack counted, told in one line each at the end of the test run."""

from __future__ import annotations

import os
from pathlib import Path

COUNTS_FILE = "COUNTS_FILE"
"""The environment variable that names the file of the lines, for all processes of a test run."""


def note_count(name: str, text: str) -> None:
    """Have this line shown once the test run is over; printed at once where there is no test run."""
    line = f"{name}: {text}"
    path = os.environ.get(COUNTS_FILE)
    if path is None:
        print(line)
        return
    # Short lines appended whole: the processes of a test run share the file.
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
