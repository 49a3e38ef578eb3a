"""SLEEP: wait for the next cycle or for the day's quota; killed and restarted, for the same moment."""

from __future__ import annotations

from crawler.checkpoint import position_of_json
from crawler.context import Context
from crawler.outcome import Outcome, Position
from crawler.planning import first_cursor
from runtime.clock import DAY_SECONDS, parse_iso
from runtime.errors import UserMistake

DAY_AND_A_BIT = DAY_SECONDS + 600.0  # longer than any wait for the day's quota
LONGEST_WAIT = 30.0  # the wall clock is asked again this often: the computer may have slept


def step(position: Position, context: Context) -> Outcome | None:
    """Wait a while and answer None, or wake up."""
    try:
        left = parse_iso(str(position.cursor.get("until"))) - context.clock.now()
        reason = position.cursor.get("reason")
        resume = position_of_json(position.cursor["resume"]) if reason == "quota" else None
    except (ValueError, KeyError) as error:
        raise UserMistake(
            f"The position says SLEEP, and its cursor cannot be used: {error}.",
            advice="Put an earlier position back with `python run.py restore checkpoints/state-….json`.",
        ) from error
    longest = context.freshness.cycle_days * DAY_SECONDS if resume is None else DAY_AND_A_BIT
    # A wait that is longer than any was begun while the clock was ahead: it would not end for years.
    if 0 < left <= longest:
        # Monotonic time stands still while a Mac sleeps; `until` is wall time.
        context.stop.pause(min(left, LONGEST_WAIT))
        return None
    if resume is not None:
        return Outcome("quota_back", resume.cursor, resume=resume.state)
    return Outcome("woke", first_cursor(context.taxonomy_ids))
