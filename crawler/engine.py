"""The loop: run a step, then store its rows and the next position in one transaction, then move.

    outcome = step(position, context)        network and thought; writes nothing
    one transaction: rows, calls made, position
    machine.fire(event)                      memory follows the database, never leads it

Whatever moment the process dies at, a restart repeats at most the one step that had not been committed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import backoff

from crawler import checkpoint
from crawler.api.ledger import Ledger
from crawler.context import Context
from crawler.freshness import Cycle
from crawler.machine import FIRST, CrawlMachine
from crawler.outcome import Outcome, Position
from crawler.planning import first_cursor
from crawler.states import STEPS, WITHOUT
from crawler.store import state, usage, writer
from runtime.clock import EARLIEST, iso
from runtime.errors import CrawlError, QuotaSpent, ServerTrouble, Stopped

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 900.0
CLOCK_PAUSE = 30.0
SKIPS_IN_A_ROW = 3
SKIP_ATTEMPTS, STUBBORN_ATTEMPTS = 2, 4  # the second where several things failed one after another
log = logging.getLogger(__name__)


@dataclass
class Trouble:
    """How often in a row the same step failed, and how many things were given up one after another."""

    attempts: int = 0
    skips: int = 0


class Engine:
    """Drives the machine until a stop is asked for; the only one that writes.

    `transaction` opens a database transaction; `observe` is told of every step (position, outcome).
    """

    def __init__(
        self,
        context: Context,
        ledger: Ledger,
        transaction: Callable[[], Any],
        observe: Callable[[Position, Outcome | None], None],
    ) -> None:
        self._context = context
        self._ledger = ledger
        self._transaction = transaction
        self._observe = observe
        self._trouble = Trouble()
        self.position = self._begin()
        self._machine = CrawlMachine(self.position.state)

    def run(self) -> Position:
        """Crawl until stopped; return the position at which it stopped."""
        try:
            while not self._context.stop.requested():
                self._context.stop.attend()
                if self._clock_is_right():
                    self._turn()
        except Stopped:
            pass
        except CrawlError:
            self._store_last_calls()  # where a refused key ends the crawl, calls were made all the same
            raise
        self._store_last_calls()
        return self.position

    def _store_last_calls(self) -> None:
        """Write down the calls of a step that did not come to its end, where the database lets us."""
        try:
            self.store_calls()
        except Stopped:
            log.warning("Another process holds the database: the last calls are not written down.")

    def store_calls(self) -> None:
        """Write down the calls that no committed step has accounted for."""
        calls = self._ledger.drain()
        try:
            with self._transaction():
                usage.write(calls)
                state.save("quota", self._ledger.quota.as_json())
        except BaseException:
            self._ledger.restore(calls)
            raise

    def _clock_is_right(self) -> bool:
        """Wait a while and return False where the clock says what cannot be: rows would carry it for ever."""
        now = self._context.clock.now()
        if now < EARLIEST:
            log.warning("The computer's clock says %s, which cannot be. Set it; the crawl waits.", iso(now))
            self._context.stop.pause(CLOCK_PAUSE)
        return now >= EARLIEST

    def _begin(self) -> Position:
        """Return the stored position, or make the first one."""
        position = checkpoint.load_position()
        if position is not None:
            self._context = replace(self._context, cycle=checkpoint.load_cycle())
            return position
        cycle = Cycle(1, self._context.clock.now())
        position = Position(FIRST, first_cursor(self._context.taxonomy_ids), 1, iso(cycle.started_at))
        with self._transaction():
            checkpoint.save_cycle(cycle)
            checkpoint.save_position(position)
        self._context = replace(self._context, cycle=cycle)
        return position

    def _turn(self) -> None:
        """Run one step and store what came of it."""
        try:
            outcome = STEPS[self.position.state](self.position, self._context)
        except QuotaSpent as spent:
            # Calls made ahead met the same end: asked for later, they would raise it again.
            self._context.client.forget()
            outcome = self._until_quota(spent)
        except ServerTrouble as trouble:
            self._context.client.forget()
            outcome = self._after_trouble(trouble)
        else:
            self._trouble = Trouble()
        if outcome is not None:
            self._commit(outcome)
        self._observe(self.position, outcome)

    def _commit(self, outcome: Outcome) -> None:
        position, cycle = self._next(outcome)
        # The calls are drained before the transaction: one that is sent while it runs belongs to the next.
        calls = self._ledger.drain()
        try:
            with self._transaction():
                writer.write(outcome.changes)
                usage.write(calls)
                state.save("quota", self._ledger.quota.as_json())
                if cycle != self._context.cycle:
                    checkpoint.save_cycle(cycle)
                checkpoint.save_position(position)
        except BaseException:
            self._ledger.restore(calls)
            raise
        # Only now that the database has moved: an exception before this leaves both where they were.
        self._machine.fire(outcome.event, outcome.resume)
        if position.state != self.position.state:
            log.info("%s → %s (%s)", self.position.state, position.state, outcome.event)
            if position.state == "SLEEP":
                self._context.client.forget()  # an answer from before days of sleep must not pass for a new one
        self.position = position
        self._context = replace(self._context, cycle=cycle)

    def _next(self, outcome: Outcome) -> tuple[Position, Cycle]:
        """Return the position and the cycle that an outcome leads to."""
        target = self._machine.next(outcome.event, outcome.resume)
        now = self._context.clock.now()
        cycle = self._context.cycle
        if outcome.event == "woke":
            cycle = Cycle(cycle.number + 1, now)
        # entered_at tells since when a state lasts, so a step within it keeps it.
        entered_at = self.position.entered_at if target == self.position.state else iso(now)
        return Position(target, outcome.cursor, cycle.number, entered_at), cycle

    def _until_quota(self, spent: QuotaSpent) -> Outcome:
        until = iso(math.ceil(spent.until))
        log.warning("%s Sleeping until %s.", spent, until)
        resume = checkpoint.position_as_json(self.position)
        return Outcome("quota_spent", {"reason": "quota", "until": until, "resume": resume})

    def _after_trouble(self, trouble: ServerTrouble) -> Outcome | None:
        """Go on without the one thing that cannot be had, or pause (5 s, growing to 15 minutes) and try again."""
        self._trouble.attempts += 1
        self.store_calls()
        without = WITHOUT.get(self.position.state)
        # A bad item is left out at the second failure; several in a row look like an outage, which is waited for.
        patience = SKIP_ATTEMPTS if self._trouble.skips < SKIPS_IN_A_ROW else STUBBORN_ATTEMPTS
        if without and self._trouble.attempts >= patience and self._server_is_alive():
            outcome = without(self.position, self._context, trouble, self._trouble.attempts)
            if outcome is not None:
                log.warning("%s: %s; going on without it.", self.position.state, trouble)
                self._trouble = Trouble(skips=self._trouble.skips + 1)
                return outcome
        self._note(trouble)
        pause = self._pause_seconds()
        log.warning("%s: %s; trying again in %.0f s.", self.position.state, trouble, pause)
        self._context.stop.pause(pause)
        return None

    def _server_is_alive(self) -> bool:
        try:
            return self._context.client.is_alive()
        except QuotaSpent:
            return False

    def _pause_seconds(self) -> float:
        pauses = backoff.expo(base=2, factor=FIRST_PAUSE, max_value=LONGEST_PAUSE)
        next(pauses)
        return [next(pauses) for _ in range(self._trouble.attempts)][-1]

    def _note(self, trouble: ServerTrouble) -> None:
        """Keep the last error where `status` finds it."""
        with self._transaction():
            state.save(
                "trouble",
                {"error": str(trouble), "at": self._context.now(), "attempts": self._trouble.attempts},
            )
