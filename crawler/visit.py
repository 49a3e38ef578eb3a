"""One visit to a shop's reviews: the cursor of REVIEWS, and which shop is next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crawler.api.client import FIRST_REVIEW
from crawler.context import Context
from crawler.freshness import revisit_before
from crawler.outcome import Position
from crawler.store import shops
from runtime.errors import UserMistake

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
    """Return the shop under way, or the shops that are next, or those that get a second chance."""
    if visit.shop_id is not None:
        return [visit.shop_id]
    cycle, depth = context.cycle.number, 1 + context.client.depth
    if visit.retry_after is not None:
        return shops.failed_reviews(cycle, visit.retry_after, depth)
    return shops.due_reviews(cycle, revisit_before(context.clock.now()), depth)


def expects_reviews(visit: Visit) -> bool:
    """Return whether an empty page is to be doubted: reviews were counted, or were there at the last visit."""
    shop_id = visit.shop_id or 0
    row = shops.find([shop_id]).get(shop_id)
    visited = row is not None and row.watermark is not None
    return visited or bool(visit.count or shops.latest_figures(shop_id).review_count)


def since_last_visit(shop_id: int) -> int:
    """Return from when on the shop's reviews are new (Unix seconds): the watermark, overlapped by a second."""
    row = shops.find([shop_id]).get(shop_id)
    return row.watermark - OVERLAP_SECONDS if row is not None and row.watermark else FIRST_REVIEW


def load_visit(position: Position) -> Visit:
    """Return the visit that the position holds; UserMistake where it holds none."""
    cursor: dict[str, Any] = {name: position.cursor.get(name) for name in Visit.__slots__}
    cursor["offset"], cursor["empty_answers"] = cursor["offset"] or 0, cursor["empty_answers"] or 0
    if not all(value is None or (isinstance(value, int) and value >= 0) for value in cursor.values()):
        raise UserMistake(
            f"The position's cursor {dict(position.cursor)} is none of REVIEWS.",
            advice="Put an earlier position back with `python run.py restore checkpoints/state-….json`.",
        )
    return Visit(**cursor)
