"""What was known at the end of each week: arithmetic on arrays, without any I/O.

Rows come sorted by key and moment (Unix seconds, UTC). Weeks are numbered from Monday, 5 January 1970.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

DAY_SECONDS = 86_400
WEEK_SECONDS = 7 * DAY_SECONDS
FIRST_MONDAY_DAY = 4  # 1970-01-01 was a Thursday
NEVER = -1
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def week_of(moments: Any) -> Any:
    """Return the number of the week in which each moment lies."""
    return (moments - FIRST_MONDAY_DAY * DAY_SECONDS) // WEEK_SECONDS


def monday_of(weeks: Ints) -> Ints:
    """Return the day on which each week begins, in days since 1970-01-01."""
    return weeks * 7 + FIRST_MONDAY_DAY


def end_of(weeks: Ints, until: int) -> Ints:
    """Return the moment at which each week is over; of the week in which `until` lies, `until` itself."""
    return np.minimum((monday_of(weeks) + 7) * DAY_SECONDS, until)


def weeks_told(keys: Ints, moments: Ints, is_gone: Bools, until: int) -> Ints:
    """Return for how many weeks, from its own on, each row is the newest that is known of its key.

    0: another row of the same week is newer. A row that says that its thing is gone tells of its own week alone.
    No moment is later than `until`, in whose week the last rows end.
    """
    weeks = week_of(moments)
    following = np.full(len(keys), week_of(until) + 1, np.int64)
    same = keys[1:] == keys[:-1]
    following[:-1][same] = weeks[1:][same]
    told: Ints = following - weeks
    return np.where(is_gone, np.minimum(told, 1), told)


def last_valued(keys: Ints, has_value: Bools) -> Ints:
    """Return for each row the newest row of its key, up to itself, that has a value; NEVER where there is none."""
    places = np.arange(len(keys))
    is_first = np.ones(len(keys), np.bool_)
    is_first[1:] = keys[1:] != keys[:-1]
    first = np.maximum.accumulate(np.where(is_first, places, 0))
    found = np.maximum.accumulate(np.where(has_value, places, NEVER))
    return np.where(found >= first, found, NEVER)


def spread(told: Ints) -> tuple[Ints, Ints]:
    """Return each row's place as often as it tells of a week, and which of its weeks that is (0: its own)."""
    rows = np.repeat(np.arange(len(told)), told)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(told) - told, told)


def pieces(told: Ints, most: int) -> Iterator[slice]:
    """Return the rows in slices that tell of at most so many weeks each, or are a single row."""
    ends, start = np.cumsum(told), 0
    while start < len(told):
        before = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(start, end)
        start = end
