"""What is done now and then begins when it should, and ends when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable

from runtime.clock import SystemClock
from runtime.errors import Stopped
from runtime.repeated import Repeated

LONG = 3600.0


def test_it_is_done_again_and_again_until_the_end() -> None:
    done = threading.Semaphore(0)
    repeated = Repeated("test", lambda look: done.release(), SystemClock(), 0.001)
    repeated.start()
    assert all(done.acquire(timeout=20) for _ in range(3))
    repeated.end(20)
    assert not repeated._thread.is_alive()


def test_who_is_in_the_middle_of_it_hears_of_the_end() -> None:
    begun, heard = threading.Event(), threading.Event()

    def work(look: Callable[[], None]) -> None:
        begun.set()
        try:
            while True:
                look()
        except Stopped:
            heard.set()
            raise

    repeated = Repeated("test", work, SystemClock(), LONG)
    repeated.start()
    assert begun.wait(20)
    repeated.end(20)
    assert heard.is_set() and not repeated._thread.is_alive()


def test_the_end_may_come_before_the_first_time() -> None:
    done: list[int] = []
    repeated = Repeated("test", lambda look: done.append(1), SystemClock(), LONG, LONG)
    repeated.start()
    repeated.end(20)
    assert done == [] and not repeated._thread.is_alive()
