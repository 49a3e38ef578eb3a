"""Runs one command and writes down what it cost. A program of its own, which imports next to nothing.

    python -I bench/meter.py RESULT.json COMMAND [ARGUMENT ...]

A child's peak memory is never reported as less than what its parent held when it started it; so the parent has to
be small, which the benchmark itself is not.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

SAMPLE_SECONDS = 0.2
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
RESULT_PLACE, COMMAND_PLACE = 1, 2


class TreeMemory(threading.Thread):
    """Samples what a process and all below it hold in memory, and keeps the most; 0 where there is no /proc."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.most_bytes = 0
        self._root = root
        self._over = threading.Event()

    def run(self) -> None:
        """Sample until the end."""
        while not self._over.wait(SAMPLE_SECONDS):
            self.most_bytes = max(self.most_bytes, held_bytes(self._root))

    def end(self) -> None:
        """Stop to sample."""
        self._over.set()
        self.join()


def held_bytes(process: int) -> int:
    """Return what the process and its descendants hold now; pages that they share count for each."""
    place = Path("/proc", str(process))
    try:
        total = int((place / "statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES
        for children in place.glob("task/*/children"):
            total += sum(held_bytes(int(child)) for child in children.read_text(encoding="ascii").split())
    except OSError:
        return 0  # it has gone, or this system has no /proc
    return total


def main(arguments: list[str]) -> int:
    """Run the command to its end; write down what it cost, its exit status among it."""
    result, command = Path(arguments[RESULT_PLACE]), arguments[COMMAND_PLACE:]
    began = time.monotonic()
    process = os.posix_spawnp(command[0], command, os.environ)
    memory = TreeMemory(process)
    memory.start()
    _, status, used = os.wait4(process, 0)
    seconds = time.monotonic() - began
    memory.end()
    cost = {
        "exit_status": os.waitstatus_to_exitcode(status),
        "seconds": seconds,
        # Of the process and of all children that it waited for.
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "largest_process_bytes": used.ru_maxrss * MAXRSS_BYTES,
        "all_processes_bytes": memory.most_bytes,
    }
    result.write_text(json.dumps(cost), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
