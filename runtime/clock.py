"""The only place that asks what time it is, or waits.

Two clocks: `now` is wall time (Unix seconds) for what is written down, `monotonic` is for spacing calls.
A computer that sleeps stops the second, not the first.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Protocol

DAY_SECONDS = 86_400.0
EARLIEST = 1_767_225_600.0
"""2026-01-01, before this program was written: a computer whose clock is behind that has a flat battery."""


class Clock(Protocol):
    """What the rest of the code may ask of time; a test or a simulation brings another one."""

    def now(self) -> float:
        """Return the wall time in Unix seconds."""

    def monotonic(self) -> float:
        """Return seconds that never jump back; comparable between processes until the next boot."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set or the seconds are over; return whether it is set."""


class SystemClock:
    """The computer's own clocks."""

    def now(self) -> float:
        """Return the wall time in Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return the system-wide monotonic time in seconds."""
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set or the seconds are over; return whether it is set."""
        return event.wait(max(0.0, seconds))


def iso(unix_seconds: float) -> str:
    """Return the moment as the data model writes it: UTC, whole seconds, `Z`."""
    return _iso(int(unix_seconds))


@lru_cache(maxsize=256)
def _iso(unix_seconds: int) -> str:
    # The hundred rows of a step carry a few moments.
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_http_date(text: str) -> float | None:
    """Return the Unix seconds of a `Date` header; None where it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def parse_iso(text: str) -> float:
    """Return the Unix seconds of a moment that `iso` wrote; ValueError where it is none."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
