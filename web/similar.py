"""Pieces that look like a picture, a listing or words, where the image search is installed and has indexes.

Where they cannot be found, why not is told in words.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from runtime.errors import CrawlError
from search.filters import Filters
from search.query import Looked, StillAtWork

TOP = 240
NO_INDEXES = "There are no indexes of pictures yet: `python run.py embed` makes them."


class Live(Protocol):
    """What search.live.Live does; its libraries are loaded only where it is used."""

    def find(self, looked: Looked, filters: Filters, top: int, keep_background: bool) -> Sequence[Any]:
        """Return the best listings; StillAtWork, UserMistake, OperatorNeeded."""

    def rest(self) -> None:
        """Let go of the models where nobody needs them."""

    def close(self) -> None:
        """End the models' process."""


@dataclass(frozen=True, slots=True)
class Alike:
    """A listing that looks like what was asked for: its score, each model's share of it, how many models agree.

    `above_average` is how many deviations it lies above an average pair.
    """

    listing_id: int
    score: float
    above_average: float
    agreeing: int
    shares: dict[str, float]

    @property
    def stretches(self) -> list[tuple[float, float]]:
        """Where on a bar of length 100 each model's share begins, and how long it is; none below nothing."""
        told = [max(share, 0.0) for share in self.shares.values()]
        whole = sum(told) or 1.0
        return [(100 * sum(told[:place]) / whole, 100 * share / whole) for place, share in enumerate(told)]


@dataclass(frozen=True, slots=True)
class Answer:
    """Listings that look like it, the best first; where there are none why, or that the models are `at_work`."""

    found: list[Alike] = field(default_factory=list)
    why: str = ""
    at_work: bool = False


class Similar:
    """Asks the image search; `load` opens it, `has_indexes` tells whether there is something to search."""

    def __init__(self, load: Callable[[], Live], has_indexes: Callable[[], bool]) -> None:
        self._load = load
        self._has_indexes = has_indexes
        self._loading = threading.Lock()
        self._live: Live | None = None

    def can_search(self) -> bool:
        """Return whether there are indexes to search."""
        return self._has_indexes()

    def find(self, looked: Looked, filters: Filters, keep_background: bool = False) -> Answer:
        """Return the listings that look most like it."""
        if not self._has_indexes():
            return Answer(why=NO_INDEXES)
        try:
            found = self._opened().find(looked, filters, TOP, keep_background)
        except StillAtWork as error:
            return Answer(why=error.words(), at_work=True)
        except CrawlError as error:
            return Answer(why=error.words())
        return Answer([_alike(one.match) for one in found])

    def rest(self) -> None:
        """Let go of the models where nobody needs them."""
        if self._live is not None:
            self._live.rest()

    def close(self) -> None:
        """End what was opened."""
        if self._live is not None:
            self._live.close()

    def _opened(self) -> Live:
        with self._loading:
            self._live = self._live or self._load()
            return self._live


def _alike(match: Any) -> Alike:
    return Alike(match.listing_id, match.score, match.above_average, match.agreeing, dict(match.shares))
