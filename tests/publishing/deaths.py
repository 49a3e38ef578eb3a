"""Dying at a chosen moment: before the n-th SQL statement, HTTP message or change of a file."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from tests.deaths import FILE_EVENTS

EVENTS = (*FILE_EVENTS, "http.client.connect", "http.client.send")
Count = Callable[[], None]


def dies_at(event: int, work: Callable[[Count], object]) -> bool:
    """Do the work in a process of its own that is killed at its n-th event; return whether it died of it.

    The work is given what counts an event: it calls that before each SQL statement.
    """
    child = os.fork()
    if child == 0:
        left = event

        def count() -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(lambda name, told: count() if name in EVENTS else None)
        try:
            work(count)
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)
