"""What the live display of a crawl says: state, interval, rows, calls, quota, expected end."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager
from typing import Protocol

from crawler.api import quota as day
from crawler.api.ledger import Ledger
from crawler.freshness import Freshness
from crawler.outcome import Outcome, Position
from crawler.store import counts, images, usage
from crawler.survey import Standing, forecast, stand
from runtime.clock import DAY_SECONDS, Clock, iso
from runtime.progress import Progress
from runtime.rate import Rate

RATE_WINDOW_SECONDS = 10.0
COUNTS_EVERY_SECONDS = 5.0
FORECAST_EVERY_SECONDS = 30.0


class Companion(Protocol):
    """What works beside the crawl, in the same process, until the crawl ends."""

    def at_work(self) -> AbstractContextManager[None]:
        """Work while the block lasts; what the work died of is raised at its end."""

    def tell(self, queued: int) -> str:
        """Return where the work stands, in a line; so much of it is queued."""


class Watch:
    """Follows the engine step by step and shows where it stands; it changes nothing."""

    def __init__(
        self, progress: Progress, ledger: Ledger, freshness: Freshness, clock: Clock, companion: Companion
    ) -> None:
        self._companion = companion
        self._progress = progress
        self._ledger = ledger
        self._freshness = freshness
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._last_step = ""
        self._calls = Rate(clock, RATE_WINDOW_SECONDS)
        self._standing: Standing | None = None
        self._standing_at = float("-inf")
        self._ends, self._ends_at = "", float("-inf")

    def observe(self, position: Position, outcome: Outcome | None) -> None:
        """Take in one step; show the standing where it is time."""
        if outcome is not None:
            self._counts.update(outcome.counts)
            self._last_step = outcome.said or outcome.event
        if self._progress.due():
            self._progress.show(self._values(position))

    def _values(self, position: Position) -> dict[str, str]:
        now = self._clock.now()
        standing = self._stand(now)
        values = {"state": f"{position.state} (cycle {position.cycle})", **_place(position)}
        if standing:
            values["intervals"] = f"{standing.intervals_done} of {standing.intervals_total} done"
            values["due"] = f"{standing.due_listings:,} listings, {standing.due_reviews:,} shops' reviews"
        values["last step"] = self._last_step or "none yet"
        names = ("seen", "new", "updated", "removed", "failed", "reviews")
        values["this run"] = ", ".join(f"{self._counts[name]:,} {name}" for name in names)
        values["calls"] = f"{self._ledger.total:,}, {self._calls.per_second(self._ledger.total):.1f} a second"
        values["quota"] = day.in_words(self._ledger.quota, usage.by_minute(now - 2 * DAY_SECONDS), now)
        pictures = counts.pictures()
        values["pictures"] = images.in_words(pictures) + f"; {self._companion.tell(pictures['queued'])}"
        if standing and position.state != "SLEEP":
            values["calls done at about"] = self._expected_end(standing, now)
        return values

    def _expected_end(self, standing: Standing, now: float) -> str:
        moment = self._clock.monotonic()
        if moment - self._ends_at > FORECAST_EVERY_SECONDS:
            told = forecast(standing, self._freshness, self._ledger.quota, now)
            self._ends = iso(told.ends_at) + ("" if told.fits else ", later than the next cycle's start")
            self._ends_at = moment
        return self._ends

    def _stand(self, now: float) -> Standing | None:
        """Return where the machine stands, the counts in it a few seconds old: what is due takes long to count."""
        moment = self._clock.monotonic()
        if moment - self._standing_at > COUNTS_EVERY_SECONDS:
            self._standing, self._standing_at = stand(self._freshness, now), moment
        return self._standing


def _place(position: Position) -> dict[str, str]:
    """Return where in its state the machine is, in words."""
    cursor = position.cursor
    if position.state == "TAXONOMY":
        upper = "up" if cursor.get("max_price") is None else f"to {cursor['max_price']}"
        count = "?" if cursor.get("count") is None else f"{cursor['count']:,}"
        where = f"category {cursor.get('taxonomy_id')}, price {cursor.get('min_price')} {upper}"
        return {"interval": where, "offset": f"{cursor.get('offset'):,} of {count}"}
    if position.state == "SLEEP":
        return {"until": f"{cursor.get('until')} ({cursor.get('reason')})"}
    if position.state == "REVIEWS" and cursor.get("shop_id"):
        return {"shop": f"{cursor['shop_id']}, offset {cursor.get('offset')}"}
    return {}
