"""Commits are carried over from the log into the database while others write."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from peewee import SqliteDatabase

from runtime import wal
from runtime.database import PRAGMAS

ROW = "x" * 4_000


def opened(path: Path) -> Any:
    database: Any = SqliteDatabase(str(path), pragmas=PRAGMAS)
    database.execute_sql("CREATE TABLE IF NOT EXISTS rows (text)")
    return database


def write(database: Any, count: int) -> None:
    for _ in range(count):
        database.execute_sql("INSERT INTO rows VALUES (?)", (ROW,))


def log_bytes(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


def test_a_large_log_is_carried_over_while_the_writer_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "LARGE_BYTES", 400_000)
    monkeypatch.setattr(wal, "LOOK_SECONDS", 0.01)
    path = tmp_path / "db"
    database, written = opened(path), 0
    with wal.carried_over_beside(database, path):
        while written < 100_000 and (written < 200 or log_bytes(path) > 400_000):
            write(database, 10)
            written += 10
    assert path.stat().st_size > 400_000
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT COUNT(*) FROM rows").fetchone() == (written,)
        assert other.execute("PRAGMA quick_check").fetchone() == ("ok",)
    database.close()


def test_no_commit_carries_anything_over_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "db"
    database = opened(path)
    with wal.carried_over_beside(database, path):
        write(database, 1_500)  # SQLite begins at 1,000 pages
        assert path.stat().st_size < 100_000 < log_bytes(path)
    database.close()


def test_a_reader_and_a_writer_that_hold_the_log_are_not_waited_for_long(tmp_path: Path) -> None:
    path = tmp_path / "db"
    database = opened(path)
    write(database, 20)
    with database.atomic("IMMEDIATE"):
        write(database, 1)
        wal.checkpoint(path)
    assert log_bytes(path) > 0
    wal.checkpoint(path)
    assert log_bytes(path) == 0
    database.close()


def test_a_database_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error):
        wal.checkpoint(tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []


def test_the_thread_ends_with_the_block_and_lives_through_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal, "LOOK_SECONDS", 0.001)
    path = tmp_path / "db"
    database = opened(path)
    with wal.carried_over_beside(database, path.with_name("elsewhere")):
        assert [thread.name for thread in threading.enumerate()].count("wal") == 1
        threading.Event().wait(0.05)
        assert [thread.name for thread in threading.enumerate()].count("wal") == 1
    assert "wal" not in [thread.name for thread in threading.enumerate()]
    with wal.carried_over_beside(database, None):
        assert "wal" not in [thread.name for thread in threading.enumerate()]
    database.close()
