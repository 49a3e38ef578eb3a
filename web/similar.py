"""Pieces that look alike, where the image search is installed and has indexes; else why not, in words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from runtime.errors import CrawlError
from search.filters import Filters
from search.query import Looked

TOP = 48


class Finder(Protocol):
    """What search.finder.Finder does; its libraries are loaded only where it is used."""

    def find(self, looked: Looked, filters: Filters, top: int) -> Sequence[Any]:
        """Return the best listings; UserMistake, OperatorNeeded."""


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


class Similar:
    """Answers from the indexes in force; `load` opens them, `version` tells when there are others."""

    def __init__(self, load: Callable[[], Finder], version: Callable[[], Path | None]) -> None:
        self._load = load
        self._version = version
        self._lock = threading.Lock()
        self._loaded: tuple[Path, Finder] | None = None

    def find(self, listing_id: int, filters: Filters) -> tuple[list[Alike], str]:
        """Return the listings most like this one, and where there are none why, in words."""
        try:
            with self._lock:  # one query after the other: each uses both cores
                finder = self._finder()
                if finder is None:
                    return [], "There are no indexes of pictures yet: `python run.py embed` makes them."
                found = finder.find(Looked(listing_ids=[listing_id]), filters, TOP)
        except CrawlError as error:
            return [], error.words()
        return [
            Alike(
                one.match.listing_id,
                one.match.score,
                one.match.above_average,
                one.match.agreeing,
                dict(one.match.shares),
            )
            for one in found
        ], ""

    def _finder(self) -> Finder | None:
        version = self._version()
        if version is None:
            return None
        if self._loaded is None or self._loaded[0] != version:
            self._loaded = version, self._load()
        return self._loaded[1]
