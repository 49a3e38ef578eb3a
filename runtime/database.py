"""Opening a database: pragmas, migrations, and clear words where it cannot be used."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from peewee import Database, Model, OperationalError, PeeweeException, PostgresqlDatabase, SqliteDatabase
from playhouse.db_url import parse
from playhouse.migrations import Runner

from runtime.errors import CrawlError, OperatorNeeded, UserMistake
from runtime.stop import Stop

BUSY_SECONDS = 5  # between two looks at whether a stop was asked for
LOCKED_PAUSE_SECONDS = 1.0
log = logging.getLogger(__name__)
PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",  # a commit survives a power cut; 2.6 ms a page was measured
    "fullfsync": 1,  # macOS: plain fsync does not reach the platter
    "checkpoint_fullfsync": 1,
    "foreign_keys": 1,
    "busy_timeout": BUSY_SECONDS * 1000,
    "cache_size": -65536,
    "temp_store": "memory",
    "journal_size_limit": 67_108_864,
}


def database_path(url: str, home: Path) -> Path | None:
    """Return the SQLite file that the address names (relative to the home), None for a server."""
    if not url.startswith("sqlite:///"):
        return None
    path = Path(url.removeprefix("sqlite:///"))
    return path if path.is_absolute() else home / path


def open_database(url: str, home: Path, models: Sequence[type[Model]], migrations: Path) -> Database:
    """Open the database for writing, bring its tables up to date and bind the models to it."""
    path = database_path(url, home)
    try:
        if path is None:
            database: Database = _server(url)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            database = SqliteDatabase(str(path), pragmas=PRAGMAS, timeout=BUSY_SECONDS, lock_type="IMMEDIATE")
        database.connect()
        # Binding is how Peewee models find their database; each process has one.
        database.bind(models)
        _migrate(database, migrations)
    except (PeeweeException, sqlite3.Error, OSError) as error:
        raise in_words(error, path) from error
    return database


def open_read_only(url: str, home: Path, models: Sequence[type[Model]]) -> Database:
    """Open the database for looking only; a writer is never held up, and nothing is created."""
    path = database_path(url, home)
    if path is None:
        database: Database = _server(url)
    elif not path.exists():
        raise UserMistake(f"There is no database at {path} yet.", advice="Start one with `python run.py`.")
    else:
        database = _open_file_read_only(path)
    try:
        database.connect(reuse_if_open=True)
        database.bind(models)
        if not database.table_exists("sync_state"):
            raise UserMistake(f"{path or 'The database'} is not set up yet.", advice="Start one with `python run.py`.")
    except (PeeweeException, sqlite3.Error) as error:
        raise in_words(error, path) from error
    return database


@contextmanager
def transaction(database: Database, stop: Stop) -> Iterator[None]:
    """Hold one transaction that has the write lock from its first moment.

    Where another process holds the lock it waits, says so, and goes on by itself; raises Stopped.
    """
    held = _begin(database, stop)
    with held:
        yield


def _begin(database: Database, stop: Stop) -> ExitStack:
    """Return the open transaction; the SQLite database was opened with lock_type IMMEDIATE."""
    while True:
        stack = ExitStack()
        try:
            stack.enter_context(database.atomic())
            return stack
        except OperationalError as error:
            if "locked" not in str(error):
                raise
            log.warning("The database is held by another process; waiting for it.")
            stop.pause(LOCKED_PAUSE_SECONDS)


def in_words(error: Exception, path: Path | None) -> CrawlError:
    """Return a database's error as one of ours, with what to do."""
    where = path or "The database server"
    cause: BaseException | None = error
    while cause is not None:  # a rollback that fails on a full disk hides why the disk is full
        for sign, sentence, advice in ADVICE:
            if sign in str(cause).lower():
                return OperatorNeeded(f"{sentence.format(where=where)} ({cause}).", advice=advice)
        cause = cause.__cause__ or cause.__context__
    return OperatorNeeded(f"{where}: {error}.", advice="Nothing was changed; mend this, then start again.")


ADVICE = (
    (
        "full",
        "The disk of {where} is full",
        "Free some space, then start again: it goes on where it was.",
    ),
    (
        "readonly",
        "{where} may not be written",
        "Make the file and its folder writable, then start again.",
    ),
    (
        "malformed",
        "{where} is damaged",
        "Nothing was changed. Restore a copy of it, or move it away to begin anew.",
    ),
    (
        "not a database",
        "{where} is no SQLite database",
        "Nothing was changed. Restore a copy of it, or move it away to begin anew.",
    ),
    ("locked", "{where} is held by another process", "Close the other program, then start again."),
    ("unable to open", "{where} cannot be opened", "Check that the folder is there and writable."),
    ("i/o error", "{where} cannot be read or written", "Check the disk, then start again."),
    ("no such table", "{where} has not been set up yet", "Start `python run.py` once."),
)


def _open_file_read_only(path: Path) -> Database:
    """Open the file for looking; on a disk that cannot be written, as one that nobody else can write either."""
    database = SqliteDatabase(f"file:{path}?mode=ro", uri=True, timeout=BUSY_SECONDS)
    try:
        database.connect()
        database.table_exists("sync_state")
    except (PeeweeException, sqlite3.Error):
        database.close()
        if not path.with_name(f"{path.name}-wal").exists():
            return SqliteDatabase(f"file:{path}?mode=ro&immutable=1", uri=True, timeout=BUSY_SECONDS)
    return database


def _server(url: str) -> Database:
    try:
        options = parse(url)
    except Exception as error:
        raise UserMistake("DATABASE_URL cannot be understood.", advice="See the README for an example.") from error
    try:
        return PostgresqlDatabase(prefer_psycopg3=True, **options)
    except Exception as error:  # Peewee says ImproperlyConfigured or ImportError, by version
        raise UserMistake(
            "PostgreSQL needs psycopg.",
            advice="Run `pip install -r requirements-postgres.txt`, then start again.",
        ) from error


def _migrate(database: Database, folder: Path) -> None:
    runner = Runner(database, str(folder))
    unknown = [migration.name for migration in runner.status() if migration.path is None]
    if unknown:
        raise UserMistake(
            f"The database is of a newer version of this program (it has {', '.join(unknown)}).",
            advice="Update the program; nothing was changed.",
        )
    runner.up()
