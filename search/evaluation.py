"""How good is the search? Asked of the data itself: does a picture lead to the others of its own listing?

The protocol of Stanford Online Products: one picture is the query and is left out, its listing's other pictures are
the answer. No labels are needed beyond which pictures belong together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search import ensemble
from search.catalogue import Vectors
from search.index.library import Rows
from search.index.served import Served
from search.scoring import Question, search

LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Quality:
    """Shares of the queries whose own listing came first, or among the first ten; and the mean average precision."""

    recall_at_1: float
    recall_at_10: float
    mean_average_precision: float
    queries: int


def pick_queries(served: Served, number: int, seed: int = 1) -> Rows:
    """Return so many rows, of listings that have more than one picture, the same for the same data and seed."""
    listings = served.book.listings_of(np.arange(len(served.book)))
    _, groups, sizes = np.unique(listings, return_inverse=True, return_counts=True)
    several = np.flatnonzero(sizes[groups] > 1)
    return np.sort(np.random.default_rng(seed).permutation(several)[:number])


def evaluate(
    served: Served,
    vectors_of: Callable[[str, Rows], Vectors],
    queries: Rows,
    files: Sequence[str],
    fusion: str = ensemble.DEFAULT,
    weights: Mapping[str, float] | None = None,
) -> Quality:
    """Return how well these files together find the queries' own listings.

    There is one right listing for each query, so its average precision is one divided by its place.
    """
    places = []
    for row in queries:
        alone = np.array([row], np.int64)
        asked = {name: vectors_of(name, alone) for name in files}
        own = int(served.book.listings_of(alone)[0])
        question = Question(asked, LOOKED_AT, without=alone, weights=weights or {}, fusion=fusion)
        found = [match.listing_id for match in search(served, question)]
        places.append(found.index(own) + 1 if own in found else 0)
    told = np.array(places, np.float64)
    hit = told > 0
    return Quality(
        recall_at_1=float((told == 1).mean()),
        recall_at_10=float((hit & (told <= 10)).mean()),
        mean_average_precision=float(np.where(hit, 1 / np.maximum(told, 1), 0.0).mean()),
        queries=len(queries),
    )
