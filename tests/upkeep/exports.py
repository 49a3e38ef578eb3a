"""Homes to export, and what lies in an export, for the tests of both."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet as pq
from rich.console import Console

from models import CRAWLER_MODELS, MIGRATIONS
from runtime.clock import SystemClock
from runtime.database import open_database
from runtime.settings import DEFAULT_DATABASE_URL, Settings
from tests.rig import Rig, VirtualClock
from upkeep.export.snapshot import key_of, schema_of, table_of
from upkeep.export_commands import export

DAY = 86_400
LONG_AGO = SystemClock().now() - 60 * DAY  # crawled then; what lies in the future is left out of the views


def crawled(home: Path, database_url: str = DEFAULT_DATABASE_URL) -> Rig:
    rig = Rig(home, clock=VirtualClock(LONG_AGO), DATABASE_URL=database_url)
    for cycle in (1, 2, 3):
        rig.run_cycle(cycle)
        rig.sandbox.move(80)  # new, removed, sold and repriced listings
    return rig


def exported(settings: Settings, folder: Path, csv: bool = False) -> str:
    out = io.StringIO()
    assert export(settings, Console(file=out, width=200), folder, csv) == 0
    return out.getvalue()


def database_of(home: Path) -> Path:
    return home / "data" / "db" / "etsy_data.db"


def execute(home: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database_of(home), timeout=0)) as database, database:
        for statement in statements:
            database.execute(statement)


def fill(home: Path, rows: int) -> None:
    """Add a shop, a listing and so many dynamic rows of it, one a minute."""
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {rows - 1})"
    execute(
        home,
        "INSERT INTO shops (shop_id) VALUES (1)",
        "INSERT INTO listings (listing_id, snapshot_timestamp, shop_id, tags, materials, production_partners) "
        "VALUES (1, '2026-01-01T00:00:00Z', 1, '[]', '[]', '[]')",
        f"{numbers} INSERT INTO listings_dynamic (listing_id, snapshot_timestamp) "
        "SELECT 1, strftime('%Y-%m-%dT%H:%M:%SZ', 1735689600 + i * 60, 'unixepoch') FROM n",
    )


def rows_of(home: Path, model: Any) -> list[tuple[Any, ...]]:
    columns, order = (", ".join(names) for names in (schema_of(model).names, key_of(model)))
    with closing(sqlite3.connect(database_of(home))) as database:
        return database.execute(f'SELECT {columns} FROM "{table_of(model)}" ORDER BY {order}').fetchall()


def plain(value: Any) -> Any:
    return str(value) if isinstance(value, datetime) else value


def read(folder: Path, name: str) -> pa.Table:
    return pq.read_table(folder / f"{name}.parquet")


def tuples(table: pa.Table) -> list[tuple[Any, ...]]:
    return [tuple(map(plain, row.values())) for row in table.to_pylist()]


def empty_home(folder: Path) -> Path:
    """Make a home with an empty database in the folder, and return it."""
    open_database(DEFAULT_DATABASE_URL, folder, CRAWLER_MODELS, MIGRATIONS).close()
    return folder
