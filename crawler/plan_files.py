"""The files of `data/db/` that a person reads or edits: the price breaks, the category ids, the audit reports."""

from __future__ import annotations

import itertools
import logging
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
MOST_RATE = 1000.0
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
            return {int(entry["id"]): _breaks(entry["price_breaks"]) for entry in value["taxonomies"]}
        except (KeyError, TypeError, ValueError) as error:
            raise UserMistake(
                f"{path} does not have the form that is expected ({error}).",
                advice='It looks like {"taxonomies": [{"id": 967, "name": "Furniture", "price_breaks": [0, 5.45]}]}, '
                "breaks rising from 0. Mend it, or delete it: it is then written anew.",
            ) from error

    def write_breaks(self, breaks: Mapping[int, Sequence[float]], names: Mapping[int, str]) -> None:
        """Write the price breaks that the cycle ended with, for a person to read and edit."""
        entries = [{"id": i, "name": names.get(i, ""), "price_breaks": list(found)} for i, found in breaks.items()]
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
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= MOST_RATE:
            raise UserMistake(
                f'{path} must say {{"qps": 5}} with a number above 0 (it says {value!r}).',
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


def _breaks(value: Any) -> list[float]:
    breaks = [float(price) for price in value]
    rising = all(low < high for low, high in itertools.pairwise(breaks))
    if not breaks or breaks[0] < 0 or not rising or breaks[-1] == float("inf"):
        raise ValueError(f"price_breaks {value!r} do not rise from 0")
    return breaks
