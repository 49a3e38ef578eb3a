"""Are these the vectors that were asked for? Whoever made them: nothing else is stored."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from runtime.errors import CrawlError
from search.tasks import EmbedResult, Key

NORM_TOLERANCE = 2e-3  # what fp16 does to a unit vector is a fourth of it


class BadVectors(CrawlError):
    """A worker brought something else than what was asked for; `worker` names it."""

    def __init__(self, worker: str, words: str) -> None:
        super().__init__(f"The worker {worker} brought {words}; nothing of it was stored.")
        self.worker = worker


def check_vectors(
    result: EmbedResult, keys: tuple[Key, ...], makes: Mapping[str, str], dims: Mapping[str, int]
) -> None:
    """Raise BadVectors unless the result has a unit vector in every file for every key that did not fail.

    `keys` are those that were asked for, `makes` the make ids by model, `dims` the dimensions by file.
    """
    if result.makes != dict(makes):
        raise BadVectors(result.worker, f"vectors of another make ({_differences(result.makes, makes)})")
    if tuple(key for key in keys if key not in result.failed) != result.keys:
        raise BadVectors(result.worker, "vectors of other pictures than those that were asked for")
    if set(result.vectors) != set(dims):
        raise BadVectors(result.worker, f"the files {sorted(result.vectors)}, not {sorted(dims)}")
    for name, rows in result.vectors.items():
        if rows.shape != (len(result.keys), dims[name]) or rows.dtype != np.float16:
            asked = f"({len(result.keys)}, {dims[name]}) of float16"
            raise BadVectors(
                result.worker, f"vectors of the shape {rows.shape} of {rows.dtype} for {name}, not {asked}"
            )
        if not np.isfinite(rows).all():
            raise BadVectors(result.worker, f"vectors that are no numbers for {name}")
        norms = np.linalg.norm(rows.astype(np.float32), axis=1)
        if len(norms) and np.abs(norms - 1).max() > NORM_TOLERANCE:
            raise BadVectors(result.worker, f"vectors of the length {norms.max():.3f} for {name}, not 1")


def _differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    return ", ".join(f"{name}: {found.get(name, 'none')} instead of {wanted.get(name, 'none')}" for name in names)
