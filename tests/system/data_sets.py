"""The database of a crawler under test, as another program sees it: a SQLite file, or a PostgreSQL database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import psycopg

from runtime.settings import DEFAULT_DATABASE_URL
from tests.postgresql import new_database
from tests.waiting import eventually

Row = tuple[Any, ...]
NOT_YET = (sqlite3.OperationalError, psycopg.errors.UndefinedTable)
"""What one hears of a file or a table that is not there yet."""


class DataSet(Protocol):
    """Looks at a database and changes it by hand; queries are written as SQLite takes them, with ? for values."""

    url: str

    def rows(self, query: str, *values: Any) -> list[Row]: ...

    def write(self, query: str, *values: Any) -> None: ...

    def tables(self) -> list[str]: ...

    def columns(self, table: str) -> list[str]: ...

    def earlier(self, column: str) -> str:
        """Return the expression, with ? for seconds, of a moment so long before the column's, kept as a text."""
        ...

    def faults(self) -> list[Any]:
        """Have the database look through all that it holds; return what it finds wrong."""
        ...

    def settle(self, life: str) -> None:
        """Wait until the database has done, or dropped, what this killed process had sent it."""
        ...


Databases = Callable[[Path, "DataSet | None"], DataSet]
"""Gives a database for a home, a copy of another one where that is given."""


class SqliteFile:
    """The file in the home, where the crawler looks without a setting."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = DEFAULT_DATABASE_URL

    def rows(self, query: str, *values: Any) -> list[Row]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5)) as connection:
            return connection.execute(query, values).fetchall()

    def write(self, query: str, *values: Any) -> None:
        with closing(sqlite3.connect(self.path, timeout=5)) as connection, connection:
            connection.execute(query, values)

    def tables(self) -> list[str]:
        return [name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]

    def columns(self, table: str) -> list[str]:
        return [row[1] for row in self.rows(f"PRAGMA table_info({table})")]

    def earlier(self, column: str) -> str:
        return f"strftime('%Y-%m-%dT%H:%M:%SZ', {column}, -? || ' seconds')"

    def faults(self) -> list[Any]:
        found = [row for row in self.rows("PRAGMA integrity_check") if row != ("ok",)]
        return found + self.rows("PRAGMA foreign_key_check")

    def settle(self, life: str) -> None:
        """Nothing is under way: the dead process itself was the database."""


class PostgresqlDatabase:
    """A database of its own on the tests' server."""

    def __init__(self, name: str, url: str) -> None:
        self.name, self.url = name, url

    def rows(self, query: str, *values: Any) -> list[Row]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(_as_postgresql(query), values).fetchall()

    def write(self, query: str, *values: Any) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(_as_postgresql(query), values)

    def tables(self) -> list[str]:
        return [name for (name,) in self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]

    def columns(self, table: str) -> list[str]:
        query = "SELECT column_name FROM information_schema.columns WHERE table_name = ? ORDER BY ordinal_position"
        return [name for (name,) in self.rows(query, table)]

    def earlier(self, column: str) -> str:
        return f"to_char({column}::timestamp - ? * interval '1 second', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"

    def faults(self) -> list[Any]:
        return []  # the server holds its keys itself

    def settle(self, life: str) -> None:
        query = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = ?"
        assert eventually(lambda: self.rows(query, life) == [(0,)], 30.0), f"the server still serves {life}"


def sqlite_files(path: Path, like: DataSet | None) -> DataSet:
    """Give the file; that of a copied home is copied with it."""
    return SqliteFile(path)


class PostgresqlServer:
    """Gives each crawler a database of its own."""

    def __init__(self, url: str) -> None:
        self._url, self._number = url, 0

    def __call__(self, path: Path, like: DataSet | None) -> DataSet:
        self._number += 1
        name = f"crawl_{self._number}"
        template = like.name if isinstance(like, PostgresqlDatabase) else ""
        return PostgresqlDatabase(name, new_database(self._url, name, template))


def _as_postgresql(query: str) -> bytes:
    return query.replace("%", "%%").replace("?", "%s").encode()
