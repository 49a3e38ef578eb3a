"""The SQLite side of a move: read in ranges, in order of the primary key; never written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from peewee import Database
from playhouse.migrations import Runner

from models import RowCount
from runtime import bulk
from runtime.database import errors_in_words
from runtime.errors import UserMistake
from upkeep.moving.tables import STATE, TABLES, Range, Table

Row = tuple[Any, ...]
log = logging.getLogger(__name__)


class Source:
    """A data set that stays as it is; the database is open for looking only.

    Texts come out as PostgreSQL takes them: without NUL, and what is no UTF-8 as U+FFFD.
    """

    def __init__(self, database: Database, path: Path, migrations: Path) -> None:
        self.path = path
        self._database = database
        opened: Any = database
        self._connection: sqlite3.Connection = opened.connection()
        _refuse_other_versions(database, path, migrations)

    def total(self) -> int:
        """Return about how many rows there are, for the display."""
        kept = dict(bulk.tuples(RowCount.select(RowCount.name, RowCount.number)))
        return sum(
            kept[table.name] if table.name in kept else int(self._one(f'SELECT COUNT(*) FROM "{table.name}"')[0])
            for table in (*TABLES, STATE)
        )

    def fingerprint(self) -> str:
        """Return what is another one after nearly every change; comparing the rows finds the rest."""
        largest = [self._one(f'SELECT MAX(rowid) FROM "{table.name}"')[0] for table in TABLES]
        told = json.dumps([largest, self.read(STATE, Range(None, None))])
        return hashlib.sha256(told.encode()).hexdigest()

    def ranges(self, table: Table, after: Any, most_rows: int) -> Iterator[Range]:
        """Yield the ranges after that key, of a little over `most_rows` rows at most where keys are not shared by many.

        The last one has no upper bound.
        """
        first = table.columns[0]
        while True:
            condition = "" if after is None else f'WHERE "{first}" > ?'
            found = self._one(
                f'SELECT "{first}" FROM "{table.name}" {condition} ORDER BY "{first}" LIMIT 1 OFFSET {most_rows - 1}',
                *(() if after is None else (after,)),
            )
            yield Range(after, found[0] if found else None)
            if found is None:
                return
            after = found[0]

    def read(self, table: Table, part: Range) -> list[Row]:
        """Return the rows of the range in order of the primary key."""
        rows = self._fetch(table, part)
        unclean = [place for place in table.texts if any(_has_nul(row[place]) for row in rows)]
        if unclean:
            log.info("%s: NUL characters in %s are left out.", table.name, ", ".join(table.columns[p] for p in unclean))
            rows = _changed(rows, unclean, _without_nul)
        return _changed(rows, table.moments, _as_moment) if table.moments else rows

    def left_out(self) -> list[str]:
        """Return the tables that are none of the crawler's and stay behind."""
        ours = {*(table.name for table in (*TABLES, STATE)), "row_counts", "schema_migration"}
        return [name for name in self._database.get_tables() if name not in ours and not name.startswith("sqlite_")]

    def _fetch(self, table: Table, part: Range) -> list[Row]:
        columns = ", ".join(f'"{name}"' for name in table.columns)
        where = " AND ".join(f'"{table.columns[0]}" {sign} ?' for sign, _ in part.bounds())
        order = ", ".join(f'"{name}"' for name in table.key)
        query = f'SELECT {columns} FROM "{table.name}" {f"WHERE {where}" if where else ""} ORDER BY {order}'
        values = [value for _, value in part.bounds()]
        with errors_in_words(self.path):
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.OperationalError as error:
                if "decode" not in str(error):
                    raise
            log.warning("%s has texts that are no UTF-8; what cannot be read becomes U+FFFD.", table.name)
            self._connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            return self._connection.execute(query, values).fetchall()

    def _one(self, query: str, *values: Any) -> Any:
        with errors_in_words(self.path):
            return self._connection.execute(query, values).fetchone()


def _refuse_other_versions(database: Database, path: Path, migrations: Path) -> None:
    for migration in Runner(database, str(migrations)).status():
        if migration.path is None:
            raise UserMistake(
                f"{path} is of a newer version of this program (it has {migration.name}).", advice="Update the program."
            )
        if not migration.applied:
            raise UserMistake(
                f"{path} is of an older version of this program (it lacks {migration.name}).",
                advice="Start `python run.py` once, which brings it up to date, stop it, then give this command again.",
            )


def _has_nul(value: Any) -> bool:
    return isinstance(value, str) and "\x00" in value


def _without_nul(value: Any) -> Any:
    return value.replace("\x00", "") if isinstance(value, str) else value


def _as_moment(value: Any) -> Any:
    with contextlib.suppress(ValueError, TypeError):
        return datetime.fromisoformat(value)
    return value  # PostgreSQL says what it thinks of it


def _changed(rows: list[Row], places: list[int] | tuple[int, ...], change: Callable[[Any], Any]) -> list[Row]:
    return [tuple(change(value) if place in places else value for place, value in enumerate(row)) for row in rows]
