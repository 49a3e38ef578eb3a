"""From the vectors of a query to ranked listings.

    each file: nearest rows ─▶ union ─▶ all pictures of their listings ─▶ exact scores by every file ─▶ fusion ─▶ top

Several query pictures are one query by their mean vector: the inner product with it is the mean of the cosines with
each of them, so scores are averaged and nothing is lost by asking once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from runtime.errors import UserMistake
from search import ensemble
from search.catalogue import Vectors
from search.ensemble import Fused, Scores
from search.index import exact
from search.index.exact import Hits
from search.index.library import Rows
from search.index.served import Query, Served

PROPOSED = 100
NO_ROWS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for: by vector file a unit vector for each query picture (or text).

    `allowed` (sorted rows) limits the answer, the rows `without` never count; `weights` are 1 where none is given.
    """

    vectors: Mapping[str, Vectors]
    top: int = 10
    allowed: Rows | None = None
    without: Rows = field(default_factory=lambda: NO_ROWS)
    weights: Mapping[str, float] = field(default_factory=dict)
    fusion: str = ensemble.DEFAULT


@dataclass(frozen=True, slots=True)
class Match:
    """A listing that was found: `shares` by file add up to `score`, `rows` are the pictures that they come from.

    `above_average` is how many standard deviations the match lies above an average pair, comparable between queries;
    `agreeing` files have the listing among their own best ten.
    """

    listing_id: int
    score: float
    above_average: float
    agreeing: int
    shares: Mapping[str, float]
    rows: Mapping[str, int]


Proposer = Callable[[str, Query, int], Hits]
"""Returns a file's best rows for a query, so many of them."""


def search(served: Served, question: Question) -> list[Match]:
    """Return the best listings; UserMistake where none of the question's files is served."""

    def propose(name: str, query: Query, number: int) -> Hits:
        return served.candidates(name, query, number, question.allowed)

    return answer(served, question, propose)


def search_exactly(served: Served, question: Question) -> list[Match]:
    """Return the same by reading all rows: what the served indexes are held against."""

    def propose(name: str, query: Query, number: int) -> Hits:
        source = served.source(name)
        if question.allowed is not None:
            return exact.best_of(source.file, question.allowed[question.allowed < source.rows], query, number)
        scores, rows = exact.scan(source, query[None], min(number, source.rows), lambda: None)
        return Hits(rows[0], scores[0])

    return answer(served, question, propose)


def answer(served: Served, question: Question, propose: Proposer) -> list[Match]:
    """Return the best listings among those of the rows that `propose` names for each file."""
    queries = {name: vectors.mean(axis=0) for name, vectors in question.vectors.items() if name in served.names}
    if not queries:
        raise UserMistake("None of the indexes can answer this query.", advice="Which are there: python run.py models")
    number = PROPOSED + len(question.without)
    proposed = served.each(lambda name: propose(name, queries[name], number).rows, tuple(queries))
    rows = _candidates(served, question, [rows[~np.isin(rows, question.without)][:PROPOSED] for rows in proposed])
    if not len(rows):
        return []
    scores = np.stack(served.each(lambda name: served.scores(name, rows, queries[name]), tuple(queries)), axis=1)
    weights = np.array([question.weights.get(name, 1.0) for name in queries], np.float32)
    fusion = ensemble.FUSIONS[question.fusion]
    fused = ensemble.fuse(scores, served.book.listings_of(rows), weights, fusion).first(question.top)
    background = np.stack([served.background(name, query) for name, query in queries.items()], axis=1)
    above = ensemble.above_background(np.take_along_axis(scores, fused.best, axis=0), background, weights)
    return _matches(tuple(queries), rows, fused, above)


def _candidates(served: Served, question: Question, proposed: list[Rows]) -> Rows:
    """Return all pictures of the proposed listings that may count."""
    rows = served.book.rows_of(served.book.listings_of(np.unique(np.concatenate(proposed))))
    if question.allowed is not None:
        rows = np.intersect1d(rows, question.allowed, assume_unique=True)
    return np.setdiff1d(rows, question.without, assume_unique=True)


def _matches(names: tuple[str, ...], rows: Rows, fused: Fused, above: Scores) -> list[Match]:
    return [
        Match(
            listing_id=int(fused.listings[at]),
            score=float(fused.scores[at]),
            above_average=float(above[at]),
            agreeing=int(fused.agreeing[at]),
            shares=dict(zip(names, fused.shares[at].tolist(), strict=True)),
            rows=dict(zip(names, rows[fused.best[at]].tolist(), strict=True)),
        )
        for at in range(len(fused.listings))
    ]
