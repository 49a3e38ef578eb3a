"""The day's calls: how many are left, and when the next one may go. Pure arithmetic.

The day is a sliding window of 24 hours: calls come back as they grow old, there is no midnight. What the
server's headers say wins over our own count, which fills in where they are silent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from runtime.clock import DAY_SECONDS, iso

MINUTE = 60.0
FLOOR_SHARE, MOST_FLOOR = 0.01, 50
CHUNK_SHARE = 0.02  # the least that must have come back before it is worth waking up
LONGEST_WAIT_SECONDS = DAY_SECONDS + 2 * MINUTE  # whatever was called now has left the window by then
BLIND_WAIT_SECONDS = 3600.0  # where others spent the calls, nothing tells when they come back
Usage = Iterable[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Quota:
    """What is known of the day's limit; moments in Unix seconds, None for never heard.

    `remaining` is what the server said at `heard_at`, when `heard_count` of our own calls had been made in that minute;
    before `not_before` it has refused to answer;
    `cut_from` is the limit before the last cut, at `cut_at`.
    """

    limit: int | None = None
    remaining: int | None = None
    heard_at: float = 0.0
    heard_count: int = 0
    not_before: float = 0.0
    cut_from: int | None = None
    cut_at: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the knowledge as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of_json(cls, value: Any) -> Quota:
        """Return the knowledge that `as_json` wrote; nothing known where it is something else."""
        try:
            return cls(**value)
        except TypeError:
            return cls()


def hear(quota: Quota, limit: int | None, remaining: int | None, usage: Usage, now: float) -> Quota:
    """Return the knowledge after an answer's headers; a smaller limit than before is noted as a cut."""
    if limit is not None and quota.limit is not None and limit < quota.limit:
        quota = replace(quota, cut_from=quota.limit, cut_at=now)
    if remaining is not None:
        quota = replace(quota, remaining=remaining, heard_at=now, heard_count=_made_since(now, usage))
    return replace(quota, limit=limit if limit is not None else quota.limit)


def refuse(quota: Quota, retry_after: float | None, usage: Usage, now: float) -> Quota:
    """Return the knowledge after the server refused a call for the day's sake."""
    usage = list(usage)
    refused = replace(quota, remaining=0, heard_at=now, heard_count=_made_since(now, usage))
    wait = retry_after if retry_after is not None else _comes_back(refused, usage, now) - now
    return replace(refused, not_before=now + min(wait, LONGEST_WAIT_SECONDS))


def floor(quota: Quota) -> int:
    """Return how many of the day's calls are left unused: 1 % of the limit, at most 50."""
    return min(MOST_FLOOR, math.ceil((quota.limit or 0) * FLOOR_SHARE))


def used(usage: Usage, now: float) -> int:
    """Return our own calls of the last 24 hours; `usage` is (minute's start, calls)."""
    return sum(count for minute, count in usage if minute + MINUTE + DAY_SECONDS > now)


def available(quota: Quota, usage: Usage, now: float) -> int | None:
    """Return how many calls may be made now, the floor already taken off; None where no limit is known."""
    quota, usage = _believable(quota, usage, now)
    if quota.remaining is not None and now < quota.heard_at + DAY_SECONDS + MINUTE:
        since = max(0, _made_since(quota.heard_at, usage) - quota.heard_count)
        # Calls that were in the window when the server spoke and have left it since.
        back = sum(count for minute, count in usage if quota.heard_at < minute + MINUTE + DAY_SECONDS <= now)
        left = quota.remaining - since + back
        left = min(left, quota.limit) if quota.limit is not None else left
        return left - floor(quota)
    return quota.limit - used(usage, now) - floor(quota) if quota.limit is not None else None


def next_call_at(quota: Quota, usage: Usage, now: float) -> float:
    """Return when the next call may go: `now` or earlier where one may go at once."""
    quota, usage = _believable(quota, usage, now)
    if quota.not_before > now:
        return quota.not_before
    left = available(quota, usage, now)
    return now if left is None or left > 0 else _comes_back(quota, usage, now)


def back_at(quota: Quota, calls: int, usage: Usage, now: float) -> float:
    """Return about when so many calls more than are left will have come back, of a key that is used as they come.

    Each comes back a day after it was made, and what is made of it a day after that.
    """
    days, place = divmod(calls - 1, max(1, (quota.limit or 0) - floor(quota)))
    for minute, count in sorted(usage):
        at = minute + MINUTE + DAY_SECONDS
        if at > now:
            place -= count
        if place < 0:
            return at + days * DAY_SECONDS
    return now + (1 + days) * DAY_SECONDS  # those that are left now, and those of others


def in_words(quota: Quota, usage: Usage, now: float) -> str:
    """Return one sentence on the day's calls."""
    left = available(quota, usage, now)
    cut = f"; cut from {quota.cut_from} on {iso(quota.cut_at)}" if quota.cut_from else ""
    return f"{'unknown' if left is None else max(0, left)} of {quota.limit or 'unknown'} calls left today{cut}"


def _made_since(moment: float, usage: Usage) -> int:
    """Return our own calls since the beginning of that moment's minute."""
    return sum(count for minute, count in usage if minute >= moment - moment % MINUTE)


def _believable(quota: Quota, usage: Usage, now: float) -> tuple[Quota, list[tuple[float, int]]]:
    """Return both without what is dated in the future: the clock was ahead when it was written down.

    The next answer says how it really is; believed, a clock that was years ahead would keep all calls back for years.
    """
    if quota.heard_at > now + MINUTE:
        quota = replace(quota, remaining=None, heard_at=0.0)
    if quota.not_before > now + LONGEST_WAIT_SECONDS:
        quota = replace(quota, not_before=0.0)
    return quota, [(minute, count) for minute, count in usage if minute <= now + MINUTE]


def _comes_back(quota: Quota, usage: Usage, now: float) -> float:
    """Return when enough of our own calls have grown a day old to be worth waking for.

    Where others have spent the day's calls, one call an hour looks whether some have come back.
    """
    usage = list(usage)
    missing = max(1, math.ceil((quota.limit or 0) * CHUNK_SHARE)) - (available(quota, usage, now) or 0)
    when = None
    for minute, count in sorted(usage):
        back_at = minute + MINUTE + DAY_SECONDS
        if back_at > now and missing > 0:
            # A whole minute comes back at once: its last call is a day old only at its end.
            when, missing = back_at, missing - count
    return when if when is not None else quota.heard_at + BLIND_WAIT_SECONDS
