"""Vectors as a furniture market would have them, made from a seed: categories, listings in them, pictures of each.

The plain data: 300 categories → listings → 5 pictures, in 128 latent dimensions, seen by every model through its own
projection and with its own noise. The hard data: a cone (all vectors are alike, as CLIP's are) without categories, so
that the ten nearest and the hundred nearest lie close together.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.catalogue import TEXT, Vectors
from search.index.library import Rows

DIMS = {
    "clip_vitb32": 512,
    "clip_vitb32_text": 512,
    "clip_vitl14": 768,
    "clip_vitl14_text": 768,
    "dinov2_base": 768,
    "dinov2_large": 1024,
    "dinov3_base": 768,
}
CATEGORIES, PICTURES, LATENT = 300, 5, 128
BLOCK = 20_000  # a multiple of the pictures of a listing
OF_LISTING, OF_PICTURE, OF_MODEL = 0.55, 0.40, 0.15
CONE = 1.25


@dataclass(frozen=True, slots=True)
class Market:
    """A made-up market: the same seed gives the same vectors, and the first rows do not depend on how many follow."""

    rows: int
    seed: int = 6
    is_hard: bool = False

    def ids(self) -> Rows:
        """Return the (listing_id, image_id) of each row."""
        rows = np.arange(self.rows, dtype=np.int64)
        return np.stack([1_000_000 + rows // PICTURES, 2_000_000_000 + rows], axis=1)

    def blocks(self, name: str, first: int = 0) -> Iterator[tuple[int, npt.NDArray[np.float16]]]:
        """Yield the rows of a vector file from `first` (a multiple of 20,000) on, each block with its first row."""
        for at in range(first, self.rows, BLOCK):
            yield at, self._block(name, at, min(BLOCK, self.rows - at)).astype(np.float16)

    def queries(self, name: str, rows: Rows) -> Vectors:
        """Return for each of these rows a vector that is near to it: another picture of the same piece."""
        found = np.empty((len(rows), DIMS[name]), np.float32)
        for at in np.unique(rows // BLOCK):
            places = np.flatnonzero(rows // BLOCK == at)
            found[places] = self._block(name, int(at) * BLOCK, BLOCK)[rows[places] % BLOCK]
        noise = self._random(name, "queries").standard_normal(found.shape, np.float32)
        return _unit(found + 0.25 * noise / np.sqrt(np.float32(DIMS[name])))

    def _block(self, name: str, first: int, number: int) -> Vectors:
        if self.is_hard:
            return self._cone(name, first, number)
        latent = self._latent(first, is_text=name.endswith(TEXT))
        seen = latent @ self._random(name, "projection").standard_normal((LATENT, DIMS[name]), np.float32)
        noise = self._random(name, "noise", first).standard_normal(seen.shape, np.float32)
        return _unit(_unit(seen) + OF_MODEL * noise / np.sqrt(np.float32(DIMS[name])))[:number]

    def _latent(self, first: int, *, is_text: bool) -> Vectors:
        categories = self._random("categories").standard_normal((CATEGORIES, LATENT), np.float32)
        random = self._random("listings", first)
        listings = categories[random.integers(0, CATEGORIES, BLOCK // PICTURES)]
        listings = listings + OF_LISTING * random.standard_normal(listings.shape, np.float32)
        pictures = np.repeat(listings, PICTURES, axis=0)
        # A listing's pictures share one title, so one text vector.
        return pictures if is_text else pictures + OF_PICTURE * random.standard_normal(pictures.shape, np.float32)

    def _cone(self, name: str, first: int, number: int) -> Vectors:
        axis = _unit(self._random(name, "axis").standard_normal((1, DIMS[name]), np.float32))
        noise = self._random(name, "noise", first).standard_normal((BLOCK, DIMS[name]), np.float32)
        return _unit(CONE * axis + noise / np.sqrt(np.float32(DIMS[name])))[:number]

    def _random(self, *what: object) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(repr(what).encode())])


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
