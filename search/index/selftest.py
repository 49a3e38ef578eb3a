"""What an index finds of what it should: rows of its own look for their neighbours in other listings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.catalogue import Vectors
from search.index import exact
from search.index.exact import Source
from search.index.library import Index, Rows

QUERIES, NEIGHBOURS = 200, 10
ENOUGH = 0.99
CANDIDATES = (300, 1_000, 3_000)
OWN_ROWS = 100  # room for the query's own listing among the candidates
SAME = 1e-5  # scores nearer than this are a tie, whichever of two equal rows was found


@dataclass(frozen=True, slots=True)
class Truth:
    """Queries that are rows themselves, with how many neighbours each has, and what the last of these scores.

    The row's own listing is left out, its other pictures too: somebody who looks for a piece that is not in the store
    wants what is like it, and that is the harder question.
    """

    queries: Vectors
    own: Rows
    listings: Rows
    neighbours: Rows
    thresholds: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Measured:
    """The recall@10 of so many candidates that are scored exactly afterwards."""

    candidates: int
    recall: float

    @property
    def is_enough(self) -> bool:
        """Whether the index may be served so."""
        return self.recall >= ENOUGH


def find_truth(source: Source, listings: Rows, attend: Callable[[], None]) -> Truth:
    """Return what up to 200 rows, spread evenly over the file, should find; reads the whole file once.

    `listings` has the listing_id of each row.
    """
    rows = spread(source.rows, QUERIES)
    queries, own = source.file.gather(rows).astype(np.float32), listings[rows]

    def is_left_out(first: int, end: int) -> npt.NDArray[np.bool_]:
        return np.asarray(own[:, None] == listings[first:end])

    scores, _ = exact.scan(source, queries, NEIGHBOURS, attend, is_left_out)
    return Truth(queries, own, listings, np.isfinite(scores).sum(axis=1), scores[:, -1])


def measure(index: Index, source: Source, truth: Truth) -> Measured:
    """Return the fewest candidates that are enough, or the most where none are, with their recall."""
    proposed = index.search(truth.queries, CANDIDATES[-1] + OWN_ROWS)
    hits, before = np.zeros(len(proposed)), 0
    for number in CANDIDATES:
        hits += [_count_hits(source, truth, at, rows, before, number) for at, rows in enumerate(proposed)]
        before = number
        found = np.where(truth.neighbours, np.minimum(hits, truth.neighbours) / np.maximum(truth.neighbours, 1), 1)
        result = Measured(number, float(found.mean()))
        if result.is_enough:
            break
    return result


def _count_hits(source: Source, truth: Truth, at: int, proposed: Rows, first: int, end: int) -> int:
    """Return how many of these candidates of one query, its own listing left out, score as a neighbour does."""
    known = proposed[proposed >= 0]
    rows = known[truth.listings[known] != truth.own[at]][first:end]
    return int((exact.score(source.file, rows, truth.queries[at]) >= truth.thresholds[at] - SAME).sum())


def spread(rows: int, number: int) -> Rows:
    """Return up to `number` of the first `rows` rows, spread evenly."""
    return np.unique(np.linspace(0, rows - 1, min(rows, number)).astype(np.int64))
