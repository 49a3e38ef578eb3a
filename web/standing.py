"""Where the crawl stands, gathered now and then in a thread of its own: a page never waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.clock import Clock
from runtime.errors import CrawlError

OFTEN_SECONDS, SELDOM_SECONDS, WATCHED_SECONDS = 3.0, 60.0, 90.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What was gathered: what `status --json` tells and the calls of a day by the hour; or why it could not be."""

    at: float
    told: Mapping[str, Any] = field(default_factory=dict)
    calls_by_hour: tuple[int, ...] = ()
    trouble: str = ""


class Watcher:
    """Gathers while it runs: every few seconds while somebody looks, every minute otherwise."""

    def __init__(self, gather: Callable[[], Standing], clock: Clock) -> None:
        self._gather = gather
        self._clock = clock
        self._ended = threading.Event()
        self._looked_at = clock.monotonic()
        self._standing = Standing(clock.now(), trouble="It is being gathered.")
        self._thread = threading.Thread(target=self._run, name="standing", daemon=True)

    def start(self) -> None:
        """Gather once, then begin."""
        self.refresh()
        self._thread.start()

    def end(self) -> None:
        """End."""
        self._ended.set()
        self._thread.join(SELDOM_SECONDS)

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

    def _run(self) -> None:
        gathered_at = self._clock.monotonic()
        while not self._clock.wait(self._ended, OFTEN_SECONDS):
            now = self._clock.monotonic()
            is_watched = now - self._looked_at < WATCHED_SECONDS
            if is_watched or now - gathered_at >= SELDOM_SECONDS:
                self.refresh()
                gathered_at = now
