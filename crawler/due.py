"""Which rows are due at a moment."""

from __future__ import annotations

from crawler.freshness import Cycle, Freshness
from crawler.store.index import Due


def due_at(freshness: Freshness, cycle: Cycle, now: float) -> Due:
    """Return which rows are due in a cycle at that moment."""
    overdue = now >= freshness.next_cycle_at(cycle, cycle.started_at)
    return Due(cycle.number, freshness.horizon(cycle, now), freshness.latest_due(now), overdue)
