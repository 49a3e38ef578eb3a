"""How fast a count grows, over the last while."""

from __future__ import annotations

from collections import deque

from runtime.clock import Clock

STEP_SECONDS = 0.5


class Rate:
    """The growth per second of a count that is told now and then, over a sliding window."""

    def __init__(self, clock: Clock, window_seconds: float) -> None:
        self._clock = clock
        self._window_seconds = window_seconds
        self._points: deque[tuple[float, int]] = deque([(clock.monotonic(), 0)])

    def per_second(self, count: int) -> float:
        """Take in the count as it is now; return by how much it grew per second in the window."""
        now = self._clock.monotonic()
        if now - self._points[-1][0] >= STEP_SECONDS:
            self._points.append((now, count))
        while len(self._points) > 2 and now - self._points[0][0] > self._window_seconds:
            self._points.popleft()
        began, before = self._points[0]
        return (count - before) / (now - began) if now > began else 0.0
