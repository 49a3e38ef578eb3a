"""The two limits of a key: calls in any second, and calls in any 24 hours."""

from __future__ import annotations

from collections import deque

from sandbox.settings import Clock, SandboxSettings

DAY_SECONDS = 86_400.0
SECOND = 1.0


class Limits:
    """Sliding windows over the accepted calls; the second by the monotonic clock, the day by the wall's."""

    def __init__(self, settings: SandboxSettings, clock: Clock) -> None:
        self.per_second = settings.calls_per_second
        self.per_day = settings.quota_per_day
        self._refused_count = settings.refused_calls_count
        self._clock = clock
        self._second: deque[float] = deque()
        self._day: deque[float] = deque()

    def set_quota(self, per_day: int | None = None, per_second: int | None = None) -> None:
        """Change a limit from now on; calls already made still count."""
        self.per_day = self.per_day if per_day is None else per_day
        self.per_second = self.per_second if per_second is None else per_second

    def take(self) -> str | None:
        """Count one call; return None where it may pass, else `second` or `day`: the limit it ran into."""
        self._slide()
        refused = None
        # The day goes first: with both spent, a client must hear of the one that takes longer.
        if len(self._day) >= self.per_day:
            refused = "day"
        elif len(self._second) >= self.per_second:
            refused = "second"
        if refused is None:
            self._second.append(self._clock.monotonic())
        if refused is None or self._refused_count:
            self._day.append(self._clock.now())
        return refused

    def headers(self) -> dict[str, str]:
        """Return the four headers that every answer carries."""
        self._slide()
        return {
            "x-limit-per-second": str(self.per_second),
            "x-remaining-this-second": str(max(0, self.per_second - len(self._second))),
            "x-limit-per-day": str(self.per_day),
            "x-remaining-today": str(max(0, self.per_day - len(self._day))),
        }

    def _slide(self) -> None:
        second, day = self._clock.monotonic() - SECOND, self._clock.now() - DAY_SECONDS
        while self._second and self._second[0] <= second:
            self._second.popleft()
        while self._day and self._day[0] <= day:
            self._day.popleft()
