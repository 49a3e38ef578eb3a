"""TAXONOMY: walk each price interval page by page; as soon as 100 listings are due, fetch a batch of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from crawler import changes, passes, planning, walk
from crawler.api.client import PAGE_ROWS, PastCap, PastEnd, Search, listings_job, search_job
from crawler.api.lookahead import Job
from crawler.batch import BATCH_ENDPOINTS, give_up, read_batch
from crawler.context import Context
from crawler.outcome import Outcome, Position
from crawler.plan import cap_rows
from crawler.store import index, intervals
from crawler.walk import Walk
from models import Interval
from runtime.errors import ItemTrouble, ServerTrouble

COLLAPSE_ATTEMPTS = 30  # with growing pauses some six hours
ROWS_A_PAGE_BRINGS = 75  # of 100 rows, about three in four are wanted; only the order of calls ahead rests on it


def step(position: Position, context: Context) -> Outcome:
    """Plan, or fetch one batch, or fetch one page."""
    here = planning.load_walk(position)
    if here.interval_id is None:
        if not intervals.is_planned(context.cycle.number):
            return planning.step(here, context)
        located = planning.located(here, context)
        if located is None:
            return planning.finish(here, context)
        here = located
    # Where answers are slow, several batches' worth of due listings keep the calls ahead certain.
    depth = context.client.depth
    pool = (depth + 2 if depth else 1) * PAGE_ROWS if here.batch_size == PAGE_ROWS else here.batch_size
    waiting = index.due_in_order(context.due(), pool + PAGE_ROWS * (1 + context.client.reach), here.new_only)
    # Called ahead is only what keeps its place: a page stored within this second may come before what it has shown.
    now = context.now()
    due_ids = [listing_id for listing_id, seen_at in waiting if not depth or seen_at < now]
    context.client.offer(partial(_ahead, here, len(waiting), due_ids, pool, context))
    if len(waiting) >= pool and len(due_ids) >= here.batch_size:
        batch = read_batch(context, due_ids[: here.batch_size])
        cursor = replace(here, batch_size=batch.next_size).cursor()
        return Outcome("advanced", cursor, batch.changes, "batch", batch.counts)
    return _page(here, planning.interval_of(here), context)


def without(position: Position, context: Context, trouble: ServerTrouble, attempts: int) -> Outcome | None:
    """Go on without the batch that the server cannot answer; a search is waited for, as long as it takes."""
    here = planning.load_walk(position)
    if trouble.endpoint == "getBuyerTaxonomyNodes":
        return planning.without_tree(here, context, trouble)
    if isinstance(trouble, planning.Collapsed):
        found = planning.located(here, context)
        return passes.skip(found, context, trouble) if found and attempts >= COLLAPSE_ATTEMPTS else None
    due_ids = index.due_seen(context.due(), here.batch_size, here.new_only)
    if trouble.endpoint not in BATCH_ENDPOINTS or not due_ids:
        return None
    batch = give_up(context, due_ids, str(trouble))
    return Outcome("advanced", replace(here, batch_size=batch.next_size).cursor(), batch.changes, "gave up")


def _page(here: Walk, interval: Interval, context: Context) -> Outcome:
    try:
        page = context.client.fetch_search(_search(here))
        planning.raise_if_unfiltered(here, page, context)
    except PastEnd:
        back = walk.walk_back(here)
        if back is not None:
            return Outcome("advanced", back.cursor(), said="the list has shrunk")
        return passes.close(here, interval, context, here.count or 0, ())
    except PastCap:
        learned = changes.CapLearned(max(0, here.offset - PAGE_ROWS))
        return planning.split(here, context, here.count or 0, (learned,), learned.offset)
    except ItemTrouble as trouble:
        return passes.skip(here, context, trouble)
    count = walk.told_count(page.count, here.count, here.offset, len(page.rows))
    planning.raise_if_collapsed(here, count, context)
    first = here.count is None and here.doubtful_answers == 0
    seen = changes.PageSeen(interval.id, context.cycle.number, count, page.rows, context.now(), first_of_pass=first)
    if walk.is_doubtful(here, len(page.rows), count, page.unreadable):
        again = replace(here, doubtful_answers=here.doubtful_answers + 1)
        return Outcome("advanced", again.cursor(), (seen,) if page.rows else (), "doubtful page, asked again")
    if here.offset == 0 and here.passes == 0 and planning.is_too_large(here, count):
        return planning.split(here, context, count, (seen,))
    return passes.after_page(here, interval, context, seen)


def _ahead(here: Walk, number: int, certain: list[int], pool: int, context: Context) -> Iterator[Job]:
    """Name the calls to come, in the order in which they will be asked for; the first one is this step's.

    `number` listings are due, the `certain` ones in this order, whatever the next pages show.
    """
    if here.batch_size < PAGE_ROWS:
        return
    cap = planning.cap_offset()
    batches = deque(certain[start : start + PAGE_ROWS] for start in range(0, len(certain) - PAGE_ROWS + 1, PAGE_ROWS))
    page: Walk | None = here
    while page is not None:
        if number >= pool and batches:
            yield listings_job(batches.popleft())
            number -= PAGE_ROWS
        else:
            yield search_job(_search(page))
            page = _certain_page(page, here, cap, context)
            number += ROWS_A_PAGE_BRINGS
    # How many pages an interval has is told by its first: until that is there, batches keep the line busy.
    yield from map(listings_job, batches)


def _certain_page(page: Walk, here: Walk, cap: int, context: Context) -> Walk | None:
    """Return the page that will be asked for after this one; at the end of the interval, the next one's first."""
    if page.looking_back:
        return None
    count = page.count
    if count is None:
        first = context.client.peek_search(_search(page))
        count = None if first is None else first.count
        if not count or count > cap_rows(cap):
            return None
        page = replace(page, count=count, first_count=count)
    following = walk.next_within_reach(page, count, cap)
    if following is not None:
        return following
    # Of the one after that the plan does not know yet which it is.
    same = page.interval_id == here.interval_id
    interval = intervals.find_next(context.cycle.number, page.interval_id) if same else None
    return None if interval is None else planning.walk_of(interval, page)


def _search(page: Walk) -> Search:
    return Search(page.taxonomy_id, page.min_price, page.max_price, page.sort_order, page.offset)
