"""What became of each backup and mirror, kept in data/upkeep/ for the alerts and whoever else asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from runtime.settings import Home
from upkeep.notes import load_note, save_note


@dataclass(frozen=True, slots=True)
class Record:
    """One folder: when it was last tried, when it last succeeded (ISO 8601 UTC), why it failed, what was done."""

    tried_at: str = ""
    good_at: str = ""
    trouble: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class Records:
    """The records of one kind of work, by folder; only who holds the work's lock writes them."""

    def __init__(self, home: Home, work: str) -> None:
        self._home = home
        self._work = work

    def load(self) -> dict[str, Record]:
        """Return all records; none where there are none, or what is there makes no sense."""
        try:
            return {str(folder): Record(**told) for folder, told in (load_note(self._home, self._work) or {}).items()}
        except (TypeError, AttributeError):
            return {}

    def note(self, folder: Path, at: str, trouble: str = "", details: Mapping[str, Any] | None = None) -> None:
        """Write down a try at this folder; without trouble it is a success."""
        found = self.load()
        before = found.get(str(folder), Record())
        if trouble:
            found[str(folder)] = replace(before, tried_at=at, trouble=trouble)
        else:
            found[str(folder)] = Record(at, at, "", dict(details or {}))
        save_note(self._home, self._work, {name: asdict(record) for name, record in sorted(found.items())})
