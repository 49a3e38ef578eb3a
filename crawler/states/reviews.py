"""REVIEWS: shop by shop, newest first, from the last watermark on; shops whose figures stand still are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from crawler import changes
from crawler.api.client import FIRST_REVIEW, PAGE_ROWS, Gone, PastCap, PastEnd, reviews_job
from crawler.api.lookahead import Job
from crawler.api.records import ReviewPage
from crawler.context import Context
from crawler.freshness import revisit_before
from crawler.outcome import Outcome, Position
from crawler.store import shops
from runtime.clock import iso
from runtime.errors import ItemTrouble, ServerTrouble, UserMistake

OVERLAP_SECONDS = 1  # whether min_created is inclusive is not known
MOST_OFFSET = 12_000


@dataclass(frozen=True, slots=True)
class Visit:
    """The cursor of REVIEWS: the shop (None between two), the next page, the newest review seen so far."""

    shop_id: int | None = None
    offset: int = 0
    until: int | None = None
    newest: int | None = None


def step(position: Position, context: Context) -> Outcome:
    """Read one page of one shop's reviews."""
    visit = _load(position)
    due_ids = [visit.shop_id] if visit.shop_id is not None else _due_shops(context)
    if not due_ids:
        until = context.freshness.next_cycle_at(context.cycle, context.clock.now())
        return Outcome("caught_up", {"reason": "cycle", "until": iso(until)})
    visit = replace(visit, shop_id=due_ids[0])
    if visit.offset == 0:
        context.client.offer(_ahead(due_ids))
    since = _since(due_ids[0])
    try:
        page = context.client.fetch_reviews(due_ids[0], visit.offset, since, visit.until)
    except (PastEnd, PastCap):
        return _done(visit, context, ())
    except Gone:
        next_due = context.freshness.next_due(context.clock.now(), 2)
        gone = changes.ShopGone(due_ids[0], context.cycle.number, next_due)
        return _done(visit, context, (gone,))
    except ItemTrouble as trouble:
        return _failed(due_ids[0], context, str(trouble))
    return _after_page(visit, page, context)


def without(position: Position, context: Context, trouble: ServerTrouble, attempts: int) -> Outcome | None:
    """Go on without the shop that the server cannot answer for, though it is alive."""
    visit = _load(position)
    due_ids = [visit.shop_id] if visit.shop_id is not None else _due_shops(context)
    return _failed(due_ids[0], context, str(trouble)) if due_ids else None


def _after_page(visit: Visit, page: ReviewPage, context: Context) -> Outcome:
    times = [review.create_timestamp for review in page.reviews if review.create_timestamp is not None]
    newest = max([*times, visit.newest or 0]) or None
    visit = replace(visit, newest=newest, offset=visit.offset + PAGE_ROWS)
    seen = changes.ReviewsSeen(page.reviews, context.now())
    if not page.reviews or visit.offset >= page.count:
        return _done(visit, context, (seen,))
    if visit.offset > MOST_OFFSET and times:
        visit = replace(visit, offset=0, until=min(times))
    return Outcome("advanced", asdict(visit), (seen,), "reviews", {"reviews": len(page.reviews)})


def _done(visit: Visit, context: Context, before: tuple[changes.Change, ...]) -> Outcome:
    shop_id = visit.shop_id or 0
    row = shops.find([shop_id]).get(shop_id)
    watermark = max([visit.newest or 0, (row.watermark if row else None) or 0]) or None
    figures, cycle = shops.latest_figures(shop_id), context.cycle.number
    done = changes.VisitDone(shop_id, cycle, watermark, figures, context.now())
    read = sum(len(change.reviews) for change in before if isinstance(change, changes.ReviewsSeen))
    return Outcome("advanced", asdict(Visit()), (*before, done), "shop done", {"reviews": read})


def _failed(shop_id: int, context: Context, error: str) -> Outcome:
    failed = changes.ItemFailed("reviews", shop_id, error, context.cycle.number, context.now())
    return Outcome("advanced", asdict(Visit()), (failed,), "gave up", {"failed": 1})


def _due_shops(context: Context) -> list[int]:
    before = revisit_before(context.clock.now())
    return shops.due_reviews(context.cycle.number, before, 1 + context.client.depth)


def _since(shop_id: int) -> int:
    row = shops.find([shop_id]).get(shop_id)
    return row.watermark - OVERLAP_SECONDS if row is not None and row.watermark else FIRST_REVIEW


def _ahead(shop_ids: list[int]) -> Iterator[Job]:
    for shop_id in shop_ids:
        yield reviews_job(shop_id, 0, _since(shop_id), None)


def _load(position: Position) -> Visit:
    cursor: dict[str, Any] = {name: position.cursor.get(name) for name in Visit.__slots__}
    cursor["offset"] = cursor["offset"] or 0
    if not all(value is None or (isinstance(value, int) and value >= 0) for value in cursor.values()):
        raise UserMistake(
            f"The position's cursor {dict(position.cursor)} is none of REVIEWS.",
            advice="Put an earlier position back with `python run.py restore checkpoints/state-….json`.",
        )
    return Visit(**cursor)
