"""One file a state: `step` fetches and thinks, `without` goes on without what cannot be had."""

from __future__ import annotations

from collections.abc import Callable

from crawler.context import Context
from crawler.outcome import Outcome, Position
from crawler.states import backfill, reviews, sleep, taxonomy, verify
from runtime.errors import ServerTrouble

Step = Callable[[Position, Context], Outcome | None]
Without = Callable[[Position, Context, ServerTrouble, int], Outcome | None]

STEPS: dict[str, Step] = {
    "TAXONOMY": taxonomy.step,
    "BACKFILL": backfill.step,
    "VERIFY": verify.step,
    "REVIEWS": reviews.step,
    "SLEEP": sleep.step,
}
WITHOUT: dict[str, Without] = {
    "TAXONOMY": taxonomy.without,
    "BACKFILL": backfill.without,
    "REVIEWS": reviews.without,
}
