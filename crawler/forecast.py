"""What the cycle under way still costs and what a whole one does, beside the day's calls; no call is made for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crawler.api import quota as day
from crawler.api.quota import Quota
from crawler.freshness import Cycle, Freshness
from crawler.outcome import Position
from crawler.plan import PAGE_ROWS
from crawler.store import counts, intervals, shops, state, usage
from runtime.clock import DAY_SECONDS, iso, parse_iso

CALLS_A_SECOND = 5.0
NEW_KEY_LIMIT = 5_000
KINDS = {"findAllListingsActive": "searches", "getListingsByListingIds": "batches", "getReviewsByShop": "reviews"}


@dataclass(frozen=True, slots=True)
class Need:
    """Calls by what they are for; single listings, images and shops count among the batches."""

    searches: int
    batches: int
    reviews: int

    @property
    def calls(self) -> int:
        """All of them."""
        return self.searches + self.batches + self.reviews


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is needed. Moments are Unix seconds.

    `left` is for the cycle under way; `last` what the last whole cycle took, None before there was one. `limit` is the
    day's calls, assumed where `is_assumed`; `ends_at` is when the cycle's calls are made, `due_at` when the next
    cycle is to begin; `was_first` whether the last cycle was the first.
    """

    left: Need
    last: Need | None
    limit: int
    is_assumed: bool
    ends_at: float
    due_at: float
    cycle_days: float
    max_age_days: float
    was_first: bool = False

    @property
    def fits(self) -> bool:
        """Whether the cycle under way ends before the next one is to begin."""
        return self.ends_at <= self.due_at

    @property
    def is_tight(self) -> bool:
        """Whether a cycle takes more calls than its days have, by the last one.

        The first reads all reviews that there ever were, so of that the others count.
        """
        if self.last is None:
            return False
        calls = self.last.calls - (self.last.reviews if self.was_first else 0)
        return calls > self.limit * self.cycle_days

    def gives(self) -> list[str]:
        """Return in sentences what would make a cycle fit, empty where it fits already."""
        if self.last is None or not self.is_tight:
            return []
        days = math.ceil(self.last.calls / self.limit * 10) / 10
        found = [f"CYCLE_DAYS={days:g}: a cycle of {days:g} days has the calls for it."]
        saved = self.last.batches / 2
        twice = 2 * self.max_age_days
        if self.last.calls - saved <= self.limit * self.cycle_days:
            found.append(
                f"DYNAMIC_MAX_AGE_DAYS={twice:g}: each listing is read in every second cycle, {saved:,.0f} calls less."
            )
        rest = self.last.calls - self.last.reviews
        if self.last.reviews and rest <= self.limit * self.cycle_days:
            found.append(f"Reviews come last and are late by themselves: without them a cycle takes {rest:,} calls.")
        return found

    def as_json(self) -> Mapping[str, Any]:
        """Return it as JSON values."""
        return {
            "calls_left": self.left.calls,
            "left": _by_kind(self.left),
            "last_cycle": None if self.last is None else _by_kind(self.last),
            "limit": self.limit,
            "limit_assumed": self.is_assumed,
            "ends_at": iso(self.ends_at),
            "next_cycle_at": iso(self.due_at),
            "fits": self.fits,
            "would_fit_with": self.gives(),
        }


def load_quota() -> Quota:
    """Return what is known of the day's limit."""
    return Quota.of_json(state.load_known("quota") or {})


def foresee(
    place: Position, cycle: Cycle, freshness: Freshness, due_listings: int, quota: Quota, now: float
) -> Forecast:
    """Return the forecast; `place` is the position that is worked on, behind a sleep for quota."""
    last = _last_cycle(cycle)
    left = _left(place, cycle, due_listings, last)
    return Forecast(
        left=left,
        last=last,
        limit=quota.limit or NEW_KEY_LIMIT,
        is_assumed=quota.limit is None,
        ends_at=_ends_at(left.calls, quota, now),
        due_at=freshness.next_cycle_at(cycle, cycle.started_at),
        cycle_days=freshness.cycle_days,
        max_age_days=freshness.max_age_days,
        was_first=cycle.number == 2,
    )


def _left(place: Position, cycle: Cycle, due_listings: int, last: Need | None) -> Need:
    """Return what the cycle under way still needs, by what is known now."""
    if place.state == "SLEEP":
        return Need(0, 0, 0)
    searches = _searches_left(place, cycle.number) if place.state == "TAXONOMY" else 0
    unseen = 0.0
    if searches and cycle.number == 1:  # in later cycles what will be asked for is due from the start
        ever = counts.listings()
        unseen = searches * (ever["wanted"] / ever["seen"] if ever["seen"] else 1.0)
    reviews = math.ceil(shops.due_review_count(cycle.number) * _pages_a_visit(cycle))
    # Which shops have moved is only known once their listings' batches have come.
    if place.state != "REVIEWS" and last is not None and cycle.number > 2:
        reviews = max(reviews, last.reviews)
    return Need(searches, math.ceil(due_listings / PAGE_ROWS + unseen), reviews)


def _pages_a_visit(cycle: Cycle) -> float:
    """Return how many pages a visit to a shop's reviews has taken in this cycle."""
    made = usage.by_endpoint(cycle.started_at)
    pages = sum(number for name, number in made.items() if KINDS.get(name) == "reviews")
    return max(1.0, pages / max(1, shops.visit_count(iso(cycle.started_at))))


def _searches_left(place: Position, cycle: int) -> int:
    """Return how many pages are to be searched: by this cycle's counts, else by the last one's."""
    rows = intervals.certificates(cycle)
    before = [row for row in intervals.certificates(cycle - 1) if row["status"] != "split"]
    if not rows:  # not planned yet
        return sum(math.ceil((row["reported_count"] or 0) / PAGE_ROWS) for row in before)
    counts = {_bounds(row): row["reported_count"] for row in before}
    pages = 0
    for row in rows:
        if row["id"] == place.cursor.get("interval_id") and place.cursor.get("count") is not None:
            pages += math.ceil(max(0, place.cursor["count"] - place.cursor["offset"]) / PAGE_ROWS)
        elif row["status"] not in ("done", "split"):
            pages += math.ceil((row["reported_count"] or counts.get(_bounds(row)) or _share(row, rows)) / PAGE_ROWS)
    return pages


def _share(piece: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> float:
    """Return about how many rows a piece has that was not looked at: its part of what the interval had that was cut."""
    around = [row for row in rows if row["status"] == "split" and row["reported_count"] and _holds(row, piece)]
    if not around:
        return 0.0
    whole = min(around, key=lambda row: int(row["reported_count"]))
    inside = [row for row in rows if row["status"] != "split" and _holds(whole, row)]
    known = [int(row["reported_count"]) for row in inside if row["reported_count"]]
    return max(0, int(whole["reported_count"]) - sum(known)) / max(1, len(inside) - len(known))


def _holds(outer: Mapping[str, Any], inner: Mapping[str, Any]) -> bool:
    outer_end, inner_end = (math.inf if row["max_price"] is None else row["max_price"] for row in (outer, inner))
    return bool(outer["min_price"] <= inner["min_price"] and inner_end <= outer_end)


def _bounds(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["taxonomy_id"], row["min_price"], row["max_price"], row["sort_order"]


def _last_cycle(cycle: Cycle) -> Need | None:
    """Return what the cycle before took, by the calls that were made in it; None where there was none."""
    began = [row["started_at"] for row in intervals.certificates(cycle.number - 1) if row["started_at"]]
    if not began:
        return None
    made = usage.by_endpoint(parse_iso(min(began)), cycle.started_at)
    told = {kind: sum(n for name, n in made.items() if KINDS.get(name, "batches") == kind) for kind in KINDS.values()}
    return Need(**told)


def _ends_at(calls: int, quota: Quota, now: float) -> float:
    """Return when so many calls are made: at five a second within the day's limit."""
    if not calls:
        return now
    made = usage.by_minute(now - 2 * DAY_SECONDS)
    left = day.available(quota, made, now)
    at_once = day.next_call_at(quota, made, now) + calls / CALLS_A_SECOND
    if quota.limit is None or left is None or calls <= left:
        return at_once
    return max(at_once, day.back_at(quota, calls - max(0, left), made, now))


def _by_kind(need: Need) -> dict[str, int]:
    return {kind: getattr(need, kind) for kind in KINDS.values()}
