"""The walk through one interval: which page is next, when it is over, how complete it was. Pure.

Pages are asked for newest first. A listing that appears moves the rest back by one and is seen again, which
is harmless; one that disappears before the offset moves the rest forward, and one row slips through between two
pages. As soon as the reported count has changed once, pages therefore overlap by a row; where it drops by more
than that, the walk goes back by the drop. A listing that is renewed jumps to the front, behind the walk's back:
where anything moved, the walk ends with another look there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from crawler.plan import PAGE_ROWS, cap_rows

TOLERANCE_SHARE, TOLERANCE_ROWS = 0.01, 5
LEAST_REWINDS, REWIND_SHARE = 2, 0.03
COLLAPSE_FROM = 100
DOUBTFUL_TRIES = 2
OVERLAP_ROWS = 1


@dataclass(frozen=True, slots=True)
class Walk:
    """The cursor of TAXONOMY. `offset` is the next page's; `count` what the page before reported.

    `first_count` is what this pass's first page reported, `rewinds` how often it went back, `passes` how many
    passes are behind, `looking_back` whether the front is looked at once more, `doubtful_answers` how often this
    page came back empty where rows were expected, or with rows that made no sense, `batch_size` how many listings
    the next batch asks for. `interval_id` is None where the plan still has to say which it is.
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
    rewinds: int = 0
    passes: int = 0
    looking_back: bool = False
    doubtful_answers: int = 0
    batch_size: int = PAGE_ROWS
    new_only: bool = False

    def cursor(self) -> dict[str, Any]:
        """Return the walk as JSON for the position."""
        return {name: getattr(self, name) for name in self.__slots__}  # asdict copies each value as deep as it goes

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


def told_count(told: int | None, before: int | None, offset: int, rows: int) -> int:
    """Return the total that an answer tells; where it leaves it out, the page before's, or what the page shows."""
    if told is not None:
        return told
    return before if before is not None else offset + rows + (rows >= PAGE_ROWS)


def is_doubtful(walk: Walk, rows: int, count: int, unreadable: int) -> bool:
    """Return whether a page is to be asked for again: nothing where rows were expected, or rows without sense."""
    expected = walk.offset == 0 or walk.offset + PAGE_ROWS < max(count, walk.count or 0)
    return (unreadable > 0 or (rows == 0 and expected)) and walk.doubtful_answers < DOUBTFUL_TRIES


def next_walk(walk: Walk, count: int) -> Walk | None:
    """Return the walk at the page after this one, which reported `count`; None where that was the last page."""
    # Oldest first, rows that go leave a gap at the front, where the walk has been: nothing slips through.
    drop = (walk.count or count) - count if walk.sort_order == "desc" else 0
    if drop > _overlap(walk, walk.count) and walk.rewinds < _patience(walk, count):
        offset, rewinds = max(0, walk.offset - drop - OVERLAP_ROWS), walk.rewinds + 1
    else:
        offset, rewinds = walk.offset + PAGE_ROWS - _overlap(walk, count), walk.rewinds
    if offset >= count:
        return None
    return replace(walk, offset=offset, count=count, rewinds=rewinds, doubtful_answers=0)


def walk_back(walk: Walk) -> Walk | None:
    """Return the walk a page back where the list has shrunk to before the offset; None where it is just over.

    What was behind the offset has moved before it, one row or a page of them.
    """
    if walk.count is None or walk.offset >= walk.count or walk.rewinds >= _patience(walk, walk.count):
        return None
    return replace(walk, offset=max(0, walk.offset - PAGE_ROWS), count=walk.offset, rewinds=walk.rewinds + 1)


def next_within_reach(walk: Walk, count: int, cap_offset: int) -> Walk | None:
    """Return the walk at the page after this one; None where there is none, or none that can be had or is new."""
    following = next_walk(walk, count)
    if following is None:
        return None
    # A cap that was learned from an overlapping page is no multiple of a page.
    if walk.offset < cap_offset < following.offset:
        following = replace(following, offset=cap_offset)
    return None if _is_past_reach(following, cap_offset) else following


def _is_past_reach(walk: Walk, cap_offset: int) -> bool:
    """Return whether the next page cannot be had or brings nothing: past the cap, or shown by the other order."""
    shown_from = (walk.count or 0) - cap_rows(cap_offset) + PAGE_ROWS
    return walk.offset > cap_offset or (walk.sort_order == "asc" and walk.offset > shown_from)


def has_moved(walk: Walk, distinct_rows: int, repeats: int, last_count: int) -> bool:
    """Return whether the market moved while it was walked, as far as counts and repeated rows can tell."""
    return repeats > 0 or distinct_rows != last_count or walk.first_count != last_count


def certify(walk: Walk, distinct_rows: int, last_count: int, cap_offset: int) -> Certificate:
    """Return the certificate of a walk that is over.

    The smaller of the first and the last count is what should have been seen: the API's count is not exact,
    and what appeared since is for the next cycle.
    """
    expected = min(walk.first_count if walk.first_count is not None else last_count, last_count)
    tolerance = math.ceil(expected * TOLERANCE_SHARE) + TOLERANCE_ROWS
    # Two walks share this price, and neither can know how many rows the other has seen.
    if walk.forced:
        reached = 2 * cap_rows(cap_offset)
        note = f"one price, walked in both orders: {min(last_count, reached)} of {last_count} within reach"
        return Certificate("complete" if last_count <= reached else "unreachable", tolerance, note)
    if last_count > cap_rows(cap_offset):
        return Certificate("unreachable", tolerance, f"{last_count} rows, {cap_rows(cap_offset)} within reach")
    if distinct_rows + tolerance < expected:
        return Certificate("drifted", tolerance, f"{expected - distinct_rows} rows fewer than reported")
    return Certificate("complete", tolerance)


def _overlap(walk: Walk, count: int | None) -> int:
    """Return how many rows a page begins early, once a page has reported this count.

    A count that fell and rose again is the first one again: that the walk went back tells that something moved.
    """
    moved = walk.rewinds > 0 or (count is not None and count != walk.first_count)
    return OVERLAP_ROWS if walk.sort_order == "desc" and moved else 0


def _patience(walk: Walk, count: int) -> int:
    """Return how often one pass may go back: a count that is noise must not cost calls for ever."""
    return LEAST_REWINDS + math.ceil((walk.first_count or count) / PAGE_ROWS * REWIND_SHARE)
