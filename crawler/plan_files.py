"""The files of `data/db/` that a person reads or edits: the price breaks, the category ids, the audit reports."""

from __future__ import annotations

import itertools
import logging
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import UserMistake
from runtime.files import read_json, write_json

CONFIG = "furniture_taxonomy_config.json"
IDS = "furniture_taxonomy_ids.json"
LEAF_IDS = "furniture_leaf_taxonomy_ids.json"
RATE = "qps_config.json"
DEFAULT_RATE = 5.0
LEAST_RATE, MOST_RATE = 0.01, 1000.0
MOST_PRICE = 1_000_000_000.0
MOST_SHOWN = 80  # letters of what is wrong in a file
MOST_BREAKS = 10_000  # each is a call at least, and the day has 5,000 or so
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlanFiles:
    """Reads and writes them; each is whole or not there. A damaged one is never overwritten."""

    data: Path
    reports: Path

    def load_breaks(self) -> dict[int, list[float]]:
        """Return the price breaks by category, none where there is no file; UserMistake where it is damaged."""
        path = self.data / CONFIG
        if not path.exists():
            return {}
        value = read_json(path)
        try:
            return _breaks_by_id(value)
        except ValueError as error:
            raise UserMistake(
                f"{path} does not have the form that is expected: {error}.",
                advice='It looks like {"taxonomies": [{"id": 967, "name": "Furniture", "price_breaks": [0, 5.45]}]}, '
                "breaks rising from 0. Mend it, or delete it: it is then written anew.",
            ) from error

    def write_breaks(self, breaks: Mapping[int, Sequence[float]], names: Mapping[int, str]) -> None:
        """Write the price breaks that the cycle ended with, for a person to read and edit."""
        entries = [{"id": i, "name": names.get(i, ""), "price_breaks": _loadable(b)} for i, b in breaks.items()]
        write_json(self.data / CONFIG, {"taxonomies": entries})

    def write_ids(self, ids: Sequence[int], leaf_ids: Sequence[int]) -> None:
        """Write the ids of all configured categories with their descendants, and those without children."""
        write_json(self.data / IDS, list(ids))
        write_json(self.data / LEAF_IDS, list(leaf_ids))

    def write_report(self, name: str, report: Mapping[str, Any]) -> Path:
        """Write an audit's report and return its path."""
        path = self.reports / f"{name}.json"
        write_json(path, report)
        return path

    def load_rate(self) -> float:
        """Return the calls a second that qps_config.json allows; UserMistake where it is damaged."""
        path = self.data / RATE
        value = read_json(path)
        rate = value.get("qps") if isinstance(value, dict) else None
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not LEAST_RATE <= rate <= MOST_RATE:
            raise UserMistake(
                f'{path} must say {{"qps": 5}} with a number from {LEAST_RATE:g} to {MOST_RATE:g} '
                f"(it says {_short(value)}).",
                advice="Mend it, or delete it: it is then written anew.",
            )
        return float(rate)

    def ensure_rate(self) -> None:
        """Write the default rate where no file is there."""
        if not (self.data / RATE).exists():
            write_json(self.data / RATE, {"qps": int(DEFAULT_RATE)})


class RateFile:
    """The allowed calls a second, read again whenever the file changes; a damaged file changes nothing."""

    def __init__(self, files: PlanFiles) -> None:
        self._files = files
        self._rate = files.load_rate()
        self._read_at = self._changed_at()

    def __call__(self) -> float:
        """Return the rate that holds now."""
        changed_at = self._changed_at()
        if changed_at != self._read_at:
            self._read_at = changed_at
            try:
                self._rate = self._files.load_rate()
                log.info("%s now allows %g calls a second.", RATE, self._rate)
            except UserMistake as mistake:
                log.warning("%s %g calls a second stay in force.", mistake, self._rate)
        return self._rate

    def _changed_at(self) -> tuple[int, int]:
        try:
            found = (self._files.data / RATE).stat()
        except OSError:
            return (0, 0)
        return found.st_mtime_ns, found.st_ino


def _breaks_by_id(value: Any) -> dict[int, list[float]]:
    """Return the breaks by category; ValueError says what is wrong with the file's content."""
    entries = value.get("taxonomies") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it has no list of taxonomies")
    breaks: dict[int, list[float]] = {}
    for entry in entries:
        taxonomy_id = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(taxonomy_id, int) or isinstance(taxonomy_id, bool) or taxonomy_id < 1:
            raise ValueError(f"{_short(entry)} has no id above 0")
        if taxonomy_id in breaks:
            raise ValueError(f"the category {_short(taxonomy_id)} is there twice")
        breaks[taxonomy_id] = _breaks(entry.get("price_breaks"))
    return breaks


def _breaks(value: Any) -> list[float]:
    """Return the breaks to the cent, as searches are asked for: closer ones would make the same search twice."""
    if not isinstance(value, list) or not value:
        raise ValueError(f"price_breaks are no list of prices but {_short(value)}")
    if len(value) > MOST_BREAKS:
        raise ValueError(f"{len(value):,} price_breaks are more than {MOST_BREAKS:,}")
    wrong = [price for price in value if not _is_price(price)]
    if wrong:
        raise ValueError(f"{_short(wrong[0])} is no price from 0 to {MOST_PRICE:,.0f}")
    breaks = [round(float(price), 2) for price in value]
    if breaks[0] != 0:
        raise ValueError(f"the first of the price_breaks is {breaks[0]:g}, and what costs less would never be seen")
    for low, high in itertools.pairwise(breaks):
        if low >= high:
            raise ValueError(f"price_breaks must rise by a cent or more, and {high:g} comes behind {low:g}")
    return breaks


def _short(value: Any) -> str:
    return reprlib.repr(value)[:MOST_SHOWN]


def _is_price(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= MOST_PRICE


def _loadable(breaks: Sequence[float]) -> list[float]:
    """Return the breaks without what `load_breaks` would refuse: a cycle finds anew where to cut."""
    kept = sorted({0.0, *(round(price, 2) for price in breaks if 0 <= price <= MOST_PRICE)})
    return kept[:: math.ceil(len(kept) / MOST_BREAKS)]
