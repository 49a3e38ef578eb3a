"""Moves of a test's own: small ranges, and deaths after so many of them; also a process that dies of SIGKILL."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from models import CRAWLER_MODELS, MIGRATIONS
from runtime.clock import SystemClock
from runtime.database import open_read_only
from runtime.settings import DEFAULT_DATABASE_URL, Home
from runtime.stop import Stop
from upkeep.moving.mover import Moved, Mover
from upkeep.moving.source import Source
from upkeep.moving.target import opened

CHUNK_ROWS = 40


def move(home: Path, url: str, observe: Callable[[Moved], None] = lambda moved: None) -> bool:
    """Move the home's data set in small ranges; return whether a move was taken up."""
    clock = SystemClock()
    stop = Stop(clock, Home(home).kill_files("KILL"))
    with closing(open_read_only(DEFAULT_DATABASE_URL, home, CRAWLER_MODELS)) as database:
        source = Source(database, database_file(home), MIGRATIONS)
        with opened(url, home, stop) as target:
            taken_up = target.begin(source.path, source.fingerprint())
            Mover(source, target, clock, stop, observe, CHUNK_ROWS).run()
    return taken_up


def database_file(home: Path) -> Path:
    return Home(home).data / "etsy_data.db"


def write(home: Path, query: str, *values: object) -> None:
    """Change the SQLite file by hand."""
    with closing(sqlite3.connect(database_file(home))) as connection, connection:
        connection.execute(query, values)


class After:
    """Does something at the observation of that number."""

    def __init__(self, number: int, do: Callable[[], None]) -> None:
        self.left, self.do = number, do

    def __call__(self, moved: Moved) -> None:
        self.left -= 1
        if self.left == 0:
            self.do()


def kill_myself() -> None:
    """Die as of a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    move(Path(sys.argv[1]), sys.argv[2], After(int(sys.argv[3]), kill_myself))
