"""Opening a database: pragmas, migrations, and clear words where it cannot be used."""

from __future__ import annotations

import itertools
import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from peewee import (
    Database,
    Model,
    OperationalError,
    PeeweeException,
    PostgresqlDatabase,
    SqliteDatabase,
)
from playhouse.db_url import parse
from playhouse.migrations import Runner

from runtime.errors import CrawlError, OperatorNeeded, UserMistake
from runtime.files import DISK, make_folders, trouble_in_words
from runtime.settings import Home
from runtime.stop import Stop

BUSY_SECONDS = 5  # of who only looks, until it says that the database is held by another process
LOOK_SECONDS = 1  # between two looks at whether a stop was asked for: SQLite itself sees none while it waits
LOCK_MILLISECONDS = 900  # PostgreSQL looks after a second who waits for whom
LOCKED_PAUSE_SECONDS = 0.5
TIDY_LENGTHS, SPARE_LENGTHS = 3, 12  # of the log at which SQLite by itself would carry it over
MOST_PAGES_A_CHANGE, LEAST_PAGES_A_CHANGE = 4.0, 0.1
LAST_TRIES = 2  # of what is still to be written once a stop was asked for
WORDS_AFTER, WORDS_EVERY = 2, 40  # tries; a busy disk alone is no reason to say that somebody holds the database
FULL_BYTES = 1_000_000
Written = TypeVar("Written")
log = logging.getLogger(__name__)
PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",  # a commit survives a power cut; 2.6 ms a page was measured
    "fullfsync": 1,  # macOS: plain fsync does not reach the platter
    "checkpoint_fullfsync": 1,
    "foreign_keys": 1,
    "busy_timeout": LOOK_SECONDS * 1000,
    "cache_size": -49152,  # KB
    "temp_store": "memory",
    "journal_size_limit": 67_108_864,
}


def database_path(url: str, home: Path) -> Path | None:
    """Return the SQLite file that the address names (relative to the home), None for a server."""
    if not url.startswith("sqlite:///"):
        return None
    path = Path(url.removeprefix("sqlite:///"))
    return path if path.is_absolute() else home / path


def open_database(
    url: str, home: Path, models: Sequence[type[Model]], migrations: Path, stop: Stop | None = None
) -> Database:
    """Open the database for writing, bring its tables up to date and bind the models to it.

    One that is not there is made, unless the home shows that it once was. Tables that cannot be brought up to date
    while another process holds the database are waited for where there is a `stop` to end that.
    """
    path = database_path(url, home)
    with errors_in_words(path):
        if path is None:
            database: Database = _server(url)
        else:
            _make_folder(path.parent, home)
            _refuse_if_lost(path, home)
            database = SqliteDatabase(str(path), pragmas=PRAGMAS, lock_type="IMMEDIATE")
        database.connect()
        # Binding is how Peewee models find their database; each process has one.
        database.bind(models)
        try:
            if path is not None and not database.get_tables():
                _refuse_if_lost(path, home, is_empty=True)
            _migrate(database, migrations, stop)
        except BaseException:
            database.close()
            raise
    return database


def open_read_only(url: str, home: Path, models: Sequence[type[Model]]) -> Database:
    """Open the database for looking only; a writer is never held up, and nothing is created."""
    path = database_path(url, home)
    with errors_in_words(path):
        if path is None:
            database: Database = _server(url)
        else:
            _refuse_if_lost(path, home)
            if not path.exists():
                raise UserMistake(f"There is no database at {path} yet.", advice="Start one with `python run.py`.")
            database = _open_file_read_only(path)
        database.connect(reuse_if_open=True)
        database.bind(models)
        if not database.table_exists("sync_state"):
            if path is not None and not database.get_tables():
                _refuse_if_lost(path, home, is_empty=True)
            raise UserMistake(f"{path or 'The database'} is not set up yet.", advice="Start one with `python run.py`.")
    return database


@contextmanager
def errors_in_words(path: Path | None) -> Iterator[None]:
    """Raise what the block gets to hear of the database or of a disk as one of our errors."""
    try:
        yield
    except Exception as error:
        words = in_words(error, path)
        if words is None:
            raise
        raise words from error


@contextmanager
def transaction(database: Database, stop: Stop) -> Iterator[None]:
    """Hold one transaction that has the write lock from its first moment.

    Where another process holds the lock it waits, says so, and goes on by itself; raises Stopped.
    """
    held = _begin(database, stop)
    with held:
        yield


def write_briefly(database: Database, write: Callable[[], Written]) -> Written:
    """Return what `write` returns, done in one transaction of its own beside whoever else is at work.

    Others are waited for some seconds; then OperatorNeeded, and nothing is written. In PostgreSQL each wait is shorter
    than the time after which the server ends one of two that wait for each other: it would be the crawl.
    """
    for tries in itertools.count(1):
        try:
            with database.atomic():
                _bound_waits(database)
                written = write()
        except OperationalError as error:
            if "lock" not in str(error):
                raise
            if tries >= BUSY_SECONDS:
                raise OperatorNeeded(
                    f"The database was held by another process for {BUSY_SECONDS} seconds; nothing was changed.",
                    advice="Try again. Where it stays so, close the program that has it open.",
                ) from error
        else:
            break
    return written


def _bound_waits(database: Database) -> None:
    """Have the transaction give up what it waits for; SQLite does by its busy_timeout, before the first statement."""
    execute: Any = database.execute_sql
    if isinstance(database, PostgresqlDatabase):
        execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")


class LogTidier:
    """Carries SQLite's log over into the database file between two transactions; a server has no use for it.

    SQLite itself does it within the commit that makes the log 1,000 pages long, and that one takes some 40 ms more.
    Here it is done at about three times that length: pages that each step changes are carried over once in a dozen
    steps, in half the time for all of them. How many pages a changed row makes is learned as it goes, since nothing
    tells how long the log is; where that is too few, SQLite still does it by itself, at twelve times its usual length.
    """

    def __init__(self, database: Database) -> None:
        self._database: Any = database if isinstance(database, SqliteDatabase) else None  # stubs leave much out
        self._changes = self._limit = 0
        self._pages_a_change = 1.0

    def __call__(self) -> None:
        """Carry it over where it has grown."""
        if self._database is None:
            return
        changed = int(self._database.connection().total_changes)
        if not self._limit:
            self._begin(changed)
        made = changed - self._changes
        if made * self._pages_a_change < self._limit * TIDY_LENGTHS:
            return
        _, pages, _ = self._database.execute_sql("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self._pages_a_change = min(MOST_PAGES_A_CHANGE, max(LEAST_PAGES_A_CHANGE, pages / made))
        self._changes = changed

    def _begin(self, changed: int) -> None:
        self._changes = changed
        self._limit = int(self._database.execute_sql("PRAGMA wal_autocheckpoint").fetchone()[0])
        self._database.execute_sql(f"PRAGMA wal_autocheckpoint = {self._limit * SPARE_LENGTHS}")


def _begin(database: Database, stop: Stop) -> ExitStack:
    """Return the open transaction; the SQLite database was opened with lock_type IMMEDIATE."""
    for tries in itertools.count(1):
        stack = ExitStack()
        try:
            stack.enter_context(database.atomic())
        except OperationalError as error:
            _wait_while_locked(error, tries, stop)
        else:
            break
    return stack


def _wait_while_locked(error: Exception, tries: int, stop: Stop) -> None:
    """Wait a moment, and say so now and then; Stopped, and the error itself where it is another one."""
    if "locked" not in str(error):
        raise error
    if tries % WORDS_EVERY == WORDS_AFTER:
        log.warning("The database is held by another process; waiting for it.")
    if tries >= LAST_TRIES or not stop.is_known():
        stop.pause(LOCKED_PAUSE_SECONDS)


def in_words(error: BaseException, path: Path | None) -> CrawlError | None:
    """Return an error of the database or of a disk as one of ours, with what to do; None where it is none of these.

    What a statement of ours gets wrong is none of these.
    """
    if isinstance(error, OSError):
        return trouble_in_words(error) if error.errno in DISK else None
    if not isinstance(error, PeeweeException | sqlite3.Error) or type(error).__name__ in OURS:
        return None
    where = path or "The database server"
    cause: BaseException | None = error
    while cause is not None:  # a rollback that fails on a full disk hides why the disk is full
        for sign, sentence, advice in ADVICE:
            if sign in str(cause).lower():
                if sign in DOUBTFUL and path is not None and _is_full(path.parent):
                    sentence, advice = FULL
                return OperatorNeeded(f"{sentence.format(where=where)} ({cause}).", advice=advice.format(where=where))
        cause = cause.__cause__ or cause.__context__
    return OperatorNeeded(f"{where}: {error}.", advice="Nothing was changed; mend this, then start again.")


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < FULL_BYTES
    except OSError:
        return False


def _make_folder(folder: Path, home: Path) -> None:
    """Make the database's folder in the home; one that is elsewhere must be there: its disk may not be mounted."""
    if folder.is_relative_to(home):
        make_folders(folder, home)
    elif not folder.is_dir():
        raise OperatorNeeded(
            f"There is no folder {folder}, where DATABASE_URL says that the database is.",
            advice="Is its disk mounted? For a new database make the folder, then start again.",
        )


def _refuse_if_lost(path: Path, home: Path, is_empty: bool = False) -> None:
    """Raise OperatorNeeded where the database is gone or empty, though the home was crawled before."""
    if path.exists() and path.stat().st_size and not is_empty:
        return
    log_of_commits = path.with_name(f"{path.name}-wal")
    found = Home(home).traces() + ([log_of_commits] if not is_empty and log_of_commits.exists() else [])
    if found:
        names = " and ".join(map(str, found))
        raise OperatorNeeded(
            f"{'The database ' + str(path) + ' is empty' if path.exists() else f'There is no database at {path}'}, "
            f"though this home was crawled before: {names} {'is' if len(found) == 1 else 'are'} there.",
            advice="Is its disk mounted? Put the database back, with the -wal file beside it if there is one; "
            f"or, to begin anew, move {names} away.",
        )


FULL = ("The disk of {where} is full", "Free some space, then start again: it goes on where it was.")
DAMAGED = (
    "Nothing is written to it any more. Put a copy of it back, without the -wal and -shm files of this one; "
    "or, to begin anew, move these three files away and the folders data, checkpoints and images of the home, too."
)
OURS = ("IntegrityError", "ProgrammingError", "DataError", "NotSupportedError")  # of Peewee and of its drivers
DOUBTFUL = ("unable to open", "i/o error")  # SQLite says so too where the disk is full
ADVICE = (
    ("full", *FULL),
    ("readonly", "{where} may not be written", "Make the file and its folder writable, then start again."),
    ("malformed", "{where} is damaged", DAMAGED),
    ("not a database", "{where} is no SQLite database", DAMAGED),
    ("locked", "{where} is held by another process", "Close the other program, then start again."),
    ("unable to open", "{where} cannot be opened", "Check that the folder is there and writable, then start again."),
    ("i/o error", "{where} cannot be read or written", "Check the disk, then start again."),
    ("no such table", "{where} has not been set up yet", "Start `python run.py` once."),
)


def _open_file_read_only(path: Path) -> Database:
    """Open the file for looking; on a disk that cannot be written, as one that nobody else can write either."""
    address = f"file:{quote(str(path))}?mode=ro"  # a folder may be named a#b or 100%
    database = SqliteDatabase(address, uri=True, timeout=BUSY_SECONDS)
    try:
        database.connect()
        database.table_exists("sync_state")
    except (PeeweeException, sqlite3.Error) as error:
        database.close()
        if "locked" in str(error):
            raise
        if not path.with_name(f"{path.name}-wal").exists():
            return SqliteDatabase(f"{address}&immutable=1", uri=True, timeout=BUSY_SECONDS)
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


def _migrate(database: Database, folder: Path, stop: Stop | None) -> None:
    runner = Runner(database, str(folder))
    for tries in itertools.count(1):
        told = runner.status()
        unknown = [migration.name for migration in told if migration.path is None]
        if unknown:
            raise UserMistake(
                f"The database is of a newer version of this program (it has {', '.join(unknown)}).",
                advice="Update the program; nothing was changed.",
            )
        if all(migration.applied for migration in told):
            return
        try:
            runner.up()
        except OperationalError as error:
            # Somebody who began at the same moment may have done it meanwhile.
            if runner.status() == told:
                if stop is None:
                    raise
                _wait_while_locked(error, tries, stop)
