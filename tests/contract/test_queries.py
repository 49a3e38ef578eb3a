"""No statement of a crawl walks through a whole large table: each is explained by the database that it ran on."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from crawler.engine import Engine
from crawler.outcome import Outcome, Position
from sandbox import Sandbox, SandboxSettings
from tests.rig import Rig, VirtualClock

LARGE = {
    *("shops", "shops_dynamic", "listings", "listings_dynamic", "reviews", "image_status"),
    *("indexed_listings", "indexed_shops", "api_usage"),
}
VALUES = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b")
ALIASES = re.compile(r'"(\w+)" AS "(\w+)"')
FEW = re.compile(r"IN \((?:NULL|\d+(?:,\d+)*)\)")
A_HUNDRED = f"IN ({','.join(str(1000 + number) for number in range(100))})"
SCANNED = re.compile(r"^SCAN (\w+)")
AS_GOOD_AS_SCANNED = re.compile(r"^SEARCH (\w+) USING .*\((?:idle_count|known|last_seen_cycle)=\?\)$")


class ExplainedRig(Rig):
    """Keeps one of each kind of statement, with the state in which it was run."""

    def __init__(self, home: Path, sandbox: Sandbox, clock: VirtualClock) -> None:
        super().__init__(home, sandbox, clock)
        self.statements: dict[str, tuple[str, str]] = {}
        self._state = "TAXONOMY"

    def start(self) -> Engine:
        engine = super().start()
        database: Any = self.database
        database.connection().set_trace_callback(self._note)
        return engine

    def _note(self, statement: str) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
            kind = re.sub(r"(\?,\s*)+", "?, ", VALUES.sub("?", statement))
            self.statements.setdefault(kind, (self._state, statement))

    def _observe(self, position: Position, outcome: Outcome | None) -> None:
        self._state = position.state
        super()._observe(position, outcome)


def scans(database: sqlite3.Connection, statement: str) -> Iterator[str]:
    """Return the large tables that the statement walks through as a whole, or by an index that leaves nearly all."""
    statement = FEW.sub(A_HUNDRED, statement)
    names = {alias: table for table, alias in ALIASES.findall(statement)}
    for row in database.execute(f"EXPLAIN QUERY PLAN {statement}"):
        match = SCANNED.match(row[3]) or (None if "LIMIT" in statement else AS_GOOD_AS_SCANNED.match(row[3]))
        table = names.get(match[1], match[1]) if match else ""
        if table in LARGE:
            yield f"{row[3]} ({table})"


def test_no_statement_of_a_crawl_scans_a_large_table(tmp_path: Path) -> None:
    clock = VirtualClock()
    market = SandboxSettings(
        listings=900, shops=30, reviews_per_shop=20.0, cap=300, move_every=3, quota_per_day=60, seed=2
    )
    rig = ExplainedRig(tmp_path / "home", Sandbox(market, clock=clock.true), clock)
    for cycle in (1, 2):
        rig.run_cycle(cycle)
    rig.close()
    assert len(rig.statements) > 60
    assert {state for state, _ in rig.statements.values()} == {"TAXONOMY", "BACKFILL", "VERIFY", "REVIEWS"}
    with closing(sqlite3.connect(rig.home.data / "etsy_data.db")) as database:
        found = {
            f"{state}: {kind[:400]}": told
            for kind, (state, statement) in rig.statements.items()
            if (told := list(scans(database, statement)))
        }
        assert found == {}
        assert list(scans(database, 'SELECT COUNT(*) FROM "reviews" AS "t1"')), "the check finds nothing at all"
