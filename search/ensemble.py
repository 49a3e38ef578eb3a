"""From the scores of several models to one order of listings, and what each model gave to it.

A matrix of scores has a row for each candidate picture and a column for each vector file; NaN where a file says
nothing of a picture. Every fusion turns it into shares, a number for each listing and file; a listing's score is their
sum. The default was the best of all in every regime that was tried (docs/benchmarks.md, `bench.fusion`): the matrix is
complete (every file scores every candidate), each column is standardised, and each file takes the listing's picture
that it likes best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
RRF_K = 60
AGREES_WITHIN = 10


@dataclass(frozen=True, slots=True)
class Fused:
    """Listings, best first: `shares` (listings x files) add up to `scores`.

    `best` (listings x files) is the row of the matrix that a share comes from; `agreeing` is how many files have the
    listing among their own best ten.
    """

    listings: Numbers
    scores: Scores
    shares: Scores
    best: Numbers
    agreeing: Numbers

    def first(self, number: int) -> Fused:
        """Return the best of them."""
        return Fused(*(getattr(self, name)[:number] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Fusion:
    """A way to join: how scores become comparable, and whether each file chooses a picture of the listing by itself."""

    normalise: Callable[[Scores], Scores]
    each_file_chooses: bool = False


def standardised(scores: Scores) -> Scores:
    """Return how many standard deviations each score lies above its column's mean."""
    known = np.maximum((~np.isnan(scores)).sum(axis=0), 1)  # a column may have none: numpy's nanmean would warn
    away = scores - np.nansum(scores, axis=0, dtype=np.float64) / known
    spread = np.sqrt(np.nansum(away**2, axis=0) / known)
    return np.asarray(away / np.where(spread > 0, spread, 1), np.float32)


def min_max(scores: Scores) -> Scores:
    """Return each column moved to 0..1."""
    low = np.fmin.reduce(scores, axis=0)
    width = np.fmax.reduce(scores, axis=0) - low
    return np.asarray((scores - low) / np.where(width > 0, width, 1), np.float32)


def min_max_times_found(scores: Scores) -> Scores:
    """Return min_max times the number of files that found the picture (CombMNZ)."""
    return np.asarray(min_max(scores) * (~np.isnan(scores)).sum(axis=1, keepdims=True), np.float32)


def reciprocal_ranks(scores: Scores) -> Scores:
    """Return 1 / (60 + rank in the column) (Cormack 2009)."""
    places = np.argsort(np.argsort(np.nan_to_num(-scores, nan=np.inf), axis=0, kind="stable"), axis=0)
    return np.where(np.isnan(scores), np.float32(np.nan), 1 / (RRF_K + 1 + places)).astype(np.float32)


def as_they_are(scores: Scores) -> Scores:
    """Return the scores: with unit vectors their sum is that of the models' vectors put end to end."""
    return scores


DEFAULT = "best picture per model"
FUSIONS = {
    DEFAULT: Fusion(standardised, each_file_chooses=True),
    "z-score sum": Fusion(standardised),
    "cosine sum": Fusion(as_they_are),
    "CombSUM": Fusion(min_max),
    "CombMNZ": Fusion(min_max_times_found),
    "RRF": Fusion(reciprocal_ranks),
}
"""All fusions by name; that of one model alone is any of them with the other weights 0."""


def fuse(scores: Scores, listings: Numbers, weights: Scores, fusion: Fusion = FUSIONS[DEFAULT]) -> Fused:
    """Return the listings of the candidates in their order, ties by listing_id.

    `listings` has the listing_id of each row of `scores` (rows x files), `weights` a number for each column.
    """
    normalised = fusion.normalise(scores)
    known, groups = np.unique(listings, return_inverse=True)
    # A file that says nothing of a picture says that it is average (z-score) or worth nothing (the others).
    worth = np.nan_to_num(normalised * weights, nan=0.0).astype(np.float32)
    if fusion.each_file_chooses:
        liking = np.nan_to_num(normalised, nan=-np.inf)
        best = np.stack([_best_rows(column, groups) for column in liking.T], axis=1)
    else:
        best = np.repeat(_best_rows(worth.sum(axis=1), groups)[:, None], scores.shape[1], axis=1)
    shares = np.take_along_axis(worth, best, axis=0)
    total = shares.sum(axis=1)
    order = np.lexsort((known, -total))
    agreeing = _count_agreeing(np.take_along_axis(normalised, best, axis=0))
    return Fused(known[order], total[order], shares[order], best[order], agreeing[order])


def above_background(scores: Scores, background: Scores, weights: Scores) -> Scores:
    """Return how far above an average pair each row of scores lies: the mean of the columns' z-scores.

    `background` (pictures x files) has the query's scores of pictures that are the same for every query, so the
    number means the same for every query too.
    """
    spread = background.std(axis=0)
    z = np.nan_to_num((scores - background.mean(axis=0)) / np.where(spread > 0, spread, 1), nan=0.0)
    return np.asarray(z @ weights / max(float(weights.sum()), 1e-9), np.float32)


def _best_rows(values: Scores, groups: Numbers) -> Numbers:
    """Return for each group the row of its highest value, the first of equal ones."""
    order = np.lexsort((-values, groups))
    _, first = np.unique(groups[order], return_index=True)
    return np.asarray(order[first], np.int64)


def _count_agreeing(values: Scores) -> Numbers:
    known = np.nan_to_num(values, nan=-np.inf)
    last = np.sort(known, axis=0)[-min(AGREES_WITHIN, len(known)) :][:1]
    return np.asarray(((known >= last) & np.isfinite(known)).sum(axis=1), np.int64)
