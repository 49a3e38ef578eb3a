"""REVIEWS: shop by shop, newest first, from the last watermark on; shops whose figures stand still are skipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial

from crawler import changes
from crawler.api.client import FIRST_REVIEW, PAGE_ROWS, Gone, PastCap, PastEnd, reviews_job
from crawler.api.lookahead import Job
from crawler.api.records import ReviewPage
from crawler.context import Context
from crawler.freshness import GONE_SHOP_IDLE, ShopFigures
from crawler.outcome import Outcome, Position
from crawler.store import shops
from crawler.visit import (
    Visit,
    between,
    due_shops,
    expects_reviews,
    figures_at_visit,
    load_visit,
    since_last_visit,
)
from crawler.walk import told_count
from runtime.clock import DAY_SECONDS, iso
from runtime.errors import ItemTrouble, ServerTrouble

MOST_OFFSET = 12_000
EMPTY_TRIES = 2


def step(position: Position, context: Context) -> Outcome:
    """Read one page of one shop's reviews."""
    visit = load_visit(position)
    due_ids = due_shops(visit, context)
    if not due_ids and visit.retry_after is None:
        return Outcome("advanced", asdict(Visit(retry_after=0)))
    if not due_ids:
        until = context.freshness.next_cycle_at(context.cycle, context.clock.now())
        return Outcome("caught_up", {"reason": "cycle", "until": iso(until)})
    visit = replace(visit, shop_id=due_ids[0])
    since = since_last_visit(due_ids)
    context.client.offer(partial(_ahead, visit, due_ids, since, context))
    try:
        page = context.client.fetch_reviews(due_ids[0], visit.offset, since[due_ids[0]], visit.until)
    except (PastEnd, PastCap):
        return _done(visit, context, ())
    except Gone:
        next_due = context.freshness.next_due(context.clock.now(), GONE_SHOP_IDLE)
        return _done(visit, context, (changes.ShopGone(due_ids[0], context.cycle.number, next_due),))
    except ItemTrouble as trouble:
        return _failed(visit, context, str(trouble))
    doubtful = page.unreadable > 0 or (not page.reviews and expects_reviews(visit))
    if doubtful and visit.empty_answers < EMPTY_TRIES:
        return Outcome("advanced", asdict(replace(visit, empty_answers=visit.empty_answers + 1)))
    if doubtful and not page.reviews:
        return _done_in_doubt(visit, context)
    return _after_page(visit, page, context)


def without(position: Position, context: Context, trouble: ServerTrouble, _attempts: int) -> Outcome | None:
    """Go on without the shop that the server cannot answer for, though it is alive."""
    visit = load_visit(position)
    due_ids = due_shops(visit, context)
    return _failed(replace(visit, shop_id=due_ids[0]), context, str(trouble)) if due_ids else None


def _after_page(visit: Visit, page: ReviewPage, context: Context) -> Outcome:
    # A time that cannot be must not become the watermark: no later review would ever be asked for.
    times = [at for review in page.reviews if (at := review.create_timestamp) is not None]
    times = [at for at in times if FIRST_REVIEW <= at <= context.clock.now() + DAY_SECONDS]
    newest = max([*times, visit.newest or 0]) or None
    count = told_count(page.count, visit.count, visit.offset, len(page.reviews))
    visit = replace(visit, newest=newest, offset=visit.offset + PAGE_ROWS, count=count, empty_answers=0)
    seen = changes.ReviewsSeen(page.reviews, context.now())
    if not page.reviews or visit.offset >= count:
        return _done(visit, context, (seen,))
    # Offsets end; from there on the window of time moves back instead.
    if visit.offset > MOST_OFFSET and times:
        visit = replace(visit, offset=0, until=min(times))
    return Outcome("advanced", asdict(visit), (seen,), "reviews", {"reviews": len(page.reviews)})


def _done_in_doubt(visit: Visit, context: Context) -> Outcome:
    """End a visit that was told of no review again and again, where some were counted.

    It counts as one at the figures of the last visit: if these were true, the shop is due again in the next cycle.
    """
    row = shops.find_one(visit.shop_id or 0)
    return _done(visit, context, (), shops.visited_figures(row) or ShopFigures(None, None, None))


def _done(
    visit: Visit, context: Context, before: tuple[changes.Change, ...], figures: ShopFigures | None = None
) -> Outcome:
    shop_id, cycle = visit.shop_id or 0, context.cycle.number
    row = shops.find_one(shop_id)
    watermark = max([visit.newest or 0, (row.watermark if row else None) or 0]) or None
    read = [review for change in before if isinstance(change, changes.ReviewsSeen) for review in change.reviews]
    figures = figures or figures_at_visit(shop_id, read, context)
    done = changes.VisitDone(shop_id, cycle, watermark, figures, context.now())
    return Outcome("advanced", asdict(between(visit)), (*before, done), "shop done", {"reviews": len(read)})


def _failed(visit: Visit, context: Context, error: str) -> Outcome:
    failed = changes.ItemFailed("reviews", visit.shop_id or 0, error, context.cycle.number, context.now())
    return Outcome("advanced", asdict(between(visit)), (failed,), "gave up", {"failed": 1})


def _ahead(visit: Visit, shop_ids: list[int], since: Mapping[int, int], context: Context) -> Iterator[Job]:
    """Name the calls to come: the rest of the pages of the shop under way, then those of the next shops.

    How many pages a shop has is told by its first, which may be there already.
    """
    for number, shop_id in enumerate(shop_ids):
        place = visit if number == 0 else Visit()
        first = context.client.peek_reviews(shop_id, since[shop_id]) if place.count is None else None
        count = place.count if first is None else first.count
        for offset in range(place.offset, min(max(count or 0, place.offset + 1), MOST_OFFSET + 1), PAGE_ROWS):
            yield reviews_job(shop_id, offset, since[shop_id], place.until)
