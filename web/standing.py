"""Where the crawl stands, gathered now and then in a thread of its own: a page never waits for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.clock import Clock
from runtime.errors import CrawlError
from runtime.repeated import Repeated

OFTEN_SECONDS, SELDOM_SECONDS, WATCHED_SECONDS, PATIENCE_SECONDS = 3.0, 60.0, 90.0, 60.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What was gathered: what `status --json` tells, and the calls of two days by the minute; or why it could not be.

    A minute is told by its start in Unix seconds.
    """

    at: float
    told: Mapping[str, Any] = field(default_factory=dict)
    calls: tuple[tuple[float, int], ...] = ()
    trouble: str = ""


class Watcher:
    """Gathers while it runs: every few seconds while somebody looks, every minute otherwise."""

    def __init__(self, gather: Callable[[], Standing], clock: Clock) -> None:
        self._gather = gather
        self._clock = clock
        self._looked_at = self._gathered_at = clock.monotonic()
        self._standing = Standing(clock.now(), trouble="It is being gathered.")
        self._thread = Repeated("standing", self._look_around, clock, OFTEN_SECONDS, OFTEN_SECONDS)

    def start(self) -> None:
        """Gather once, then begin."""
        self.refresh()
        self._thread.start()

    def end(self) -> None:
        """End."""
        self._thread.end(PATIENCE_SECONDS)

    def look(self) -> Standing:
        """Return the newest standing."""
        self._looked_at = self._clock.monotonic()
        return self._standing

    @property
    def standing(self) -> Standing:
        """The newest standing, for who is no person that looks."""
        return self._standing

    def refresh(self) -> None:
        """Gather now."""
        try:
            self._standing = self._gather()
        except CrawlError as error:
            self._standing = Standing(self._clock.now(), trouble=error.words())

    def _look_around(self, _: Callable[[], None]) -> None:
        now = self._clock.monotonic()
        is_watched = now - self._looked_at < WATCHED_SECONDS
        if is_watched or now - self._gathered_at >= SELDOM_SECONDS:
            self.refresh()
            self._gathered_at = now
