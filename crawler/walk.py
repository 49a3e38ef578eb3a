"""The walk through one interval: which page is next, when it is over, how complete it was. Pure.

Pages are asked for newest first. A listing that appears moves the rest back by one and is seen again, which
is harmless; one that disappears before the offset moves the rest forward and would be missed. The drop of the
reported count bounds how far: the next page begins that many rows earlier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from crawler.plan import PAGE_ROWS, cap_rows

TOLERANCE_SHARE, TOLERANCE_ROWS = 0.01, 5
COLLAPSE_FROM = 100
EMPTY_TRIES = 2


@dataclass(frozen=True, slots=True)
class Walk:
    """The cursor of TAXONOMY. `offset` is the next page's; `count` what the page before reported.

    `first_count` is what this pass's first page reported, `stepped_back` how many rows were walked twice on
    purpose, `passes` how many passes are behind, `empty_answers` how often this page came back without rows
    where some were expected, `batch_size` how many listings the next batch asks for. `interval_id` is None
    where the plan still has to say which interval it is.
    """

    taxonomy_id: int
    min_price: float
    max_price: float | None
    offset: int = 0
    interval_id: int | None = None
    sort_order: str = "desc"
    forced: bool = False
    count: int | None = None
    first_count: int | None = None
    stepped_back: int = 0
    passes: int = 0
    empty_answers: int = 0
    batch_size: int = PAGE_ROWS

    def cursor(self) -> dict[str, Any]:
        """Return the walk as JSON for the position."""
        return asdict(self)

    @classmethod
    def of_cursor(cls, cursor: Mapping[str, Any]) -> Walk:
        """Return the walk that a cursor holds; TypeError or ValueError where it holds none."""
        walk = cls(**{name: value for name, value in cursor.items() if name in cls.__slots__})
        if not isinstance(walk.offset, int) or walk.offset < 0 or not isinstance(walk.taxonomy_id, int):
            raise ValueError("offset and taxonomy_id must be whole numbers")
        return walk


@dataclass(frozen=True, slots=True)
class Certificate:
    """How complete a walk was: complete, drifted or unreachable, with the tolerance in rows."""

    verdict: str
    tolerance: int
    note: str | None = None


def has_collapsed(before: int | None, now: int) -> bool:
    """Return whether a count fell so far at once that it is an incident, not a market: 0 where thousands were."""
    return before is not None and before >= COLLAPSE_FROM and now < before / 4


def is_doubtful(walk: Walk, rows: int, count: int) -> bool:
    """Return whether an empty page is to be asked for again: nothing at all, or nothing where rows were left."""
    expected = walk.offset == 0 or walk.offset + PAGE_ROWS < max(count, walk.count or 0)
    return rows == 0 and expected and walk.empty_answers < EMPTY_TRIES


def next_offset(walk: Walk, count: int) -> int | None:
    """Return the offset of the page after this one, None where the walk is over (or the cap is reached)."""
    drop = max(0, (walk.count or 0) - count) if walk.sort_order == "desc" else 0
    back = min(drop, _patience(walk, count) - walk.stepped_back, PAGE_ROWS - 1)
    offset = walk.offset + PAGE_ROWS - max(0, back)
    return offset if offset < count else None


def stepped_back(walk: Walk, offset: int) -> int:
    """Return how many rows have been walked twice on purpose once the walk goes on at this offset."""
    return walk.stepped_back + walk.offset + PAGE_ROWS - offset


def is_past_reach(walk: Walk, offset: int, count: int, cap_offset: int) -> bool:
    """Return whether nothing more can be had from that offset on: the cap, or rows the other order has shown."""
    shown_by_other_order = walk.sort_order == "asc" and offset > count - cap_rows(cap_offset) + PAGE_ROWS
    return offset > cap_offset or shown_by_other_order


def certify(walk: Walk, distinct_rows: int, last_count: int, cap_offset: int) -> Certificate:
    """Return the certificate of a walk that is over.

    The smaller of the first and the last count is what should have been seen: the API's count is not exact,
    and what appeared since is for the next cycle.
    """
    expected = min(walk.first_count if walk.first_count is not None else last_count, last_count)
    tolerance = math.ceil(expected * TOLERANCE_SHARE) + TOLERANCE_ROWS
    if walk.forced:
        reached = 2 * cap_rows(cap_offset)
        note = f"one price, walked in both orders: {min(last_count, reached)} of {last_count} within reach"
        return Certificate("complete" if last_count <= reached else "unreachable", tolerance, note)
    if last_count > cap_rows(cap_offset):
        return Certificate("unreachable", tolerance, f"{last_count} rows, {cap_rows(cap_offset)} within reach")
    if distinct_rows + tolerance < expected:
        return Certificate("drifted", tolerance, f"{expected - distinct_rows} rows fewer than reported")
    return Certificate("complete", tolerance)


def _patience(walk: Walk, count: int) -> int:
    """Return how many rows one pass may walk twice: a count that is noise must not cost calls for ever."""
    return math.ceil((walk.first_count or count) * TOLERANCE_SHARE) + 2 * TOLERANCE_ROWS
