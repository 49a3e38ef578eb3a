"""The points at which a run can die, and what a death there leaves on the disk.

A point lies before each statement, commit, request and change of a file, and after commits and requests. Where a
file has changed between two points, what a death inside that change leaves is made up from its bytes before and
after it: the first frames of a commit, the first pages of a checkpoint, half a file. So nothing changes unseen.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.clock import DAY_SECONDS
from runtime.instance import at_work_on
from runtime.settings import Home
from tests.rig import VirtualClock

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("rename", "remove", "mkdir", "rmdir", "chmod", "utime", "truncate", "link", "symlink")
WAL_HEADER, FRAME_HEADER, PAGE_SIZE_AT = 32, 24, 8
UNREAD = re.compile(r"logs/.*|.*-shm|state/calls-\w+\.(?!json).*")
"""What no later life reads: logs; a -shm, which whoever opens the database first makes anew; slots not yet renamed."""
DATABASE = "data/db/etsy_data.db"
MOMENTS = {"until", "at", "not_before", "remaining", "per_second", "snapshot_timestamp", "applied"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
MOST_DIFFERENCES, LONGEST_LINE = 5, 300


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a life that went on after a death ended: where it differs from the calm run, and its requests too many."""

    differences: list[str]
    extra: int = 0
    deaths: int = 1


# What lies on the disk


@dataclass(frozen=True, slots=True)
class Kept:
    """One file."""

    content: bytes
    digest: bytes
    mtime_ns: int

    @classmethod
    def of(cls, content: bytes, mtime_ns: int = 0) -> Kept:
        return cls(content, hashlib.blake2b(content, digest_size=16).digest(), mtime_ns)


@dataclass(frozen=True, slots=True)
class Remains:
    """Everything below a home, by its path there."""

    files: Mapping[str, Kept]
    folders: frozenset[str]

    @classmethod
    def of(cls, home: Path, before: Remains | None = None) -> Remains:
        """Return what lies there now; what has not changed is taken from `before`, which saves its digest."""
        files: dict[str, Kept] = {}
        folders: set[str] = set()
        known = before.files if before else {}
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            with os.scandir(home / folder) as entries:
                for entry in entries:
                    name = f"{folder}{entry.name}"
                    if entry.is_dir():
                        folders.add(name)
                        waiting.append(f"{name}/")
                    else:
                        files[name] = _read(entry, known.get(name))
        return cls(files, frozenset(folders))

    def put(self, home: Path) -> None:
        """Make a home of it."""
        home.mkdir()
        for folder in sorted(self.folders):
            (home / folder).mkdir()
        for name, kept in self.files.items():
            path = home / name
            path.write_bytes(kept.content)
            os.utime(path, ns=(kept.mtime_ns, kept.mtime_ns))

    def content(self, name: str) -> bytes | None:
        """Return a file's bytes, None where there is no such file."""
        kept = self.files.get(name)
        return None if kept is None else kept.content

    def but(self, **contents: bytes | None) -> Remains:
        """Return the same with these files' bytes, None for those that are not there."""
        files = {name: kept for name, kept in self.files.items() if name not in contents}
        for name, content in contents.items():
            if content is not None:
                was = self.files.get(name)
                files[name] = Kept.of(content, was.mtime_ns if was else 0)
        return Remains(files, self.folders)

    def key(self) -> Hashable:
        """Return what two remains have in common if and only if the next life finds the same."""
        found = hashlib.blake2b(digest_size=16)
        for name in sorted(self.files):
            kept = self.files[name]
            second = kept.mtime_ns // 1_000_000_000 if name.startswith("images/") else 0  # its row tells it
            found.update(f"{name}\0{second}\0".encode() + (b"" if UNREAD.fullmatch(name) else kept.digest))
        return found.digest(), self.folders


def _read(entry: os.DirEntry[str], known: Kept | None) -> Kept:
    content, mtime_ns = Path(entry.path).read_bytes(), entry.stat().st_mtime_ns
    if known is None or known.content != content:
        return Kept.of(content, mtime_ns)
    return known if known.mtime_ns == mtime_ns else Kept(content, known.digest, mtime_ns)


# What a death inside a change leaves


def inside(before: Remains, after: Remains) -> Iterator[tuple[str, Remains]]:
    """Return what a death between two points may leave besides what lies there at each of them, kind by kind."""
    renamed = {kept.digest for name, kept in before.files.items() if name not in after.files}
    for name, kept in after.files.items():
        old = before.files.get(name)
        if old is not None and old.digest == kept.digest:
            continue
        if name.endswith("-wal"):
            for content in _half_commits(old.content if old else b"", kept.content):
                # The pages of the database itself are written after those of the log.
                database = name.removesuffix("-wal")
                yield "inside a commit", after.but(**{name: content, database: before.content(database)})
        elif name.endswith(".db"):
            yield from _inside_checkpoint(name, before, after)
        elif kept.digest not in renamed and not name.endswith(("-shm", ".log")):
            for content in _half_writes(old.content if old else b"", kept.content):
                yield "inside a write", after.but(**{name: content})


def _half_writes(old: bytes, new: bytes) -> Iterator[bytes]:
    """Return the file when it was just opened, and when half of it was written."""
    start = len(old) if new.startswith(old) else 0
    if start < len(new):
        yield new[:start]
        yield new[: (start + len(new)) // 2]


def _half_commits(old: bytes, new: bytes) -> Iterator[bytes]:
    """Return the log with a part of what a commit wrote to it, which may lie over what an older round left there."""
    frame = FRAME_HEADER + int.from_bytes(new[PAGE_SIZE_AT : PAGE_SIZE_AT + 4], "big")
    begins = range(WAL_HEADER, len(new), frame)
    written = [start for start in begins if new[start : start + frame] != old[start : start + frame]]
    if not written:
        return
    first, last = written[0], written[-1]
    cuts = {first + frame // 2, last + frame - 1}
    if new[:WAL_HEADER] != old[:WAL_HEADER]:
        cuts |= {0, WAL_HEADER // 2, WAL_HEADER}
    for cut in sorted(cuts):
        if cut < last + frame:
            yield new[:cut] + old[cut:]


def _inside_checkpoint(name: str, before: Remains, after: Remains) -> Iterator[tuple[str, Remains]]:
    """Return the database with some of its pages written, while the log still has all of them."""
    old, new = before.content(name) or b"", after.content(name) or b""
    log = after.content(f"{name}-wal") or before.content(f"{name}-wal")
    if not log:
        return  # the file is being made: SQLite's own journal guards that, and it is gone again at each point
    size = int.from_bytes(log[PAGE_SIZE_AT : PAGE_SIZE_AT + 4], "big")
    changed = [start for start in range(0, len(new), size) if new[start : start + size] != old[start : start + size]]
    ends = {0, changed[0] + size, changed[len(changed) // 2] + size // 2, changed[-1], changed[-1] + size}
    for end in sorted(ends):
        yield "inside a checkpoint", after.but(**{name: new[:end] + old[end:], f"{name}-wal": log})


# Where the points are


class Hooks:
    """Calls `reached` at each point of a run on a home; outside a run nothing is hooked but for a moment's look."""

    def __init__(self) -> None:
        self._home = ""
        self._reached: Callable[[str], None] = lambda kind: None
        self._busy = False
        self._log_pages = 0
        sys.addaudithook(self._audit)
        self._connect = sqlite3.connect
        self._fsync = os.fsync

    @contextmanager
    def watching(self, home: Path, reached: Callable[[str], None], log_pages: int = 0) -> Iterator[None]:
        """Tell of the points while the block lasts; connections made in it checkpoint after that many pages."""
        self._home, self._reached, self._log_pages = f"{home}/", reached, log_pages
        vars(sqlite3)["connect"], vars(os)["fsync"] = self._noted_connect, self._noted_fsync
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """Tell of no more points; also within one, in the process that goes on from there."""
        self._home, self._busy = "", False
        vars(sqlite3)["connect"], vars(os)["fsync"] = self._connect, self._fsync

    def note(self, kind: str) -> None:
        """Note that the run is at a point; what goes wrong here must not look like something of the run's."""
        if not self._home or self._busy:
            return
        self._busy = True
        try:
            self._reached(kind)
        except BaseException:
            traceback.print_exc()
            os._exit(70)
        finally:
            self._busy = False

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._home or self._busy:
            return
        if event == "open":
            if args[2] & WRITES and self._is_inside(args[0]):
                self.note("open")
        elif event.startswith("os."):
            name = event.removeprefix("os.")
            if name in CHANGES and self._is_inside(args[0]):
                self.note(name)
        elif event == "ctypes.dlsym" and args[1] == "syncfs":
            self.note("syncfs")

    def _is_inside(self, path: object) -> bool:
        if isinstance(path, int):
            return True  # an open file's number; only the run has any
        return os.fsdecode(path).startswith(self._home) if isinstance(path, str | bytes | os.PathLike) else False

    def _noted_fsync(self, descriptor: int) -> None:
        self.note("fsync")
        self._fsync(descriptor)
        self.note("after an fsync")

    def _noted_connect(self, *args: Any, **named: Any) -> sqlite3.Connection:
        note = self.note

        class Cursor(sqlite3.Cursor):
            def execute(self, statement: str, *parameters: Any) -> Any:
                done = super().execute(statement, *parameters)
                if statement == "COMMIT":
                    note("after a commit")
                return done

        class Connection(sqlite3.Connection):
            def cursor(self, factory: Any = None) -> Any:
                return super().cursor(Cursor)

            def close(self) -> None:
                note("before the database is closed")
                super().close()
                note("after the database is closed")

        connection: sqlite3.Connection = self._connect(*args, **named, factory=Connection)
        if self._log_pages:
            connection.execute(f"PRAGMA wal_autocheckpoint = {self._log_pages}")
        before = ""

        def trace(text: str) -> None:
            """Note each statement, each row of an executemany among them; triggers are told as the same again."""
            nonlocal before
            if text != before:
                note("commit" if text == "COMMIT" else "statement")
            before = text

        connection.set_trace_callback(trace)
        return connection


# What there is in the end


def told(home: Path) -> dict[str, Any]:
    """Return all that a home holds, times apart: each table's rows, each file; logs and locks by their names alone."""
    _start_days_later(home)
    found: dict[str, Any] = {}
    with closing(sqlite3.connect(home / DATABASE)) as database:
        found["integrity"] = database.execute("PRAGMA integrity_check").fetchall()
        found["foreign keys"] = database.execute("PRAGMA foreign_key_check").fetchall()
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        for (table,) in tables.fetchall():
            found[table] = _rows(database, table)
        found["api_usage"] = database.execute("SELECT SUM(request_count) FROM api_usage").fetchall()
    names = [str(path.relative_to(home)) for path in home.rglob("*") if not path.name.endswith(("-wal", "-shm"))]
    found["files"] = sorted(names)
    for name in names:
        if name.endswith(".json") and name.startswith(("data/db/", "checkpoints/")) and "owner" not in name:
            found[name] = _timeless(json.loads((home / name).read_text(encoding="utf-8")))
        elif name.startswith("images/") and (home / name).is_file():
            found[name] = hashlib.blake2b((home / name).read_bytes()).hexdigest()
    return found


def _start_days_later(home: Path) -> None:
    """Have what a death left half written cleared away, which a start does once it is a day old."""
    newest = max(path.stat().st_mtime for path in home.rglob("*"))
    with at_work_on(Home(home), Home(home).lock, VirtualClock(newest + 2 * DAY_SECONDS)):
        pass


def _rows(database: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    """Return a table's rows in the order of their keys, which for the dynamic ones is that of time."""
    columns = database.execute(f"PRAGMA table_info({table})").fetchall()
    keys = [column[1] for column in sorted(columns, key=lambda column: column[5]) if column[5]]
    kept = [name for column in columns if (name := column[1]) not in MOMENTS and not name.endswith("_at")]
    rows = database.execute(f"SELECT {', '.join(kept)} FROM {table} ORDER BY {', '.join(keys)}").fetchall()
    return [(key, repr(_timeless(json.loads(text)))) for key, text in rows] if table == "sync_state" else rows


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in MOMENTS and not k.endswith("_at")}
    if isinstance(value, list):
        return [_timeless(item) for item in value]
    return "a moment" if isinstance(value, str) and MOMENT.fullmatch(value) else value


def compared(expected: Mapping[str, Any], got: Mapping[str, Any]) -> list[str]:
    """Return in what the two differ, in words, the first few of all."""
    found = []
    for name in expected.keys() | got.keys():
        one, other = expected.get(name), got.get(name)
        if one == other:
            continue
        if isinstance(one, list) and isinstance(other, list):
            missing, more = Counter(map(repr, one)), Counter(map(repr, other))
            found += [f"{name} lacks {row}" for row in missing - more]
            found += [f"{name} has too much: {row}" for row in more - missing]
            found += [] if missing != more else [f"{name} is in another order"]
        else:
            found.append(f"{name} is {other!r}, not {one!r}")
    return [line[:LONGEST_LINE] for line in sorted(found)[:MOST_DIFFERENCES]]
