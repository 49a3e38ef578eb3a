"""Something that is done now and then in a thread of its own, for as long as it is wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable

from runtime.clock import Clock
from runtime.errors import Stopped


class Repeated:
    """Does `work` first after so many seconds, then every so many; whoever is in the middle of it is told to end.

    `work` gets what raises Stopped once the end is wanted; it looks after its own errors.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Callable[[], None]], object],
        clock: Clock,
        every_seconds: float,
        first_seconds: float = 0.0,
    ) -> None:
        self._work = work
        self._clock = clock
        self._every_seconds, self._first_seconds = every_seconds, first_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self, patience_seconds: float | None = None) -> None:
        """Have it end, and wait for that, at most so long: then it is left to the process's end."""
        self._ended.set()
        self._thread.join(patience_seconds)

    def _run(self) -> None:
        pause = self._first_seconds
        try:
            while not self._clock.wait(self._ended, pause):
                self._work(self._look)
                pause = self._every_seconds
        except Stopped:
            pass

    def _look(self) -> None:
        if self._ended.is_set():
            raise Stopped("The end is wanted.")
