"""What must hold after every step, whatever has happened: each function returns in words what does not."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from crawler.changes import PageSeen
from crawler.outcome import Outcome
from runtime.clock import DAY_SECONDS
from tests.simulation.world import World

PER_SECOND = 5


def position_agrees_with_rows(world: World) -> Iterator[str]:
    """The stored position names what the rows say is under way, and nothing else is."""
    rows = world.rig.rows
    position, cycle = (_state(world, key) for key in ("position", "cycle"))
    if position["cycle"] != cycle["number"]:
        yield f"the position is of cycle {position['cycle']}, the cycle under way is {cycle['number']}"
    asleep_for_quota = position["state"] == "SLEEP" and position["cursor"]["reason"] == "quota"
    place = position["cursor"]["resume"] if asleep_for_quota else position
    walking = rows("SELECT id FROM intervals WHERE cycle = ? AND status = 'walking'", place["cycle"])
    if place["state"] == "TAXONOMY":
        yield from _walk_agrees(world, place["cursor"], {row[0] for row in walking})
        return
    unwalked = rows("SELECT id FROM intervals WHERE cycle = ? AND status IN ('pending', 'walking')", place["cycle"])
    if unwalked:
        yield f"in {place['state']}, and the intervals {unwalked} are not walked"
    shop_id = place["cursor"].get("shop_id")
    if place["state"] == "REVIEWS" and shop_id:
        done = rows("SELECT review_cycle FROM indexed_shops WHERE shop_id = ?", shop_id)
        if place["cursor"]["retry_after"] is None and done == [(place["cycle"],)]:
            yield f"shop {shop_id} is under way, and its visit of this cycle is over"


def _walk_agrees(world: World, cursor: dict[str, Any], walking: set[int]) -> Iterator[str]:
    interval_id = cursor["interval_id"]
    if walking - {interval_id}:
        yield f"the intervals {walking} are being walked, the cursor is at {interval_id}"
    if interval_id is None:
        return
    query = "SELECT taxonomy_id, min_price, max_price, status, pages, distinct_rows FROM intervals WHERE id = ?"
    ((taxonomy_id, low, high, status, pages, distinct),) = world.rig.rows(query, interval_id)
    if [taxonomy_id, low, high] != [cursor[name] for name in ("taxonomy_id", "min_price", "max_price")]:
        yield f"the cursor {cursor} has other bounds than its interval {(taxonomy_id, low, high)}"
    if cursor["offset"] > pages * 100:
        yield f"the cursor is at {cursor['offset']}, and {pages} pages of the interval are stored"
    if status not in ("pending", "walking") or (status == "pending") != (pages == 0):
        yield f"the cursor is in an interval that is {status} with {pages} pages"
    seen = world.rig.rows(
        "SELECT COUNT(*) FROM indexed_listings WHERE last_interval_id = ? AND last_seen_cycle = ?",
        interval_id,
        _state(world, "cycle")["number"],
    )
    if seen != [(distinct,)]:
        yield f"{distinct} rows of the interval are counted, {seen} are in the index"


def nothing_is_doubled(world: World) -> Iterator[str]:
    """No review is stored twice under two ids, no picture has two first places, no day has two rows of a listing's."""
    told = "shop_id, listing_id, buyer_user_id, create_timestamp"
    query = f"SELECT {told}, COUNT(*), MIN(transaction_id) FROM reviews GROUP BY {told}, review HAVING COUNT(*) > 1"
    for row in world.rig.rows(query):
        if row[-1] < 0:  # a stand-in for an id that an answer left out
            yield f"a review is stored under its id and under a stand-in: {row}"
    query = "SELECT listing_id, SUM(is_primary) FROM image_status GROUP BY listing_id HAVING SUM(is_primary) > 1"
    yield from (f"a listing has several primary images: {row}" for row in world.rig.rows(query))
    query = "SELECT listing_id, COUNT(*) FROM listings_dynamic WHERE state = 'removed' GROUP BY listing_id, "
    query += "substr(snapshot_timestamp, 1, 10) HAVING COUNT(*) > 1"
    yield from (f"a listing was found gone twice in a day: {row}" for row in world.rig.rows(query))


def nothing_is_orphaned(world: World) -> Iterator[str]:
    """Every row that points to another finds it."""
    yield from (f"foreign key: {row}" for row in world.rig.rows("PRAGMA foreign_key_check"))
    query = "SELECT listing_id FROM listings WHERE listing_id NOT IN (SELECT listing_id FROM indexed_listings)"
    yield from (f"the listing {row[0]} is not in the index" for row in world.rig.rows(query))


def no_listing_is_forgotten(world: World) -> Iterator[str]:
    """Every wanted listing of the index has its rows, or a moment at which it is asked for."""
    query = "SELECT listing_id FROM indexed_listings i WHERE wanted = 1 AND detail_due_at IS NULL"
    yield from (f"the wanted listing {row[0]} is never asked for" for row in world.rig.rows(query))
    query = (
        "SELECT listing_id FROM indexed_listings i WHERE known = 1 AND NOT EXISTS"
        " (SELECT 1 FROM listings_dynamic d WHERE d.listing_id = i.listing_id)"
    )
    yield from (f"the listing {row[0]} is known and has no row" for row in world.rig.rows(query))


def watermarks_are_true(world: World) -> Iterator[str]:
    """No watermark has passed a review that is not stored."""
    for shop_id, watermark in world.rig.rows(
        "SELECT shop_id, watermark FROM indexed_shops WHERE watermark IS NOT NULL"
    ):
        stored = {row[0] for row in world.rig.rows("SELECT transaction_id FROM reviews WHERE shop_id = ?", shop_id)}
        missing = world.truths.reviews_until(shop_id, watermark) - stored
        if missing:
            yield f"the watermark of shop {shop_id} is {watermark}, and these reviews are not stored: {missing}"


def calls_are_counted(world: World) -> Iterator[str]:
    """The calls that are written down are those that were made, but for those that died with a process."""
    written = world.rig.rows("SELECT COALESCE(SUM(request_count), 0) FROM api_usage")[0][0]
    pending, made = world.rig.pending_calls(), len(world.sandbox.calls)
    if written + pending + world.lost_calls != made:
        yield f"{made} calls were made; {written} are written down, {pending} will be, {world.lost_calls} are lost"


def limits_are_kept(world: World) -> Iterator[str]:
    """In no second are more than five calls sent, and in no day more than the day allows, refused ones counted.

    The day's limit is the largest of the day, which may have been cut within it. Whatever takes away what the crawl
    knows of the day (a death, a clock that jumps) costs the one call that tells it anew; so does a cut of which the
    first answer that comes through is a refusal, and a day in which calls seem to come back that a wrong clock dated.
    """
    moments = [call.at for call in world.sandbox.calls]
    if not moments:
        return
    if len(moments) > PER_SECOND and moments[-1] - moments[-1 - PER_SECOND] < 1.0:
        yield f"{PER_SECOND + 1} calls within a second, up to {moments[-1]:.3f}"
    start = moments[-1] - DAY_SECONDS
    sent = len(moments) - bisect_right(moments, start)
    ended = [later.at for later in world.limits[1:]] + [float("inf")]
    most = max(limit.per_day for limit, end in zip(world.limits, ended, strict=True) if end >= start)
    doubts = len(world.doubts) - bisect_right(world.doubts, start) + sum(at > start for at in _told_by_refusal(world))
    doubts += start < world.misdated_until
    if sent > most + doubts:
        yield f"{sent} calls in the day up to {moments[-1]:.3f}; {most} were allowed, {doubts} in doubt"


def _told_by_refusal(world: World) -> Iterator[float]:
    """Return when the crawl first heard of a limit, where it heard of it by being refused."""
    calls = world.sandbox.calls
    for limit in world.limits[1:]:
        first = bisect_left(calls, limit.at, key=lambda call: call.at)
        heard = next((call for call in islice(calls, first, None) if call.fault is None), None)
        if heard is not None and heard.status == 429:
            yield heard.at


INVARIANTS: tuple[Callable[[World], Iterator[str]], ...] = (
    position_agrees_with_rows,
    nothing_is_doubled,
    nothing_is_orphaned,
    no_listing_is_forgotten,
    watermarks_are_true,
    calls_are_counted,
    limits_are_kept,
)


def broken(world: World) -> list[str]:
    """Return in words what does not hold now."""
    return [words for invariant in INVARIANTS for words in invariant(world)]


def unstored(world: World, outcome: Outcome | None) -> list[str]:
    """Return what a step brought and the index does not have."""
    pages = [change for change in outcome.changes if isinstance(change, PageSeen)] if outcome else []
    shown = {row.listing_id for page in pages for row in page.rows}
    there = {row[0] for row in world.rig.rows("SELECT listing_id FROM indexed_listings")} if shown else set()
    return [f"listing {listing_id} was shown and is not in the index" for listing_id in shown - there]


def _state(world: World, key: str) -> Any:
    return json.loads(world.rig.rows("SELECT value FROM sync_state WHERE key = ?", key)[0][0])
