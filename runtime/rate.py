"""Looking at counts now and then: what they are, and how fast they grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from runtime.clock import Clock

STEP_SECONDS = 0.5
Value = TypeVar("Value")


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


class Looked(Generic[Value]):
    """What a look finds, looked for anew now and then: to count a table of millions takes a moment."""

    def __init__(self, clock: Clock, seconds: float, look: Callable[[], Value]) -> None:
        self._clock, self._seconds, self._look = clock, seconds, look
        self._found: tuple[float, Value] | None = None

    def due(self) -> bool:
        """Return whether the next value is looked for anew."""
        return self._found is None or self._clock.monotonic() - self._found[0] >= self._seconds

    def value(self) -> Value:
        """Return what the last look found, or look again."""
        if self._found is None or self.due():
            self._found = (self._clock.monotonic(), self._look())
        return self._found[1]
