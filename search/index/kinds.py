"""The ladder of index kinds: from few bits a dimension and little to read, to all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.index.library import new_index, version

PROBED_ROWS, PROBED_DIM, PROBED_CANDIDATES = 1_024, 64, 100
FOUND_AGAIN = 0.9


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to keep vectors in an index.

    `recipe` is its name in FAISS's factory, `since` the version in which it became right and fast. `is_mapped`: it is
    large, so it stays on the disk and is read where it is looked at; the others are read into memory (0.1 GB a million
    rows at 1 bit).
    """

    name: str
    recipe: str
    since: tuple[int, int]
    is_mapped: bool


# All keep the order of rows and are scanned as a whole: on data without clusters (a cone, noise) their recall falls
# slowly, where graphs and inverted lists collapse.
LADDER = (
    Kind("1 bit", "RaBitQfs_32", (1, 13), is_mapped=False),
    Kind("4 bit", "RaBitQfs4_32", (1, 14), is_mapped=False),
    Kind("SQ8", "SQ8", (1, 7), is_mapped=True),
    Kind("SQfp16", "SQfp16", (1, 7), is_mapped=True),
)
KINDS = {kind.name: kind for kind in LADDER}


def usable_kinds() -> tuple[Kind, ...]:
    """Return the kinds that this FAISS is quick with and computes right, in the ladder's order.

    With the last FAISS for Intel Macs (1.13.2) 4 bit takes 500 times as long as 1 bit: it is left out there.
    """
    return tuple(kind for kind in LADDER if kind.since <= version() and _finds(kind))


def _finds(kind: Kind) -> bool:
    vectors = np.random.default_rng(6).standard_normal((PROBED_ROWS, PROBED_DIM), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    try:
        index = new_index(PROBED_DIM, kind.recipe)
    except LookupError:
        return False
    index.train(vectors)
    index.add(vectors)
    queries = vectors[:: PROBED_ROWS // 32]
    nearest = np.argsort(-queries @ vectors.T, axis=1)[:, :10]
    found = index.search(queries, PROBED_CANDIDATES)
    again = [np.isin(right, rows).mean() for right, rows in zip(nearest, found, strict=True)]
    return float(np.mean(again)) >= FOUND_AGAIN
