"""The PostgreSQL side of a move: what it may hold before, rows in by COPY, how far it is, the end.

How far the move is stands in a table of the target, `moving`, which goes with the last transaction. It is written
in the same transaction as the rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from peewee import Database, DataError, IntegrityError, Model, ProgrammingError, TextField

from models import CRAWLER_MODELS, MIGRATIONS, SyncState
from runtime.bulk import EXCEPTIONS
from runtime.database import open_database
from runtime.errors import AlreadyRunning, UserMistake
from runtime.stop import Stop
from upkeep.moving.tables import STATE, TABLES, Range, Table

LOCK = 7_305_420_117_652_118  # any number that no other program of the server locks
LOCK_TRIES, LOCK_PAUSE_SECONDS = 20, 0.5  # the server frees the lock of a killed process when it notices
MOVED = "moved_from"
PASSWORD = re.compile(r"(?<=[?&])password=[^&]*&?")
Row = tuple[Any, ...]


class Moving(Model):
    """How far the move is: by the table's name a Standing, by "source" what is moved."""

    key = TextField(primary_key=True)
    value = TextField()

    class Meta:
        table_name = "moving"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a table is: the first column of the last key copied, the rows so far, and whether that is all."""

    after: Any = None
    rows: int = 0
    done: bool = False


class Target:
    """A database that is filled, or that was."""

    def __init__(self, database: Database) -> None:
        self._database: Any = database  # Peewee's type stubs do not know what its connection is

    # What it holds

    def moved_at(self, source: Path) -> str | None:
        """Return when a move of this source ended here, None where it did not."""
        if self._is_moving():
            return None
        row = SyncState.get_or_none(SyncState.key == MOVED)
        told = {} if row is None else json.loads(row.value)
        return str(told["at"]) if told.get("path") == str(source) else None

    def begin(self, source: Path, fingerprint: str) -> bool:
        """Make ready, or take up a move of this source; return whether one was taken up.

        A move whose source has changed since starts over. UserMistake where the database holds anything else.
        """
        told = {"path": str(source), "fingerprint": fingerprint}
        if not self._is_moving():
            self._refuse_rows([*TABLES, STATE], "It holds rows already, which no move of this data set put there.")
            with self._database.atomic():
                Moving.create_table(safe=False)
                self._save("source", told)
            return False
        before = json.loads(Moving.get_by_id("source").value)
        if before["path"] != str(source):
            raise UserMistake(
                f"It holds a half-done move of another data set, {before['path']}.", advice="Give it an empty database."
            )
        self._refuse_rows([STATE], "A crawl was begun in it before the move was done.")
        if before != told:
            self._start_over(told)
            return False
        return True

    def standing(self, table: Table) -> Standing:
        """Return how far the table is."""
        row = Moving.get_or_none(Moving.key == table.name)
        return Standing() if row is None else Standing(**json.loads(row.value))

    def read(self, table: Table, part: Range) -> list[Row]:
        """Return the rows of the range in order of the primary key, as bytes are ordered."""
        first = f'"{table.columns[0]}"' + (' COLLATE "C"' if table.begins_with_text else "")
        where = " AND ".join(f"{first} {sign} %s" for sign, _ in part.bounds())
        texts = {table.columns[place] for place in table.texts}
        order = ", ".join(f'"{name}"' + (' COLLATE "C"' if name in texts else "") for name in table.key)
        query = f'SELECT {_listed(table)} FROM "{table.name}" {f"WHERE {where}" if where else ""} ORDER BY {order}'
        rows: list[Row] = self._database.execute_sql(query, [value for _, value in part.bounds()]).fetchall()
        return rows

    # What changes it

    def add(self, table: Table, rows: Sequence[Row], standing: Standing) -> None:
        """Store the rows and, in the same transaction, how far that is."""
        with self._database.atomic():
            self._copy(table, rows)
            self._save(table.name, asdict(standing))
        if standing.done:
            self._database.execute_sql(f'ANALYZE "{table.name}"')  # what the planner knows of the table

    def forget(self) -> None:
        """Have the next move start over: what was copied is not what the source holds."""
        with self._database.atomic():
            self._save("source", {**json.loads(Moving.get_by_id("source").value), "fingerprint": ""})

    def finish(self, rows: Sequence[Row], source: Path, at: str) -> None:
        """Store where the crawl stands, count on from the largest numbers, and forget how the move went."""
        moved = (MOVED, json.dumps({"path": str(source), "at": at}, ensure_ascii=False))
        with self._database.atomic():
            self._copy(STATE, [*(row for row in rows if row[0] != MOVED), moved])
            for table in TABLES:
                if table.counter:
                    self._count_on(table.name, table.counter)
            Moving.drop_table(safe=False)

    def _copy(self, table: Table, rows: Sequence[Row]) -> None:
        connection = self._database.connection()
        try:
            with (
                EXCEPTIONS,
                connection.cursor() as cursor,
                cursor.copy(f'COPY "{table.name}" ({_listed(table)}) FROM STDIN') as copy,
            ):
                for row in rows:
                    copy.write_row(row)
        except (DataError, IntegrityError) as error:
            raise UserMistake(
                f"PostgreSQL does not take a row of the table {table.name}: {' '.join(str(error).split())}.",
                advice="Mend it in the SQLite file (keep a copy), then give the same command again.",
            ) from error

    def _count_on(self, name: str, counter: str) -> None:
        self._database.execute_sql(
            f"SELECT setval(pg_get_serial_sequence('{name}', '{counter}'), "
            f'MAX("{counter}")) FROM "{name}" HAVING MAX("{counter}") IS NOT NULL'
        )

    def _start_over(self, told: dict[str, str]) -> None:
        with self._database.atomic():
            names = ", ".join(f'"{table.name}"' for table in TABLES)
            self._database.execute_sql(f"TRUNCATE {names}")
            Moving.delete().execute()
            self._save("source", told)

    def _save(self, key: str, value: dict[str, Any]) -> None:
        text = json.dumps(value)
        Moving.insert(key=key, value=text).on_conflict(conflict_target=[Moving.key], preserve=[Moving.value]).execute()

    def _is_moving(self) -> bool:
        return bool(self._database.table_exists("moving"))

    def _refuse_rows(self, tables: Sequence[Table], words: str) -> None:
        for table in tables:
            if self._database.execute_sql(f'SELECT 1 FROM "{table.name}" LIMIT 1').fetchone():
                raise UserMistake(f"The database is not empty. {words}", advice="Give it an empty database.")


@contextmanager
def opened(url: str, home: Path, stop: Stop) -> Iterator[Target]:
    """Open the database for one move at a time, its tables made; the models are bound to it meanwhile."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise UserMistake(
            "A data set is moved to PostgreSQL: the address starts with postgresql://.",
            advice="For example: python run.py migrate-database postgresql://crawler@localhost/furniture",
        )
    models: list[type[Model]] = [*CRAWLER_MODELS, Moving]
    try:
        database = open_database(url, home, models, MIGRATIONS, stop)
    except ProgrammingError as error:
        raise UserMistake(
            f"Our tables cannot be made there ({' '.join(str(error).split())}).", advice="Give it an empty database."
        ) from error
    try:
        _lock(database, stop)
        yield Target(database)
    finally:
        database.close()


def without_password(url: str) -> str:
    """Return the address as it may be shown."""
    password = urlsplit(url).password
    plain = url.replace(f":{password}@", "@", 1) if password else url
    return PASSWORD.sub("", plain)


def _lock(database: Any, stop: Stop) -> None:
    for _ in range(LOCK_TRIES):
        if database.execute_sql(f"SELECT pg_try_advisory_lock({LOCK})").fetchone()[0]:
            return
        stop.pause(LOCK_PAUSE_SECONDS)
    raise AlreadyRunning("Another move to this database is under way.", advice="Wait for its end.")


def _listed(table: Table) -> str:
    return ", ".join(f'"{name}"' for name in table.columns)
