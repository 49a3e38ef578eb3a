"""The move itself: copy every table, read every row back and compare, then say where the crawl stands.

    source ─ range of rows ─→ COPY + how far (one transaction) ─→ … ─→ compare all ─→ position, sequences (the last)

Killed anywhere, the next run goes on after the last range that was committed. Until the last transaction the target
has no position, so that no crawl goes on in half a data set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from runtime.clock import Clock, iso
from runtime.errors import OperatorNeeded
from runtime.stop import Stop
from upkeep.moving.source import Source
from upkeep.moving.tables import STATE, TABLES, Range, Table
from upkeep.moving.target import Row, Standing, Target

CHUNK_ROWS = 5_000  # a twentieth of a second to a fifth: a stop is obeyed between two
SHOWN = 60  # letters of a value in words


@dataclass(slots=True)
class Tally:
    """How many rows a table has, what its numbers add up to, and how long its texts are in all."""

    rows: int = 0
    sum: float = 0
    letters: int = 0

    def add(self, table: Table, rows: Sequence[Row]) -> None:
        """Take in rows."""
        self.rows += len(rows)
        for place in table.numbers:
            self.sum += sum(row[place] for row in rows if row[place] is not None)
        for place in table.texts:
            self.letters += sum(len(row[place]) for row in rows if row[place] is not None)


@dataclass(slots=True)
class Moved:
    """How far a run is: what it does to which table, the rows there so far, and the tallies of what was compared."""

    doing: str = ""
    table: str = ""
    rows: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    is_done: bool = False


class Mover:
    """Moves one data set; `observe` is called after each range of rows."""

    def __init__(
        self,
        source: Source,
        target: Target,
        clock: Clock,
        stop: Stop,
        observe: Callable[[Moved], None],
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        self._source, self._target = source, target
        self._clock, self._stop = clock, stop
        self._observe = observe
        self._chunk_rows = chunk_rows
        self.moved = Moved()

    def run(self) -> None:
        """Copy what is not there yet, compare all of it, finish; raises Stopped, OperatorNeeded where rows differ."""
        for table in TABLES:
            self._copy(table)
        self.moved.rows = 0
        for table in TABLES:
            self._compare(table)
        rows = self._source.read(STATE, Range(None, None))
        self._stop.raise_if_requested()
        self._target.finish(rows, self._source.path, iso(self._clock.now()))
        self.moved.is_done = True

    def _copy(self, table: Table) -> None:
        standing = self._target.standing(table)
        self._tell("copying", table, standing.rows)
        if standing.done:
            return
        for part in self._source.ranges(table, standing.after, self._chunk_rows):
            self._stop.raise_if_requested()
            rows = self._source.read(table, part)
            standing = Standing(part.upto, standing.rows + len(rows), part.upto is None)
            self._target.add(table, rows, standing)
            self._tell("copying", table, len(rows))

    def _compare(self, table: Table) -> None:
        tally = self.moved.tallies[table.name] = Tally()
        for part in self._source.ranges(table, None, self._chunk_rows):
            self._stop.raise_if_requested()
            rows, there = self._source.read(table, part), self._target.read(table, part)
            if rows != there:
                self._target.forget()
                raise OperatorNeeded(
                    f"The table {table.name} is not the same on both sides: {difference(table, rows, there)}.",
                    advice="Nothing may write to either meanwhile. Give the same command again: it starts over.",
                )
            tally.add(table, there)
            self._tell("comparing", table, len(rows))

    def _tell(self, doing: str, table: Table, rows: int) -> None:
        self.moved.doing, self.moved.table = doing, table.name
        self.moved.rows += rows
        self._observe(self.moved)


def difference(table: Table, rows: Sequence[Row], there: Sequence[Row]) -> str:
    """Return in words the first of these rows that is not the same on both sides, and how many there are of each."""
    words = f"{len(rows):,} rows here, {len(there):,} there"
    for ours, theirs in zip_longest(rows, there):
        if ours != theirs:
            key = ", ".join(map(str, (ours or theirs)[: len(table.key)]))
            wrong = [
                f": {name} is {_shown(one)} here, {_shown(other)} there"
                for name, one, other in zip(table.columns, ours or (), theirs or (), strict=False)
                if one != other
            ]
            return f"{words}; at {key}{wrong[0] if wrong else ''}"
    return words


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
