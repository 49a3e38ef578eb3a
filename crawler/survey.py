"""Where the crawl stands, gathered from the database: for `status`, for dumps and for the live display."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from crawler import checkpoint
from crawler.api import quota as day
from crawler.api.quota import Quota
from crawler.due import due_at
from crawler.forecast import Forecast, foresee, load_quota
from crawler.freshness import Cycle, Freshness, revisit_before
from crawler.outcome import Position
from crawler.store import counts, failures, images, index, intervals, shops, state, usage
from runtime.clock import DAY_SECONDS, iso

PACKAGES = (
    "transitions",
    "requests",
    "peewee",
    "python-backoff",
    "pillow",
    "rich",
    "pydantic",
    "orjson",
    "filelock",
)
RECENT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the machine stands: its position, its cycle and what is due."""

    position: Position
    cycle: Cycle
    due_listings: int
    due_shops: bool
    due_reviews: int
    intervals_done: int
    intervals_total: int


def stand(freshness: Freshness, now: float) -> Standing | None:
    """Return where the machine stands, None before the first start."""
    position = checkpoint.load_position()
    if position is None:
        return None
    cycle = checkpoint.load_cycle()
    due = due_at(freshness, cycle, now)
    walked = intervals.progress(cycle.number)
    return Standing(
        position=position,
        cycle=cycle,
        due_listings=index.due_count(due),
        due_shops=bool(shops.due_details(due, 1)),
        due_reviews=shops.due_review_count(cycle.number),
        intervals_done=walked["done"],
        intervals_total=walked["total"],
    )


def working_position(position: Position) -> Position:
    """Return the position that is worked on: the one behind the sleep, where it is a sleep for quota."""
    if position.state == "SLEEP" and position.cursor.get("reason") == "quota":
        return checkpoint.position_of_json(position.cursor["resume"])
    return position


def forecast(standing: Standing, freshness: Freshness, quota: Quota, now: float) -> Forecast:
    """Return what is needed to the end of the cycle, and when that is."""
    place = working_position(standing.position)
    return foresee(place, standing.cycle, freshness, standing.due_listings, quota, now)


def survey(freshness: Freshness, now: float) -> dict[str, Any]:
    """Return everything that `status --json` and a dump tell, as JSON values."""
    standing = stand(freshness, now)
    quota = load_quota()
    calls = usage.by_minute(now - 2 * DAY_SECONDS)
    recent = sum(count for minute, count in calls if minute >= now - RECENT_SECONDS)
    told: dict[str, Any] = {
        "at": iso(now),
        "position": checkpoint.position_as_json(standing.position) if standing else None,
        "quota": {
            **quota.as_json(),
            "available": day.available(quota, calls, now),
            "used_24h": day.used(calls, now),
            "next_call_at": iso(day.next_call_at(quota, calls, now)),
        },
        "last_call_at": usage.last_call_at(),
        "calls_per_second": round(recent / RECENT_SECONDS, 3),
        "calls_24h_by_endpoint": usage.by_endpoint(now - DAY_SECONDS),
        "listings": counts.listings(),
        "images": {**counts.pictures(), "failed": images.failed_by_reason(), "downloads": state.load_known("pictures")},
        "vectors": {
            "rows": images.embedded(),
            "embedding": state.load_known("embedding"),
            "index": state.load_known("vector_index"),
        },
        "rows": counts.row_counts(),
        "failed_items": failures.latest(20),
        "trouble": state.load_known("trouble"),
        "audit": state.load_known("audit"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
    if standing is None:
        return told
    return {**told, **_cycle(standing, now), "forecast": forecast(standing, freshness, quota, now).as_json()}


def _cycle(standing: Standing, now: float) -> Mapping[str, Any]:
    number = standing.cycle.number
    return {
        "cycle": {"number": number, "started_at": iso(standing.cycle.started_at)},
        "due": {
            "listings": standing.due_listings,
            "shops": standing.due_shops,
            "shops_with_reviews": standing.due_reviews,
            "shops_revisited_before": revisit_before(now),
        },
        "intervals": {
            "done": standing.intervals_done,
            "total": standing.intervals_total,
            "verdicts": intervals.verdicts(number),
            "plan": intervals.certificates(number),
        },
    }
