"""Dying at a chosen moment: at the n-th event of a kind, such as a look at, or change of, a file."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

FILE_EVENTS = (
    *("open", "os.truncate", "os.chmod", "os.remove", "os.mkdir", "os.rename", "os.symlink", "os.link", "os.rmdir"),
)


Count = Callable[[], None]


def dies_at(event: int, work: Callable[[], object]) -> bool:
    """Do the work in a process of its own that is killed at its n-th event of a file; return whether it died."""
    return dies_at_one_of(event, lambda count: work(), lambda name: name in FILE_EVENTS or name.startswith("sqlite3"))


def dies_at_one_of(event: int, work: Callable[[Count], object], is_one: Callable[[str], bool]) -> bool:
    """Do the work in a process of its own that is killed at its n-th event; return whether it died of it.

    Python tells of events by name; the work is given what counts one more, and calls it where Python tells of none.
    """
    child = os.fork()
    if child == 0:
        left = event

        def count() -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(lambda name, told: count() if is_one(name) else None)
        try:
            work(count)
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)
