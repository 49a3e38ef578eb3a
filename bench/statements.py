"""How long each SQL statement takes: `python -m bench.statements RESULT.json [ARGUMENT ...]` runs `run.py` so.

SQLite's rows come while a cursor is read, so the reading is timed as well as the executing. Statements that differ
only in a list of values count as one.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sqlite3.dbapi2
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

LISTS = re.compile(r"\?(?:, \?)+|(?<=\()['\d][^)]*")


def without_lists(sql: str) -> str:
    """Return the statement with a sign in the place of each list of values."""
    return LISTS.sub("?, …", sql)


@dataclass
class Statement:
    """One statement's runs: how often, how long all and the longest; `sql` is one of them, with so many holes."""

    sql: str
    holes: int
    runs: int = 0
    seconds: float = 0.0
    longest: float = 0.0


class Statements:
    """Every statement of this process, whatever thread and connection runs it; `seconds` is what all of them took."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._by_text: dict[str, Statement] = {}

    def of(self, sql: str, holes: int) -> Statement:
        """Return where a statement's time is added up."""
        return self._by_text.setdefault(without_lists(sql), Statement(sql, holes))

    def slowest(self, number: int) -> list[Statement]:
        """Return those that took the most time in all."""
        return sorted(self._by_text.values(), key=lambda found: -found.seconds)[:number]


class TimedCursor(sqlite3.Cursor):
    """A cursor that adds up how long it works."""

    _statement = Statement("", 0)
    _run_seconds = 0.0

    def execute(self, sql: str, parameters: Any = (), /) -> TimedCursor:
        """Run one statement."""
        self._begin(sql, len(parameters))
        began = perf_counter()
        try:
            super().execute(sql, parameters)
        finally:
            self._add(perf_counter() - began)
        return self

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> TimedCursor:
        """Run one statement for each of the rows of values."""
        rows = list(parameters)
        self._begin(sql, len(rows[0]) if rows else 0)
        began = perf_counter()
        try:
            super().executemany(sql, rows)
        finally:
            self._add(perf_counter() - began)
        return self

    def fetchone(self) -> Any:
        """Return the next row."""
        began = perf_counter()
        row = super().fetchone()
        self._add(perf_counter() - began)
        return row

    def fetchall(self) -> list[Any]:
        """Return the other rows."""
        began = perf_counter()
        rows = super().fetchall()
        self._add(perf_counter() - began)
        return rows

    def _begin(self, sql: str, holes: int) -> None:
        self._statement = STATEMENTS.of(sql, holes)
        self._statement.runs += 1
        self._run_seconds = 0.0

    def _add(self, seconds: float) -> None:
        self._run_seconds += seconds
        statement = self._statement
        statement.seconds += seconds
        STATEMENTS.seconds += seconds
        if self._run_seconds > statement.longest:
            statement.longest = self._run_seconds


class TimedConnection(sqlite3.Connection):
    """A connection whose cursors are timed."""

    def cursor(self, factory: Any = TimedCursor) -> Any:
        """Return a cursor that adds up how long it works."""
        return super().cursor(factory)


STATEMENTS = Statements()
"""Those of this process: the driver makes its connections and cursors where nothing can be handed to them."""


def time_all() -> None:
    """Have all connections that this process opens from now on timed."""
    driver: Any = sqlite3
    driver.connect = driver.dbapi2.connect = partial(driver.connect, factory=TimedConnection)


def as_json(number: int) -> list[dict[str, Any]]:
    """Return the slowest statements as JSON values."""
    return [asdict(found) for found in STATEMENTS.slowest(number)]


def explained(database: Path, statement: dict[str, Any]) -> list[str]:
    """Return how SQLite would find what the statement asks for, in its own words; none for BEGIN and COMMIT."""
    if not str(statement["sql"]).upper().startswith(("SELECT", "UPDATE", "INSERT", "DELETE")):
        return []
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        holes = [None] * int(statement["holes"])
        rows = connection.execute(f"EXPLAIN QUERY PLAN {statement['sql']}", holes).fetchall()
    finally:
        connection.close()
    return [str(row[3]) for row in rows]


def main(arguments: list[str]) -> int:
    """Run `run.py` with these arguments, then write down its statements."""
    time_all()
    import run

    status = run.main(arguments[1:])
    Path(arguments[0]).write_text(json.dumps(as_json(12)), encoding="utf-8")
    return status


if __name__ == "__main__":
    # As a module of its own name, not as __main__: what is timed and what is told must be the same object.
    from bench.statements import main as run_timed

    sys.exit(run_timed(sys.argv[1:]))
