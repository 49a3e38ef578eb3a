"""A consistent copy of a database that is being written, checked.

SQLite's backup call from a second connection begins anew at each commit of the writer, and under a crawl it never
ends; `VACUUM INTO` reads one moment's state, holds up no writer, and leaves a file that is compact, too.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from runtime.database import errors_in_words
from runtime.errors import OperatorNeeded
from runtime.files import sync_file
from runtime.stop import Stop

BUSY_SECONDS = 5.0
LOOK_EVERY = 200_000  # of SQLite's instructions, some milliseconds


def copy_database(source: Path, target: Path, stop: Stop) -> dict[str, int]:
    """Copy the database into a new file, check the copy, and return how many rows its tables have.

    The writer goes on meanwhile. OperatorNeeded where the copy is not sound, Stopped within a moment of a stop.
    """
    with errors_in_words(source), reading(source, stop) as database:
        before = kept_counts(database)
        database.execute("VACUUM INTO ?", (str(target),))
        after = kept_counts(database)
    descriptor = os.open(target, os.O_RDONLY)
    try:
        sync_file(descriptor)  # SQLite does not
    finally:
        os.close(descriptor)
    counts = check_database(target, stop)
    for table, least in before.items():
        if not least <= counts.get(table, 0) <= after.get(table, least):
            raise OperatorNeeded(
                f"The copy {target} has {counts.get(table, 0):,} rows of {table}; the database had {least:,} before "
                f"it was made and {after.get(table, least):,} afterwards.",
                advice="Check the disks and try again.",
            )
    return counts


def check_database(path: Path, stop: Stop, alone: bool = True) -> dict[str, int]:
    """Return how many rows each table has; OperatorNeeded where SQLite finds the file damaged.

    `alone` says that nobody writes it.
    """
    with errors_in_words(path), reading(path, stop, alone) as database:
        if not alone:
            database.execute("BEGIN")  # the rows and what the database counts itself are of one moment
        found = [row[0] for row in database.execute("PRAGMA quick_check(5)")]
        if found != ["ok"]:
            raise OperatorNeeded(f"{path} is damaged ({'; '.join(found)}).", advice="Check the disk and try again.")
        counts = count_rows(database)
        told = kept_counts(database)
    wrong = {table: number for table, number in told.items() if counts.get(table) != number}
    if wrong:
        raise OperatorNeeded(f"{path}: the rows of {', '.join(wrong)} are not as many as it says itself.")
    return counts


def count_rows(database: sqlite3.Connection) -> dict[str, int]:
    """Return how many rows each table has, by counting."""
    tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return {
        table: int(database.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()[0])
        for table in tables
        if not table.startswith("sqlite_")
    }


def kept_counts(database: sqlite3.Connection) -> dict[str, int]:
    """Return how many rows the large tables have, as the database itself keeps count; such a table only grows."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'row_counts'").fetchone():
        return {}
    rows: Mapping[str, int] = dict(database.execute("SELECT name, number FROM row_counts"))
    names = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return {name: number for name, number in rows.items() if name in names}


@contextmanager
def reading(path: Path, stop: Stop, alone: bool = False) -> Iterator[sqlite3.Connection]:
    """Open the database for looking; what runs on it ends within a moment of a stop, by Stopped.

    `alone` says that nobody writes it: nothing is made beside the file, and it may be read-only.
    """
    address = f"file:{quote(str(path))}?mode=ro{'&immutable=1' if alone else ''}"
    with closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as database:
        database.set_progress_handler(lambda: int(stop.requested()), LOOK_EVERY)
        try:
            yield database
        except sqlite3.OperationalError:
            stop.raise_if_requested()
            raise
