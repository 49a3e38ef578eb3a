"""One index file: made anew or grown by what is new, and tested on its own rows.

store (fp16) ──train on a sample, add in blocks──▶ index ──write, read back──▶ recall@10 of 200 rows
                                                     ▲                             │ under 0.99
                                                     └───── the ladder's next kind ◀┘
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.files import sync_file
from search.index import selftest
from search.index.exact import Source
from search.index.kinds import KINDS, Kind
from search.index.library import Index, Rows, new_index, read_index
from search.index.manifest import BuiltFile
from search.index.selftest import Measured

TRAINED_ON = 20_000
RETRAIN_GROWTH = 4.0  # a centre learnt when there were a quarter of the rows says little of them all
RETEST_GROWTH = 1.1
BLOCK_ROWS = 8_192


@dataclass(frozen=True, slots=True)
class Older:
    """The same file of the generation before."""

    path: Path
    built: BuiltFile


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds index files of rows whose listing_ids are `listings`; `attend` is called between blocks and may raise."""

    kinds: tuple[Kind, ...]
    listings: Rows
    attend: Callable[[], None]

    def build(self, source: Source, path: Path, older: Older | None) -> BuiltFile:
        """Write the index of the source's rows to `path`, in their order, and return what it is; OSError.

        Grows the older file where it `may_grow`; else, or where the grown one has lost too much recall, begins anew.
        """
        if older and may_grow(older.built, source, self.kinds):
            grown = self._grow(source, path, older)
            if grown.recall >= selftest.ENOUGH or older.built.recall < selftest.ENOUGH:
                return grown
        return self._climb(source, path)

    def _climb(self, source: Source, path: Path) -> BuiltFile:
        truth = selftest.find_truth(source, self.listings, self.attend)
        for kind in self.kinds:
            index = new_index(source.file.dim, kind.recipe)
            index.train(source.file.gather(selftest.spread(source.rows, TRAINED_ON)).astype(np.float32))
            index = self._write(index, source, path, kind)
            result = selftest.measure(index, source, truth)
            if result.is_enough:
                break
        return _describe(source, path, kind, result, source.rows, source.rows)

    def _grow(self, source: Source, path: Path, older: Older) -> BuiltFile:
        kind, old = KINDS[older.built.kind], older.built
        index = self._write(read_index(older.path, mapped=False), source, path, kind)
        if source.rows < old.tested_rows * RETEST_GROWTH:
            result, tested_rows = Measured(old.candidates, old.recall), old.tested_rows
        else:
            truth = selftest.find_truth(source, self.listings, self.attend)
            result, tested_rows = selftest.measure(index, source, truth), source.rows
        return _describe(source, path, kind, result, old.trained_rows, tested_rows)

    def _write(self, index: Index, source: Source, path: Path, kind: Kind) -> Index:
        """Add the rows that the index lacks, write it, and return what can be read of it."""
        for _, block in source.file.blocks(index.rows, source.rows, BLOCK_ROWS):
            self.attend()
            index.add(block.astype(np.float32))
        index.write(path)
        with path.open("rb") as file:
            sync_file(file.fileno())
        return read_index(path, mapped=kind.is_mapped)


def may_grow(built: BuiltFile, source: Source, kinds: tuple[Kind, ...]) -> bool:
    """Return whether new rows can be added to this index: of the same make, learnt when there were rows enough."""
    return (
        built.kind in {kind.name for kind in kinds}
        and (built.make, built.dim) == (source.make, source.file.dim)
        and built.rows <= source.rows < built.trained_rows * RETRAIN_GROWTH
    )


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file; OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _describe(
    source: Source, path: Path, kind: Kind, result: Measured, trained_rows: int, tested_rows: int
) -> BuiltFile:
    return BuiltFile(
        kind=kind.name,
        make=source.make,
        dim=source.file.dim,
        rows=source.rows,
        size_bytes=path.stat().st_size,
        sha256=digest_of(path),
        recall=round(result.recall, 4),
        candidates=result.candidates,
        trained_rows=trained_rows,
        tested_rows=tested_rows,
    )
