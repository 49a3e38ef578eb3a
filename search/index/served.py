"""Indexes that answer: the nearest rows of a vector file, scored exactly, filtered, what is new included.

query ─▶ built index ──┐ candidates      ┌─▶ exact scores from the fp16 store ─▶ best rows
      └▶ newer rows ───┘ (filtered) ─────┘
few rows allowed: no candidates, all of them are scored exactly
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from search.catalogue import Vectors
from search.index import exact
from search.index.exact import Hits, Source
from search.index.library import Index, Rows, new_index
from search.index.opened import Generation
from search.index.rowbook import RowBook
from search.index.selftest import CANDIDATES, spread

GATHERED = 20_000  # so many rows are scored one by one sooner than looked for among all
ROOM = 4  # so many times the candidates that would do where what is allowed lies evenly
FURTHEST = 8  # beyond one row in so many, scoring all that is allowed is as quick
NEWER_KIND = "SQ8"
BACKGROUND = 2_000
BLOCK_ROWS = 8_192
AHEAD_BYTES = 128 * 1024
Query = npt.NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """An index of the rows from `first` on; so many candidates of it are scored exactly."""

    index: Index
    first: int
    candidates: int

    def propose(self, query: Query, allowed: Rows | None) -> Rows | None:
        """Return the nearest rows among those allowed (sorted); None where these are not where the query looks.

        The filter and the query have something to do with each other then: the candidates that are allowed would lie
        far down, where few bits tell little.
        """
        if allowed is None:
            return self._nearest(query, self.candidates)
        share = np.searchsorted(allowed, [self.first, self.first + self.index.rows])
        number = ROOM * self.candidates * self.index.rows // max(int(share[1] - share[0]), 1)
        rows = self._nearest(query, number) if number <= self.index.rows // FURTHEST else allowed[:0]
        kept = rows[_within(rows, allowed)]
        return kept if len(kept) >= self.candidates else None

    def _nearest(self, query: Query, number: int) -> Rows:
        found = self.index.search(query[None], number)[0]
        return np.asarray(found[found >= 0] + self.first)


class Served:
    """The searchable files of one generation, with the rows that the store has beyond it.

    `newer` has the (listing_id, image_id) of those rows, committed ones only. Searching changes nothing: many threads
    may ask at once, and `each` asks several files in parallel (FAISS takes one thread for one query).
    """

    def __init__(self, generation: Generation, sources: Mapping[str, Source], newer: Rows, threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="search")
        self._sources = {name: sources[name] for name in generation.names}
        self.missing = generation.missing
        self.book = RowBook(np.vstack([generation.ids, newer.reshape(-1, 2)]))
        self._generation = generation
        parts = self.each(self._open, self.names)
        self._parts = dict(zip(self.names, parts, strict=True))
        self._backgrounds: dict[str, Vectors] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The vector files that can be asked."""
        return tuple(self._sources)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def each(self, work: Callable[[str], T], names: Sequence[str]) -> list[T]:
        """Do the work for each of these files, several at once; the results in the order of the names."""
        return list(self._pool.map(work, names))

    def source(self, name: str) -> Source:
        """Return the vectors of a file."""
        return self._sources[name]

    def candidates(self, name: str, query: Query, number: int, allowed: Rows | None = None) -> Hits:
        """Return the best `number` rows of a file with their exact scores; of `allowed` (sorted) where it is given."""
        source = self._sources[name]
        if allowed is not None:
            allowed = allowed[: np.searchsorted(allowed, source.rows)]
        if allowed is not None and len(allowed) <= GATHERED:
            return exact.best_of(source.file, allowed, query, number)
        proposed = [part.propose(query, allowed) for part in self._parts[name]]
        known = [rows for rows in proposed if rows is not None]
        if allowed is not None and len(known) < len(proposed):
            known = [allowed]
        return exact.best_of(source.file, np.concatenate(known), query, number)

    def scores(self, name: str, rows: Rows, query: Query) -> npt.NDArray[np.float32]:
        """Return the exact score of each of these rows, NaN where the file does not reach so far."""
        source = self._sources[name]
        found = np.full(len(rows), np.nan, np.float32)
        there = rows < source.rows
        found[there] = exact.score(source.file, rows[there], query)
        return found

    def background(self, name: str, query: Query) -> npt.NDArray[np.float32]:
        """Return the scores of 2,000 rows of the file that stay the same for every query."""
        if name not in self._backgrounds:
            rows = spread(self._generation.manifest.files[name].rows, BACKGROUND)
            self._backgrounds[name] = self._sources[name].file.gather(rows).astype(np.float32)
        return exact.dots(self._backgrounds[name], query)

    def prefetch(self) -> threading.Thread:
        """Have the system read ahead what queries will look at, in a thread of its own; where it cannot, do nothing."""
        paths = [path for name in self.names for path in self._read_at_random(name)]
        thread = threading.Thread(target=_read_ahead, args=(paths,), name="read-ahead", daemon=True)
        thread.start()
        return thread

    def _open(self, name: str) -> tuple[Part, ...]:
        source, built = self._sources[name], self._generation.manifest.files[name]
        main = Part(self._generation.read(name), 0, built.candidates)
        if source.rows == built.rows:
            return (main,)
        newer = new_index(source.file.dim, NEWER_KIND)
        rows = built.rows + spread(source.rows - built.rows, BLOCK_ROWS)
        newer.train(source.file.gather(rows).astype(np.float32))
        for _, block in source.file.blocks(built.rows, source.rows, BLOCK_ROWS):
            newer.add(block.astype(np.float32))
        return (main, Part(newer, built.rows, CANDIDATES[0]))

    def _read_at_random(self, name: str) -> list[Path]:
        return sorted(self._sources[name].file.folder.glob("[0-9]*.f16"))


def _within(rows: Rows, allowed: Rows) -> npt.NDArray[np.bool_]:
    places = np.minimum(np.searchsorted(allowed, rows), len(allowed) - 1)
    return np.asarray(allowed[places] == rows)


def _read_ahead(paths: Sequence[Path]) -> None:
    if sys.platform == "darwin":  # knows no posix_fadvise
        return
    for path in paths:
        with path.open("rb") as file:
            # Linux reads no more than this ahead at a time, however much it is advised of.
            for at in range(0, path.stat().st_size, AHEAD_BYTES):
                os.posix_fadvise(file.fileno(), at, AHEAD_BYTES, os.POSIX_FADV_WILLNEED)
