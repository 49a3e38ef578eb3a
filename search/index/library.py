"""FAISS, as far as we use it: the only file that knows it. Foreign errors end here."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import faiss  # type: ignore[import-untyped,unused-ignore]
import numpy as np
import numpy.typing as npt

from runtime.errors import OperatorNeeded
from runtime.files import DISK
from search.catalogue import Vectors

Rows = npt.NDArray[np.int64]
REBUILD = "Build the indexes anew: python run.py index --anew"


class Index:
    """An index by inner product that keeps the order of its rows; many threads may search it at once."""

    def __init__(self, native: Any) -> None:
        self._native = native

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return int(self._native.ntotal)

    @property
    def dim(self) -> int:
        """The dimensions of its vectors."""
        return int(self._native.d)

    def train(self, sample: Vectors) -> None:
        """Learn from a sample what the kind needs to know (a centre, or the range of each dimension)."""
        self._native.train(sample)

    def add(self, vectors: Vectors) -> None:
        """Add rows behind those there are."""
        self._native.add(vectors)

    def search(self, queries: Vectors, number: int) -> Rows:
        """Return for each query its nearest rows, best first; fewer than `number` where there are fewer rows.

        One query is searched by one thread.
        """
        _, found = self._native.search(queries, min(number, self.rows))
        return np.asarray(found, np.int64)

    def write(self, path: Path) -> None:
        """Write it to a file; OSError. What is written last may be missing: read it back."""
        try:
            faiss.write_index(self._native, str(path))
        except RuntimeError as error:
            code = next((code for code in DISK if os.strerror(code) in str(error)), errno.EIO)
            raise OSError(code, os.strerror(code), str(path)) from error


def version() -> tuple[int, int]:
    """Return which FAISS this is, as far as kinds of indexes depend on it."""
    major, minor = faiss.__version__.split(".")[:2]
    return int(major), int(minor)


def new_index(dim: int, recipe: str) -> Index:
    """Return an empty index by its name in FAISS's factory; LookupError where this FAISS does not know it."""
    try:
        return Index(faiss.index_factory(dim, recipe, faiss.METRIC_INNER_PRODUCT))
    except RuntimeError as error:
        raise LookupError(recipe) from error


def read_index(path: Path, *, mapped: bool) -> Index:
    """Return the index of a file; OperatorNeeded where it is damaged, FileNotFoundError where it is not there.

    `mapped` leaves the rows on the disk where this FAISS can do that; such an index takes no more rows (`add` would
    end the process).
    """
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    # Plain IO_FLAG_MMAP reads flat indexes into memory without a word.
    flags = getattr(faiss, "IO_FLAG_MMAP_IFC", 0) if mapped else 0
    try:
        return Index(faiss.read_index(str(path), flags))
    except RuntimeError as error:
        raise OperatorNeeded(f"{path} is damaged ({_reason(error)}).", advice=REBUILD) from error


def _reason(error: RuntimeError) -> str:
    return str(error).rpartition("Error: ")[2].strip().rstrip(".")
