"""A pass through one interval: what follows from a page, and how the pass ends."""

from __future__ import annotations

from dataclasses import replace

from crawler import changes, planning, walk
from crawler.api.client import PAGE_ROWS
from crawler.context import Context
from crawler.outcome import Outcome
from crawler.walk import Walk
from models import Interval
from runtime.errors import CrawlError


def after_page(here: Walk, interval: Interval, context: Context, seen: changes.PageSeen) -> Outcome:
    """Go on to the next page, or end the pass where there is none."""
    if here.looking_back:
        return _after_look(here, interval, context, seen)
    first_count = here.first_count if here.first_count is not None else seen.count
    here = replace(here, first_count=first_count)
    following = walk.next_within_reach(here, seen.count, planning.cap_offset())
    if following is None or not seen.rows:
        return close(here, interval, context, seen.count, (seen,))
    return Outcome("advanced", following.cursor(), (seen,), "page", _seen((seen,)))


def _after_look(here: Walk, interval: Interval, context: Context, seen: changes.PageSeen) -> Outcome:
    """Look further while a whole page was new, else end the pass."""
    if planning.new_rows(interval, (seen,)) == PAGE_ROWS and here.offset + PAGE_ROWS < seen.count:
        further = replace(here, offset=here.offset + PAGE_ROWS)
        return Outcome("advanced", further.cursor(), (seen,), "front", _seen((seen,)))
    return close(here, interval, context, seen.count, (seen,))


def close(here: Walk, interval: Interval, context: Context, count: int, before: tuple[changes.Change, ...]) -> Outcome:
    """End a pass: give the certificate, or look once more at the front, or at all of it, where that may pay."""
    new = planning.new_rows(interval, before)
    distinct, repeats = interval.distinct_rows + new, interval.repeats + _rows(before) - new
    if not here.looking_back and _has_front(here, count) and walk.has_moved(here, distinct, repeats, count):
        look = replace(here, offset=0, looking_back=True, count=count, doubtful_answers=0)
        return Outcome("advanced", look.cursor(), before, "front", _seen(before))
    certificate = walk.certify(here, distinct, count, planning.cap_offset())
    if certificate.verdict == "drifted" and here.passes == 0:
        again = replace(here, offset=0, count=None, first_count=None, rewinds=0, passes=1, looking_back=False)
        return Outcome("advanced", again.cursor(), before, "second pass", _seen(before))
    closed = changes.IntervalClosed(
        interval.id, certificate.verdict, certificate.tolerance, certificate.note, context.now()
    )
    cursor = planning.cursor_after(interval, here, context)
    return Outcome("advanced", cursor, (*before, closed), f"interval {certificate.verdict}", _seen(before))


def _has_front(here: Walk, count: int) -> bool:
    """Return whether there is a front that the walk has left behind."""
    return here.sort_order == "desc" and not here.forced and here.passes == 0 and count > PAGE_ROWS


def _rows(before: tuple[changes.Change, ...]) -> int:
    return sum(len(change.rows) for change in before if isinstance(change, changes.PageSeen))


def _seen(before: tuple[changes.Change, ...]) -> dict[str, int]:
    return {"seen": _rows(before)}


def skip(here: Walk, context: Context, trouble: CrawlError) -> Outcome:
    """Leave out an interval that cannot be asked for; the next cycle tries again."""
    interval = planning.interval_of(here)
    at, cycle = context.now(), context.cycle.number
    closed = changes.IntervalClosed(interval.id, "unreachable", 0, str(trouble), at)
    failed = changes.ItemFailed("interval", interval.id, str(trouble), cycle, at)
    return Outcome("advanced", planning.cursor_after(interval, here, context), (closed, failed), "gave up")
