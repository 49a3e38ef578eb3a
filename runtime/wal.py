"""Commits are carried over from SQLite's log into the database beside the work, not within a commit.

SQLite does it by itself after every thousand pages, in the commit that fills them: at a million listings each third
batch took a tenth of a second longer for it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from peewee import Database

from runtime.database import PRAGMAS

LARGE_BYTES = 32_000_000
MOST_PAGES = 40_000  # of 4 KB; where the thread does not get to it, SQLite does it within a commit again
LOOK_SECONDS = 1.0
LOCKED_SECONDS = 0.2
END_SECONDS = 5.0
AS_SAFE = ("synchronous", "fullfsync", "checkpoint_fullfsync")


@contextmanager
def carried_over_beside(database: Database, path: Path | None) -> Iterator[None]:
    """Carry commits over in a thread while the block lasts; `path` None is a server's database, which needs none."""
    if path is None:
        yield
        return
    writer: Any = database
    writer.execute_sql(f"PRAGMA wal_autocheckpoint = {MOST_PAGES}")
    over = threading.Event()
    thread = threading.Thread(target=_carry_over, args=(path, over), name="wal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(END_SECONDS)


def _carry_over(path: Path, over: threading.Event) -> None:
    log = path.with_name(f"{path.name}-wal")
    while not over.wait(LOOK_SECONDS):
        try:
            if log.stat().st_size > LARGE_BYTES:
                checkpoint(path)
        except (OSError, sqlite3.Error):
            continue  # who writes meets it too, and says so


def checkpoint(path: Path) -> None:
    """Carry all commits over and begin the log anew; sqlite3.Error where that cannot be."""
    address = f"file:{quote(str(path))}?mode=rw"  # a file that is gone must not come out of this
    with closing(sqlite3.connect(address, uri=True, timeout=LOCKED_SECONDS)) as connection:
        for name in AS_SAFE:
            connection.execute(f"PRAGMA {name} = {PRAGMAS[name]}")
        # The first ones do it while others write, so that the last, which holds them up, has little to do.
        for way in ("PASSIVE", "PASSIVE", "TRUNCATE"):
            connection.execute(f"PRAGMA wal_checkpoint({way})").fetchall()
