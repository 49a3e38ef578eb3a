"""The interval plan and its certificates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peewee import fn

from crawler.changes import IntervalClosed, IntervalSplit, PlanMade
from crawler.plan import Span
from models import Interval
from runtime import bulk

UNWALKED = ("pending", "walking")
FIND = bulk.Prepared(Interval, lambda: Interval.select().where(Interval.id == bulk.slot("interval_id")))
NOTE_PAGE = bulk.Prepared(
    Interval,
    lambda: Interval.update(
        status="walking",
        reported_count=bulk.slot("count"),
        count_at_start=fn.COALESCE(Interval.count_at_start, bulk.slot("count")),
        count_at_end=bulk.slot("count"),
        pages=Interval.pages + 1,
        distinct_rows=Interval.distinct_rows + bulk.slot("distinct"),
        repeats=Interval.repeats + bulk.slot("repeats"),
        passes=Interval.passes + bulk.slot("first"),
        started_at=fn.COALESCE(Interval.started_at, bulk.slot("at")),
    ).where(Interval.id == bulk.slot("interval_id")),
)


def write_plan(change: PlanMade) -> None:
    """Insert a cycle's intervals; a plan that is there already stays."""
    if not Interval.select().where(Interval.cycle == change.cycle).exists():
        _insert(change.cycle, change.spans)


def write_split(change: IntervalSplit) -> None:
    """Put the pieces in the place of an interval that is too large."""
    Interval.update(status="split", note=change.note, finished_at=change.at).where(
        Interval.id == change.interval_id
    ).execute()
    _insert(change.cycle, change.children)


def write_closed(change: IntervalClosed) -> None:
    """Write an interval's certificate."""
    Interval.update(
        status="done",
        verdict=change.verdict,
        tolerance=change.tolerance,
        note=change.note,
        finished_at=change.at,
    ).where(Interval.id == change.interval_id).execute()


def note_page(interval_id: int, count: int, distinct: int, repeats: int, at: str, first_of_pass: bool) -> None:
    """Add one page to an interval's record."""
    NOTE_PAGE.run(
        interval_id=interval_id, count=count, distinct=distinct, repeats=repeats, at=at, first=int(first_of_pass)
    )


def find_next(cycle: int, after_id: int | None = None) -> Interval | None:
    """Return the interval to walk next, None where the plan is done; `after_id` counts as done."""
    query = Interval.select().where(
        Interval.cycle == cycle, Interval.status.in_(UNWALKED), Interval.id != (after_id or 0)
    )
    found: Interval | None = query.order_by(Interval.taxonomy_id, Interval.min_price, Interval.id).first()
    return found


def find(interval_id: int) -> Interval | None:
    """Return one interval."""
    row = FIND.row(interval_id=interval_id)
    return None if row is None else Interval(**dict(zip(Interval._meta.sorted_field_names, row, strict=True)))


def is_planned(cycle: int) -> bool:
    """Return whether the cycle has a plan."""
    return Interval.select().where(Interval.cycle == cycle).exists()


def walked_spans(cycle: int, taxonomy_ids: Sequence[int]) -> list[tuple[Span, int | None]]:
    """Return a cycle's intervals over the configured categories that were not split by price, with counts.

    An interval that was reached through child categories or both orders stands for its parts.
    """
    rows = list(
        Interval.select()
        .where(Interval.cycle == cycle, Interval.taxonomy_id.in_(taxonomy_ids), Interval.parent_id.is_null())
        .order_by(Interval.taxonomy_id, Interval.min_price)
    )
    split_further = {row.parent_id for row in Interval.select(Interval.parent_id).where(Interval.cycle == cycle)}
    return [
        (Span(row.taxonomy_id, row.min_price, row.max_price), row.reported_count)
        for row in rows
        if row.status != "split" or row.id in split_further
    ]


def progress(cycle: int) -> dict[str, int]:
    """Return how many intervals of the cycle are done and how many there are, the split ones left out."""
    rows = (
        Interval.select(Interval.status, fn.COUNT(Interval.id).alias("number"))
        .where(Interval.cycle == cycle, Interval.status != "split")
        .group_by(Interval.status)
    )
    counts = {row["status"]: row["number"] for row in bulk.dicts(rows)}
    return {"done": counts.get("done", 0), "total": sum(counts.values())}


def certificates(cycle: int) -> list[dict[str, Any]]:
    """Return every interval of the cycle as plain values, in walking order."""
    return bulk.dicts(
        Interval.select().where(Interval.cycle == cycle).order_by(Interval.taxonomy_id, Interval.min_price, Interval.id)
    )


def verdicts(cycle: int) -> dict[str, int]:
    """Return how many of the cycle's intervals have each verdict."""
    rows = (
        Interval.select(Interval.verdict, fn.COUNT(Interval.id).alias("number"))
        .where(Interval.cycle == cycle, Interval.verdict.is_null(False))
        .group_by(Interval.verdict)
    )
    return {row["verdict"]: row["number"] for row in bulk.dicts(rows)}


def last_count(span: Span, before_cycle: int) -> int | None:
    """Return what the same interval reported in an earlier cycle, the latest one."""
    upper = Interval.max_price.is_null() if span.max_price is None else Interval.max_price == span.max_price
    row = (
        Interval.select(Interval.reported_count)
        .where(
            Interval.cycle < before_cycle,
            Interval.taxonomy_id == span.taxonomy_id,
            Interval.min_price == span.min_price,
            upper,
            Interval.reported_count.is_null(False),
        )
        .order_by(Interval.cycle.desc())
        .first()
    )
    return None if row is None else int(row.reported_count)


def _insert(cycle: int, spans: Sequence[Span]) -> None:
    rows = [
        {
            "cycle": cycle,
            "taxonomy_id": span.taxonomy_id,
            "min_price": span.min_price,
            "max_price": span.max_price,
            "sort_order": span.sort_order,
            "forced": int(span.forced),
            "parent_id": span.parent_id,
        }
        for span in spans
    ]
    Interval.insert_many(rows).execute()
