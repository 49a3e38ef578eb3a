"""Our own count of the calls made: by minute for the sliding day, by endpoint for `api_usage`."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from crawler.api import quota as day
from crawler.api.quota import MINUTE, Quota
from runtime.clock import DAY_SECONDS, Clock
from runtime.errors import QuotaSpent


@dataclass(frozen=True, slots=True)
class CallsMade:
    """Calls of one endpoint in one minute (its start, Unix seconds), with the last remaining quota heard."""

    endpoint: str
    minute: float
    count: int
    remaining: int | None


class Ledger:
    """Counts calls as they are sent and decides, before each, whether the day still allows it.

    It writes nothing: `drain` hands over what is not stored yet, `restore` takes it back where storing failed.
    """

    def __init__(self, clock: Clock, quota: Quota, usage: Iterable[tuple[float, int]]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._minutes: deque[tuple[float, int]] = deque(sorted(usage))
        self._pending: Counter[tuple[str, float]] = Counter()
        self.quota = quota
        self.total = 0

    def open_call(self, endpoint: str) -> None:
        """Count a call that is about to be sent; QuotaSpent where the day does not allow it."""
        now = self._clock.now()
        with self._lock:
            at = day.next_call_at(self.quota, self._usage(now), now)
            if at > now:
                raise QuotaSpent(at, f"The day's calls are spent: {day.in_words(self.quota, self._usage(now), now)}.")
            # A minute is fine enough for a sliding day and keeps its length below 2,880 entries.
            minute = now - now % MINUTE
            same = self._minutes.pop()[1] if self._minutes and self._minutes[-1][0] == minute else 0
            self._minutes.append((minute, same + 1))
            self._pending[endpoint, minute] += 1
            self.total += 1

    def hear(self, limit: int | None, remaining: int | None) -> bool:
        """Take in an answer's headers; return whether the day's limit was cut."""
        with self._lock:
            before = self.quota
            self.quota = day.hear(before, limit, remaining, self._usage(self._clock.now()), self._clock.now())
            return self.quota.cut_at != before.cut_at

    def refuse(self, retry_after: float | None) -> QuotaSpent:
        """Take in that the server refuses calls for the day, and return the error to raise."""
        now = self._clock.now()
        with self._lock:
            self.quota = day.refuse(self.quota, retry_after, self._usage(now), now)
            return QuotaSpent(self.quota.not_before, "The server says that the day's calls are spent.")

    def drain(self) -> tuple[CallsMade, ...]:
        """Return the calls that are not stored yet and forget that they are not."""
        with self._lock:
            drained = tuple(
                CallsMade(endpoint, minute, count, self.quota.remaining)
                for (endpoint, minute), count in self._pending.items()
            )
            self._pending.clear()
            return drained

    def restore(self, calls: Iterable[CallsMade]) -> None:
        """Take back calls that could not be stored."""
        with self._lock:
            for made in calls:
                self._pending[made.endpoint, made.minute] += made.count

    def available(self) -> int | None:
        """Return how many calls are left today, None where no limit is known."""
        now = self._clock.now()
        with self._lock:
            return day.available(self.quota, self._usage(now), now)

    def left_at_last_answer(self) -> int | None:
        """Return how many calls the last answer left for the day, None where none has told; quickly."""
        quota = self.quota
        return None if quota.remaining is None else quota.remaining - day.floor(quota)

    def _usage(self, now: float) -> list[tuple[float, int]]:
        # Two days are kept: calls of yesterday come back between the last answer and now.
        while self._minutes and self._minutes[0][0] < now - 2 * DAY_SECONDS:
            self._minutes.popleft()
        return list(self._minutes)
