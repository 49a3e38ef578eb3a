"""One visit to a shop's reviews: the cursor of REVIEWS, and which shop is next."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from crawler.api.client import FIRST_REVIEW
from crawler.api.records import ReviewRecord
from crawler.context import Context
from crawler.freshness import ShopFigures, counted_in, revisit_before
from crawler.outcome import Position
from crawler.store import index, reviews, shops
from crawler.store.shops import ShopRow
from runtime.clock import DAY_SECONDS
from runtime.errors import UserMistake

COUNTED_DAYS = 400.0  # the year that a shop's figures cover, with room for how it is reckoned
OVERLAP_SECONDS = 1  # whether min_created is inclusive is not known


@dataclass(frozen=True, slots=True)
class Visit:
    """The cursor of REVIEWS.

    `shop_id` is the shop under way, None between two; `offset` the next page's; `newest` the time of the newest
    review seen so far; `count` what the page before reported; `empty_answers` how often this page came back
    empty where reviews were expected, or with rows that are none. `retry_after` is None until every due shop was
    tried, then the last shop that got its second chance.
    """

    shop_id: int | None = None
    offset: int = 0
    until: int | None = None
    newest: int | None = None
    count: int | None = None
    empty_answers: int = 0
    retry_after: int | None = None


def between(visit: Visit) -> Visit:
    """Return the cursor between this shop and the next."""
    return Visit(retry_after=None if visit.retry_after is None else visit.shop_id)


def due_shops(visit: Visit, context: Context) -> list[int]:
    """Return the shop under way, then those that are next: as many as may be called ahead."""
    under_way = [] if visit.shop_id is None else [visit.shop_id]
    reach = context.client.reach
    if under_way and not reach:
        return under_way
    cycle = context.cycle.number
    if visit.retry_after is not None:
        waiting = shops.failed_reviews(cycle, visit.retry_after, 2 + reach)
    else:
        waiting = shops.due_reviews(cycle, _revisit_before(context), 2 + reach)
    return under_way + [shop_id for shop_id in waiting if shop_id != visit.shop_id][: 1 + reach]


def first_visits(listing_ids: Collection[int], context: Context) -> list[int]:
    """Return shops that will surely be among the first to be visited once these listings, the last due, are read.

    None of them has such a listing: read after the visit, its shop's figures would count reviews that the visit had
    not seen yet.
    """
    rows = index.find(listing_ids)
    coming = {row.shop_id for row in rows.values()}
    if None in coming or len(rows) < len(listing_ids):
        return []
    named = 1 + context.client.reach
    waiting = shops.moved(context.cycle.number, named)
    first = sorted({*waiting, *(shop_id for shop_id in coming if shop_id is not None)})[:named]
    return [shop_id for shop_id in first if shop_id in waiting and shop_id not in coming]


def _revisit_before(context: Context) -> str:
    """Return the moment before which a visit is too old: never where the next cycle should have begun already."""
    return "" if context.due().overdue else revisit_before(context.clock.now())


def figures_at_visit(shop_id: int, read: Iterable[ReviewRecord], context: Context) -> ShopFigures:
    """Return the shop's figures as they are at the end of a visit that has just read these reviews, not stored yet.

    Reviews that came since the figures were told are in the data set now: left out here, they would move the next
    cycle's figures and bring another visit, for nothing. The server's clock dates both. Where it dates a review ahead,
    this one would be counted twice and hide the next: what is new in the data set must have room for all of them.
    """
    figures, row = shops.latest_figures(shop_id), shops.find_one(shop_id)
    if row is None or row.told_at is None:
        return figures
    new = reviews.not_stored(read)
    latest = int(context.clock.now() + DAY_SECONDS)  # behind it lie times that cannot be
    since = reviews.ratings(shop_id, row.told_at, latest)
    since += [review.rating for review in _written(new, row.told_at, latest)]
    room = _come(row, new, latest) - (figures.review_count or 0)
    return counted_in(figures, since) if len(since) <= room else figures


def _come(row: ShopRow, new: Sequence[ReviewRecord], latest: int) -> int:
    """Return how many reviews a year has: told at the last visit and come since, or, at the first, read."""
    visited = shops.visited_figures(row)
    if visited is None:
        after = int(latest - COUNTED_DAYS * DAY_SECONDS)
        return reviews.count(row.shop_id, after, latest) + len(_written(new, after, latest))
    if row.visited_known is None:
        return 0
    return (visited.review_count or 0) + reviews.count(row.shop_id) + len(new) - row.visited_known


def _written(read: Sequence[ReviewRecord], after: int, until: int) -> list[ReviewRecord]:
    return [review for review in read if after < (review.create_timestamp or 0) <= until]


def expects_reviews(visit: Visit) -> bool:
    """Return whether an empty page is to be doubted: reviews were counted, or were there at the last visit."""
    shop_id = visit.shop_id or 0
    row = shops.find_one(shop_id)
    visited = row is not None and row.watermark is not None
    return visited or bool(visit.count or shops.latest_figures(shop_id).review_count)


def since_last_visit(shop_ids: Collection[int]) -> dict[int, int]:
    """Return from when on each shop's reviews are new (Unix seconds): the watermark, overlapped by a second."""
    rows = shops.find(shop_ids)
    marks = {shop_id: rows[shop_id].watermark if shop_id in rows else None for shop_id in shop_ids}
    return {shop_id: mark - OVERLAP_SECONDS if mark else FIRST_REVIEW for shop_id, mark in marks.items()}


def load_visit(position: Position) -> Visit:
    """Return the visit that the position holds; UserMistake where it holds none."""
    cursor: dict[str, Any] = {name: position.cursor.get(name) for name in Visit.__slots__}
    for name in ("offset", "empty_answers"):
        cursor[name] = cursor[name] or 0
    if not all(value is None or (isinstance(value, int) and value >= 0) for value in cursor.values()):
        raise UserMistake(
            f"The position's cursor {dict(position.cursor)} is none of REVIEWS.",
            advice="Put an earlier position back with `python run.py restore checkpoints/state-….json`.",
        )
    return Visit(**cursor)
