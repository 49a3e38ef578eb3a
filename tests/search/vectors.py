"""Small markets of vectors for the tests of indexes: listings with pictures, and pieces that are all alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from search.catalogue import Vectors
from search.index.exact import Source
from search.index.library import Rows
from search.store.vectors import VectorFile

PICTURES = 12
DIMS = {"clip_vitb32": 64, "clip_vitb32_text": 64, "dinov2_base": 96}
MAKES = dict.fromkeys(DIMS, "make-1")


def unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def clustered(rows: int, dim: int, seed: int = 1) -> Vectors:
    """Twenty listings a category, twelve pictures a listing; the first rows do not depend on how many follow."""
    random = [np.random.default_rng([seed, dim, part]) for part in range(3)]
    listing = np.arange(rows) // PICTURES
    categories = random[0].standard_normal((rows // (20 * PICTURES) + 1, dim), np.float32)
    listings = random[1].standard_normal((rows // PICTURES + 1, dim), np.float32)
    pictures = random[2].standard_normal((rows, dim), np.float32)
    return unit(categories[listing // 20] + 0.6 * listings[listing] + 0.3 * pictures)


def alike(rows: int, dim: int, seed: int = 1) -> Vectors:
    """Four pieces, each photographed thousands of times: few bits tell the pieces apart, not the photographs."""
    random = np.random.default_rng(seed)
    pieces = unit(random.standard_normal((4, dim), np.float32))[np.arange(rows) % 4]
    return unit(pieces + 0.05 * random.standard_normal((rows, dim), np.float32))


def make_ids(rows: int) -> Rows:
    numbers = np.arange(rows, dtype=np.int64)
    return np.stack([1_000 + numbers // PICTURES, 50_000 + numbers * 7_919 % 1_000_003], axis=1)


def make_sources(folder: Path, rows: int, seed: int = 1) -> dict[str, Source]:
    """A store of clustered vectors under the folder, of several shards."""
    return {
        name: make_source(folder / "store" / name, clustered(rows, dim, seed + at), MAKES[name])
        for at, (name, dim) in enumerate(DIMS.items())
    }


def make_source(folder: Path, vectors: Vectors, make: str = "make-1") -> Source:
    file = VectorFile(folder, vectors.shape[1], shard_rows=2_500)
    file.append(0, vectors.astype(np.float16))
    return Source(file, len(vectors), make)


def grow(sources: Mapping[str, Source], rows: int, seed: int = 1) -> dict[str, Source]:
    """The same store with more rows behind the others."""
    for at, source in enumerate(sources.values()):
        more = clustered(rows, source.file.dim, seed + at)[source.rows :]
        source.file.append(source.rows, more.astype(np.float16))
    return {name: Source(source.file, rows, source.make) for name, source in sources.items()}


def stored(source: Source) -> Vectors:
    """All rows as they are stored, in single precision."""
    return source.file.gather(np.arange(source.rows)).astype(np.float32)
