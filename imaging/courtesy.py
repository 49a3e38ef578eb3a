"""When to leave the picture host alone: after a 429, or where one try after another fails."""

from __future__ import annotations

import threading

FIRST_HOLD_SECONDS, LONGEST_HOLD_SECONDS = 5.0, 900.0


class Courtesy:
    """Keeps the moment (monotonic seconds) until which no picture may be asked for.

    One picture that fails is that picture's trouble; as many in a row as there are workers are the host's. Holds
    double from 5 seconds to 15 minutes until a picture comes through again. The threads that bring pictures tell it
    themselves, at once: a host that refuses connections would see hundreds of tries within a tenth of a second.
    """

    def __init__(self, workers: int) -> None:
        self.until = float("-inf")
        self._workers = workers
        self._failures = 0
        self._holds = 0
        self._held_at = float("-inf")
        self._lock = threading.Lock()

    def came(self) -> None:
        """Take note of a picture that came, or of an answer that speaks of one picture alone."""
        with self._lock:
            self._failures = self._holds = 0

    def failed(self, began: float, now: float, asked_seconds: float, at_once: bool) -> bool:
        """Take note of a try, begun at `began`, that failed for the host's sake; return whether a hold begins.

        `asked_seconds` is what the host asked for, `at_once` whether it asked for patience at all.
        """
        with self._lock:
            if began < self._held_at:
                return False  # it was on its way when the hold began: no news
            self._failures += 1
            if not at_once and self._failures < self._workers:
                return False
            pause = min(FIRST_HOLD_SECONDS * 2**self._holds, LONGEST_HOLD_SECONDS)
            self.until, self._held_at = now + max(pause, asked_seconds), now
            self._failures, self._holds = 0, self._holds + 1
            return True
