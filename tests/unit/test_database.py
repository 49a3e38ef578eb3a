"""A database that is lost, locked or damaged: words that say what to do, and never a silent new one."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from peewee import Database, DatabaseError, IntegrityError, OperationalError, ProgrammingError

from models import CRAWLER_MODELS, MIGRATIONS
from runtime.database import in_words, open_database, open_read_only, transaction, write_briefly
from runtime.errors import OperatorNeeded, Stopped, UserMistake
from runtime.settings import DEFAULT_DATABASE_URL
from runtime.stop import Stop
from tests.rig import VirtualClock

PATH = Path("/home/crawl/etsy_data.db")


def begin(home: Path, stop: Stop | None = None, url: str = DEFAULT_DATABASE_URL) -> Database:
    return open_database(url, home, CRAWLER_MODELS, MIGRATIONS, stop)


def database_of(home: Path) -> Path:
    return home / "data" / "db" / "etsy_data.db"


# Never a silent new one


def leave_ids(home: Path) -> Path:
    path = home / "data" / "db" / "furniture_taxonomy_ids.json"
    path.write_text("[967]", encoding="utf-8")
    return path


def leave_report(home: Path) -> Path:
    path = home / "checkpoints" / "audit-cycle-1-0.json"
    path.parent.mkdir()
    path.write_text("{}", encoding="utf-8")
    return path.parent


def leave_picture(home: Path) -> Path:
    path = home / "images" / "imagedownload"
    (path / "789").mkdir(parents=True)
    return path


def leave_log(home: Path) -> Path:
    path = database_of(home).with_name("etsy_data.db-wal")
    path.write_bytes(b"commits")
    return path


def lose(path: Path, how: str) -> None:
    path.unlink()
    if how == "0 bytes":
        path.touch()
    if how == "no tables":
        with closing(sqlite3.connect(path)) as blank:
            blank.execute("PRAGMA journal_mode = wal")


@pytest.mark.parametrize("how", ["gone", "0 bytes", "no tables"])
@pytest.mark.parametrize("leave", [leave_ids, leave_report, leave_picture, leave_log])
def test_a_home_that_shows_that_it_was_crawled_gets_no_new_database(
    tmp_path: Path, leave: Callable[[Path], Path], how: str
) -> None:
    """Where what the words name is moved away, it does."""
    begin(tmp_path).close()
    path = database_of(tmp_path)
    lose(path, how)
    trace = leave(tmp_path)
    if (how, leave) == ("no tables", leave_log):
        return  # to SQLite, the log is that of this very file: whether it is believed is its business
    before = sorted(tmp_path.rglob("*"))
    for look in (begin, lambda home: open_read_only(DEFAULT_DATABASE_URL, home, CRAWLER_MODELS)):
        with pytest.raises(OperatorNeeded, match="though this home was crawled before") as refused:
            look(tmp_path)
        assert str(path) in str(refused.value) and "Put the database back" in refused.value.advice
        assert f"move {trace} away" in refused.value.advice
    assert [name for name in sorted(tmp_path.rglob("*")) if not name.name.endswith(("-shm", "-wal"))] == [
        name for name in before if not name.name.endswith("-wal")
    ]
    trace.rename(tmp_path / "away")
    begin(tmp_path).close()


@pytest.mark.parametrize("how", ["gone", "0 bytes", "no tables"])
def test_a_home_without_a_trace_gets_one(tmp_path: Path, how: str) -> None:
    """A kill at the very first start leaves a file of nothing."""
    begin(tmp_path).close()
    lose(database_of(tmp_path), how)
    begin(tmp_path).close()


def test_a_folder_elsewhere_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "disk"
    home.mkdir()
    with pytest.raises(OperatorNeeded, match="There is no folder") as refused:
        begin(home, url=f"sqlite:///{folder}/market.db")
    assert "Is its disk mounted?" in refused.value.advice
    assert not folder.exists()
    folder.mkdir()
    begin(home, url=f"sqlite:///{folder}/market.db").close()


# Held by others


class Holder:
    """Another connection that holds the write lock until somebody has waited for it a while."""

    def __init__(self, path: Path, clock: VirtualClock, waits: int) -> None:
        self._other = sqlite3.connect(path, isolation_level=None)
        self._other.execute("BEGIN IMMEDIATE")
        self._waits = waits
        wait = clock.wait

        def note(event: Any, seconds: float) -> bool:
            self._waits -= 1
            if self._waits == 0:
                self._other.close()
            return wait(event, seconds)

        clock.wait = note  # type: ignore[method-assign]

    def close(self) -> None:
        self._other.close()


def test_a_transaction_waits_for_who_holds_the_database_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database, clock = begin(tmp_path), VirtualClock()
    stop = Stop(clock, (tmp_path / "KILL",))
    holder = Holder(database_of(tmp_path), clock, waits=8)
    with transaction(database, stop):
        database.execute_sql("INSERT INTO sync_state (key, value) VALUES ('a', '1')")  # type: ignore[no-untyped-call]
    assert caplog.text.count("held by another process; waiting for it") == 1
    holder.close()
    database.close()


def test_a_stop_ends_the_wait_and_what_comes_after_it_is_tried_once_more(tmp_path: Path) -> None:
    database, clock = begin(tmp_path), VirtualClock()
    stop = Stop(clock, (tmp_path / "KILL",))
    holder = Holder(database_of(tmp_path), clock, waits=1_000)
    (tmp_path / "KILL").touch()
    with pytest.raises(Stopped), transaction(database, stop):
        pass
    assert stop.is_known()
    holder.close()
    with transaction(database, stop):  # the rest is written down though the stop is known
        pass
    database.close()


def test_tables_are_brought_up_to_date_once_nobody_holds_the_database(tmp_path: Path) -> None:
    path, clock = database_of(tmp_path), VirtualClock()
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as first:
        first.execute("PRAGMA journal_mode = wal")
    holder = Holder(path, clock, waits=2)
    begin(tmp_path, Stop(clock, ())).close()
    holder.close()


def test_looking_at_a_database_that_is_kept_from_readers_is_refused_not_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot change may be read without locks; one that is held may change at any moment."""
    monkeypatch.setattr("runtime.database.BUSY_SECONDS", 0)
    begin(tmp_path).close()
    with closing(sqlite3.connect(database_of(tmp_path), isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = delete")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OperatorNeeded, match="held by another process"):
            open_read_only(DEFAULT_DATABASE_URL, tmp_path, CRAWLER_MODELS)


# Words


@pytest.mark.parametrize(
    ("said", "words", "advice"),
    [
        ("database or disk is full", "is full", "Free some space"),
        ("attempt to write a readonly database", "may not be written", "writable"),
        ("database disk image is malformed", "is damaged", "Put a copy of it back"),
        ("file is not a database", "no SQLite database", "Put a copy of it back"),
        ("database is locked", "held by another process", "Close the other program"),
        ("disk I/O error", "cannot be read or written", "Check the disk"),
        ("unable to open database file", "cannot be opened", "Check that the folder"),
        ("something new", f"{PATH}: something new", "mend this"),
    ],
)
@pytest.mark.parametrize("kind", [OperationalError, DatabaseError, sqlite3.DatabaseError])
def test_what_the_database_says_becomes_words(kind: type[Exception], said: str, words: str, advice: str) -> None:
    """Peewee lets through what SQLite says while rows are read."""
    told = in_words(kind(said), PATH)
    assert isinstance(told, OperatorNeeded)
    assert words in str(told) and advice in told.advice


def test_what_a_rollback_says_does_not_hide_why_it_was_needed() -> None:
    error = OperationalError("cannot rollback - no transaction is active")
    error.__context__ = OperationalError("database or disk is full")
    assert "is full" in str(in_words(error, PATH))


@pytest.mark.parametrize(
    "error",
    [
        IntegrityError("UNIQUE constraint failed"),
        ProgrammingError("syntax"),
        sqlite3.IntegrityError("FOREIGN KEY"),
        ValueError("x"),
        OSError("without a number"),
        UserMistake("ours already"),
    ],
)
def test_a_mistake_of_ours_is_no_trouble_of_the_machine(error: Exception) -> None:
    assert in_words(error, PATH) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EACCES, errno.ESTALE])
def test_an_error_of_a_disk_anywhere_is_one_of_the_machine(number: int) -> None:
    told = in_words(OSError(number, os.strerror(number), "/home/crawl/images"), PATH)
    assert isinstance(told, OperatorNeeded) and "/home/crawl/images cannot be used" in str(told)


# A word beside a crawl


def test_a_brief_write_waits_for_who_holds_the_database_and_says_so_where_that_takes_too_long(tmp_path: Path) -> None:
    database: Any = begin(tmp_path)
    database.execute_sql("PRAGMA busy_timeout = 1")
    statement = "INSERT INTO sync_state (key, value) VALUES ('k', 'v')"
    with closing(sqlite3.connect(database_of(tmp_path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperatorNeeded) as needed:
            write_briefly(database, lambda: database.execute_sql(statement))
        assert "held by another process for 5 seconds; nothing was changed. Try again." in needed.value.words()
        other.execute("ROLLBACK")
    assert write_briefly(database, lambda: database.execute_sql(statement).rowcount) == 1
    database.close()


def test_a_brief_write_that_fails_writes_nothing(tmp_path: Path) -> None:
    database: Any = begin(tmp_path)

    def write() -> None:
        database.execute_sql("INSERT INTO sync_state (key, value) VALUES ('k', 'v')")
        raise UserMistake("no")

    with pytest.raises(UserMistake):
        write_briefly(database, write)
    assert database.execute_sql("SELECT COUNT(*) FROM sync_state").fetchone() == (0,)
    database.close()
