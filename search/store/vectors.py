"""Vectors on disk: for each file of the table one append-only run of fp16 rows, in shards.

    data/embeddings/store/clip_vitb32/000000.f16   the first 500,000 rows
    data/embeddings/store/clip_vitb32/000001.f16   the next ones

How many rows count is not told here but by the database: a file may be longer after a death, never shorter.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from runtime.files import sync_file, sync_folder

Halves = npt.NDArray[np.float16]
SHARD_ROWS = 500_000
BLOCK_ROWS = 8_192
SEALED = 0o444


class VectorFile:
    """The rows of one vector file; reads map the shards into memory and copy nothing that is not asked for.

    Safe for one writer; readers in other processes see whole rows only, as many as the database tells them.
    """

    def __init__(self, folder: Path, dim: int, shard_rows: int = SHARD_ROWS) -> None:
        self.folder, self.dim, self._shard_rows = folder, dim, shard_rows
        self._row_bytes = 2 * dim
        self._maps: dict[int, Halves] = {}

    @property
    def rows(self) -> int:
        """How many whole rows are on the disk, one shard after the other without a gap."""
        total = 0
        for number in range(self._shards()):
            held = self._bytes(number) // self._row_bytes
            total += min(held, self._shard_rows)
            if held < self._shard_rows:
                break
        return total

    def append(self, first: int, vectors: Halves) -> None:
        """Write rows behind the `first` ones and bring them to the disk; what lies there already is cut off; OSError.

        A shard that is full is sealed: it is made read-only and never written again.
        """
        self.cut(first)
        self.folder.mkdir(parents=True, exist_ok=True)
        at = 0
        while at < len(vectors):
            number, row = divmod(first + at, self._shard_rows)
            part = vectors[at : at + self._shard_rows - row]
            path = self.path(number)
            with path.open("r+b" if path.exists() else "xb") as file:
                file.seek(row * self._row_bytes)
                file.write(np.ascontiguousarray(part, dtype=np.float16).tobytes())
                file.flush()
                sync_file(file.fileno())
            at += len(part)
            if row + len(part) == self._shard_rows:
                path.chmod(SEALED)
        sync_folder(self.folder)
        self._maps.clear()

    def cut(self, rows: int) -> None:
        """Take away everything behind the first `rows` rows; OSError."""
        self._maps.clear()
        for number in range(rows // self._shard_rows, self._shards()):
            path, kept = self.path(number), rows - number * self._shard_rows
            if kept > 0 and self._bytes(number) <= kept * self._row_bytes:
                continue
            if kept <= 0:
                path.unlink()
            else:
                path.chmod(0o644)
                os.truncate(path, kept * self._row_bytes)

    def read(self, first: int, number: int) -> Halves:
        """Return so many rows from `first` on, mapped where they lie in one shard."""
        shard, row = divmod(first, self._shard_rows)
        if row + number <= self._shard_rows:
            return self._map(shard)[row : row + number]
        return np.concatenate([block for _, block in self.blocks(first, first + number, number)])

    def blocks(self, first: int, end: int, most: int = BLOCK_ROWS) -> Iterator[tuple[int, Halves]]:
        """Yield the rows from `first` to before `end` in mapped blocks of at most `most`, each with its first row."""
        while first < end:
            shard, row = divmod(first, self._shard_rows)
            number = min(most, end - first, self._shard_rows - row)
            yield first, self._map(shard)[row : row + number]
            first += number

    def gather(self, rows: npt.NDArray[np.int64]) -> Halves:
        """Return these rows in their order; the disk is read in ascending order."""
        order = np.argsort(rows, kind="stable")
        found = np.empty((len(rows), self.dim), np.float16)
        shards = rows[order] // self._shard_rows
        for shard in np.unique(shards):
            places = order[shards == shard]
            found[places] = self._map(int(shard))[rows[places] - shard * self._shard_rows]
        return found

    def checksum(self, first: int, number: int) -> int:
        """Return the CRC-32 of so many rows from `first` on."""
        told = 0
        for _, block in self.blocks(first, first + number):
            told = zlib.crc32(block.tobytes(), told)
        return told

    def path(self, number: int) -> Path:
        """Return where the shard of this number lies."""
        return self.folder / f"{number:06d}.f16"

    def _shards(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return max((int(path.stem) + 1 for path in self.folder.glob("[0-9]*.f16")), default=0)
        return 0

    def _bytes(self, number: int) -> int:
        try:
            return self.path(number).stat().st_size
        except FileNotFoundError:
            return 0

    def _map(self, number: int) -> Halves:
        found = self._maps.get(number)
        rows = self._bytes(number) // self._row_bytes
        if found is None or len(found) < min(rows, self._shard_rows):
            found = np.memmap(self.path(number), np.float16, "r", shape=(min(rows, self._shard_rows), self.dim))
            self._maps[number] = found
        return found
