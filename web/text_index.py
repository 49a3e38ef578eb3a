"""Words in titles, tags and materials, found by SQLite's FTS5 in a file of its own beside the data set.

The file can be deleted at any time: it is made anew. It follows the data set listing by listing, in the background.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from peewee import PeeweeException

from crawler.store.counts import row_counts
from models import Listing
from runtime import bulk
from runtime.clock import Clock
from runtime.errors import CrawlError, Stopped
from runtime.files import make_folders
from runtime.repeated import Repeated

CHUNK = 5_000
EVERY_SECONDS = 300.0
LEAST_BEGINNING = 3  # letters; what begins with one letter is nearly everything
MOST_WORDS, FEW = 12, 200
log = logging.getLogger(__name__)
WORD = re.compile(r"\w+", re.UNICODE)
SCHEMA = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS pieces USING fts5"
    "(title, tags, content='', tokenize='unicode61 remove_diacritics 2')",
    "CREATE TABLE IF NOT EXISTS done (listing_id INTEGER PRIMARY KEY)",
)


class TextIndex:
    """The words of one home's listings; the database is open and bound, this file is opened as it is needed."""

    def __init__(self, path: Path, root: Path) -> None:
        self._path = path
        self._root = root
        self._writing = threading.Lock()
        self._counted: int | None = None

    def follow(self, look: Callable[[], None]) -> int:
        """Take in the listings that are not in it yet; return how many. `look` is called now and then; OSError."""
        make_folders(self._path.parent, self._root)
        self._counted = self._count()
        if self._counted == row_counts()["listings"]:
            return 0
        added = 0
        with self._writing, closing(self._open()) as index:
            for rows in _listings():
                look()
                new = self._new(index, rows)
                with index:
                    index.executemany("INSERT INTO pieces (rowid, title, tags) VALUES (?, ?, ?)", new)
                    index.executemany("INSERT INTO done VALUES (?)", [(row[0],) for row in new])
                added += len(new)
                self._counted += len(new)
        return added

    def find(self, told: str, most: int) -> list[int]:
        """Return the listings that have all these words: in the title first, then the newest first (by their numbers).

        Where few have them, those follow that have words which begin so. None without words.
        """
        words = WORD.findall(told)[:MOST_WORDS]
        if not words or not self._path.exists():
            return []
        exact = " AND ".join(f'"{word}"' for word in words)
        begun = " AND ".join(f'"{word}"{"*" if len(word) >= LEAST_BEGINNING else ""}' for word in words)
        with closing(self._open()) as index:
            found = [*_matching(index, f"{{title}} : ({exact})", most), *_matching(index, exact, most)]
            # All rows of all words that begin so are read: a frequent one alone takes 25 ms at a million listings.
            if len(found) < FEW:
                found += _matching(index, begun, most)
        return list(dict.fromkeys(found))[:most]

    def count(self) -> int:
        """Return how many listings are in it, as it was known last."""
        if self._counted is None:
            self._counted = self._count()
        return self._counted

    def _count(self) -> int:
        if not self._path.exists():
            return 0
        with closing(self._open()) as index:
            return int(index.execute("SELECT COUNT(*) FROM done").fetchone()[0])

    def _open(self) -> sqlite3.Connection:
        index = sqlite3.connect(self._path, timeout=5)
        index.execute("PRAGMA journal_mode = wal")
        index.execute("PRAGMA synchronous = normal")
        for statement in SCHEMA:
            index.execute(statement)
        return index

    def _new(self, index: sqlite3.Connection, rows: Sequence[tuple[int, str, str]]) -> list[tuple[int, str, str]]:
        ids = ",".join(str(row[0]) for row in rows)
        known = {row[0] for row in index.execute(f"SELECT listing_id FROM done WHERE listing_id IN ({ids})")}
        return [row for row in rows if row[0] not in known]


def follower(index: TextIndex, clock: Clock) -> Repeated:
    """Return what has the index follow the data set, at once and then every few minutes."""

    def follow(look: Callable[[], None]) -> None:
        try:
            added = index.follow(look)
            if added:
                log.info("The words of %d listings more can be searched.", added)
        except Stopped:
            raise
        except (CrawlError, OSError, sqlite3.Error, PeeweeException) as error:
            log.warning("Words cannot be indexed now: %s", error)

    return Repeated("words", follow, clock, EVERY_SECONDS)


def _matching(index: sqlite3.Connection, wanted: str, most: int) -> list[int]:
    """Return the newest listings that match.

    SQLite's own rank reads every row that has one of the words: half a second for what is frequent.
    """
    query = "SELECT rowid FROM pieces WHERE pieces MATCH ? ORDER BY rowid DESC LIMIT ?"
    return [row[0] for row in index.execute(query, (wanted, most))]


def _listings() -> Iterator[list[tuple[int, str, str]]]:
    """Return all listings in chunks, by their numbers: number, title, tags and materials."""
    after = 0
    while True:
        query = Listing.select(Listing.listing_id, Listing.title, Listing.tags, Listing.materials)
        rows = bulk.raw(query.where(Listing.listing_id > after).order_by(Listing.listing_id).limit(CHUNK))
        if not rows:
            return
        yield [(row[0], row[1] or "", " ".join(WORD.findall(f"{row[2]} {row[3]}"))) for row in rows]
        after = rows[-1][0]
