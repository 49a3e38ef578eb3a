"""Dying at a chosen moment: at the n-th look at, or change of, a file."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

FILE_EVENTS = (
    *("open", "os.truncate", "os.chmod", "os.remove", "os.mkdir", "os.rename", "os.symlink", "os.link", "os.rmdir"),
)


def dies_at(event: int, work: Callable[[], object]) -> bool:
    """Do the work in a process of its own that is killed at its n-th event; return whether it died of it."""
    child = os.fork()
    if child == 0:
        left = event

        def count(name: str, told: tuple[object, ...]) -> None:
            nonlocal left
            if name in FILE_EVENTS or name.startswith("sqlite3"):
                left -= 1
                if left <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)
