"""Calls made beside the fewest that could do: `make bench-calls`.

A crawl of a moving market, in this process and on a virtual clock, through the real engine, states, store and SQLite
file. After each cycle its calls are held against the minimum of that same cycle, and each call above it has a reason.

The minimum: a page for every hundred listings that searches showed, a batch for every hundred that were asked for,
a page for every hundred new reviews of each shop that has some.
"""

from __future__ import annotations

import argparse
import logging
import math
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import figures
from bench.figures import Figure
from crawler import changes
from crawler.api.records import ReviewRecord
from crawler.outcome import Outcome, Position
from runtime.clock import DAY_SECONDS, parse_iso
from sandbox import Sandbox, SandboxSettings
from tests.rig import START, WEEK, Rig, VirtualClock

PAGE = 100
SEARCH, BATCH, REVIEWS = "findAllListingsActive", "getListingsByListingIds", "getReviewsByShop"
FIRST_GOAL, LATER_GOAL = 1.03, 1.02  # of the fewest calls, in the first cycle and in the others
WAKE_SECONDS = 40.0  # a sleep looks at the clock every 30 s


@dataclass
class Bill:
    """The calls of one cycle: by endpoint, the fewest that could do, and why there were more."""

    made: Counter[str] = field(default_factory=Counter)
    listings: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)
    new_reviews: Counter[int] = field(default_factory=Counter)
    extra: Counter[str] = field(default_factory=Counter)
    intervals: int = 0
    seconds: float = 0.0

    @property
    def least(self) -> Counter[str]:
        """The fewest calls by endpoint."""
        return Counter(
            {
                SEARCH: math.ceil(len(self.listings) / PAGE),
                BATCH: math.ceil(len(self.asked) / PAGE),
                REVIEWS: sum(math.ceil(count / PAGE) for count in self.new_reviews.values()),
            }
        )

    def reasons(self) -> dict[str, int]:
        """Return why there were more, so that the numbers add up to what is above the minimum."""
        told = Counter(self.extra)
        for endpoint, rest in ((SEARCH, "partial pages"), (BATCH, "partial batches"), (REVIEWS, "partial visits")):
            named = sum(count for reason, count in self.extra.items() if REASONS.get(reason) == endpoint)
            told[rest] = self.made[endpoint] - self.least[endpoint] - named
        return {reason: count for reason, count in told.items() if count}


REASONS = {
    "splits": SEARCH,
    "second looks": SEARCH,
    "doubtful pages": SEARCH,
    "dead batches": BATCH,
    "shops visited for nothing": REVIEWS,
}
"""Which endpoint's calls each reason explains; what is in no way special is a partial page, batch or visit."""


class Bench(Rig):
    """A crawl that bills its cycles; `moves_a_week` of the listings have something happen to them in a week."""

    def __init__(self, home: Path, listings: int, moves: float, quota: int, seed: int) -> None:
        clock = VirtualClock()
        a_week = max(1, round(listings * moves))
        # In whole seconds, as the sandbox dates what moves: its reviews are as old as the clock says.
        self._every = float(max(1, round(WEEK / a_week))) if moves else float("inf")
        self._next = START + self._every
        market = SandboxSettings(
            seed=seed,
            listings=listings,
            epoch=int(START),
            quota_per_day=quota,
            move_seconds=max(1, int(min(self._every, WEEK))),
        )
        super().__init__(home, Sandbox(market, clock=clock.true), clock)
        clock.true.passed = self._pass
        self.bills: list[Bill] = []
        self._seen = 0
        self._looked_back = False
        self._visited: list[ReviewRecord] = []
        self._known_reviews: set[int | None] = set()

    def _pass(self) -> None:
        due = 0
        while self.clock.true.now() >= self._next:
            self._next += self._every
            due += 1
        if due:
            self.sandbox.move(due)

    def run(self, cycles: int) -> None:
        """Crawl through so many cycles."""
        engine = self.start()
        began = time.perf_counter()
        self.bills.append(Bill())

        def observe(position: Position, outcome: Outcome | None) -> None:
            nonlocal began
            self._note(outcome)
            if position.state != "SLEEP":
                return
            if outcome is not None and outcome.event == "caught_up":
                bill = self.bills[-1]
                bill.seconds = time.perf_counter() - began
                bill.intervals = self.rows("SELECT COUNT(*) FROM intervals WHERE cycle = ?", position.cycle)[0][0]
                began = time.perf_counter()
                if len(self.bills) == cycles:
                    self.stop.ask("the bench")
                    return
                self.bills.append(Bill())
            self.clock.advance_to(parse_iso(str(position.cursor["until"])) - WAKE_SECONDS)

        self._observe_now = observe
        engine.run()
        self.close()

    def _note(self, outcome: Outcome | None) -> None:
        """Put the calls of a step on the bill."""
        bill = self.bills[-1]
        calls = self.sandbox.calls_since(self._seen)
        self._seen += len(calls)
        for call in calls:
            bill.made[call.endpoint] += 1
            if call.status == 404 and call.endpoint == BATCH:
                bill.extra["dead batches"] += 1
            elif call.status != 200:
                bill.extra[f"status {call.status}"] += 1
            elif call.endpoint not in (SEARCH, BATCH, REVIEWS):
                bill.extra[call.endpoint] += 1
        if outcome is None:
            return
        searched = any(call.endpoint == SEARCH for call in calls)
        if outcome.said == "split":
            bill.extra["splits"] += 1
        elif searched and self._looked_back:
            bill.extra["second looks"] += 1
        elif outcome.said.startswith("doubtful"):
            bill.extra["doubtful pages"] += 1
        self._looked_back = bool(outcome.cursor.get("looking_back") or outcome.cursor.get("passes"))
        for change in outcome.changes:
            self._note_change(bill, change)

    def _note_change(self, bill: Bill, change: changes.Change) -> None:
        if isinstance(change, changes.PageSeen):
            bill.listings |= {row.listing_id for row in change.rows}
        elif isinstance(change, changes.DetailsSeen):
            bill.asked |= {listing.record.listing_id for listing in change.listings}
        elif isinstance(change, changes.ListingsGone):
            bill.asked |= {listing_id for listing_id, _, _ in change.listings}
        elif isinstance(change, changes.ReviewsSeen):
            self._visited = [*self._visited, *change.reviews]
        elif isinstance(change, changes.VisitDone):
            # What the watermark's overlap shows again is not new.
            new = {review.transaction_id for review in self._visited} - self._known_reviews
            self._known_reviews |= new
            bill.new_reviews[change.shop_id] += len(new)
            bill.extra["shops visited for nothing"] += not new
            self._visited = []


def main() -> None:
    """Crawl the markets and print the bills."""
    parser = argparse.ArgumentParser(prog="make bench-calls", description=__doc__)
    parser.add_argument("--listings", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--moves", type=float, default=0.2, help="things that happen in a week, by listing")
    parser.add_argument("--quota", type=int, default=5_000, help="calls a day")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep the figures in this file too")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    console = Console(width=160, highlight=False)
    found: list[Figure] = []
    for listings in given.listings:
        with tempfile.TemporaryDirectory(prefix="bench-calls-") as folder:
            bench = Bench(Path(folder) / "home", listings, given.moves, given.quota, given.seed)
            bench.run(given.cycles)
        console.print(_table(listings, bench))
        found += _figures(listings, bench)
    if given.json:
        figures.write(found, given.json)


def _figures(listings: int, bench: Bench) -> Iterator[Figure]:
    for number, bill in enumerate(bench.bills, 1):
        made, least = bill.made.total(), bill.least.total()
        most = FIRST_GOAL if number == 1 else LATER_GOAL
        name = f"calls of cycle {number}, {listings:,} listings"
        yield Figure(name, f"{made:,}", f"{least:,} at least", made / least, f"<= {most}", made <= most * least)


def _table(listings: int, bench: Bench) -> Table:
    days = (bench.clock.true.now() - START) / DAY_SECONDS
    table = Table(title=f"{listings:,} listings, {days:.0f} days", title_justify="left")
    for name in ("cycle", "seen", "asked for", "intervals", "made", "least", "above", "why", "s"):
        table.add_column(name, justify="left" if name == "why" else "right")
    for number, bill in enumerate(bench.bills, 1):
        made, least = bill.made.total(), bill.least.total()
        table.add_row(
            str(number),
            f"{len(bill.listings):,}",
            f"{len(bill.asked):,}",
            str(bill.intervals),
            _by_endpoint(bill.made),
            _by_endpoint(bill.least),
            f"{made / least - 1:+.1%}",
            ", ".join(f"{count} {reason}" for reason, count in sorted(bill.reasons().items(), key=lambda kv: -kv[1])),
            f"{bill.seconds:.0f}",
        )
    return table


def _by_endpoint(calls: Counter[str]) -> str:
    rest = calls.total() - calls[SEARCH] - calls[BATCH] - calls[REVIEWS]
    return f"{calls.total():,} = {calls[SEARCH]:,} + {calls[BATCH]:,} + {calls[REVIEWS]:,} + {rest}"


if __name__ == "__main__":
    main()
