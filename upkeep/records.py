"""What became of each backup and mirror, kept in data/upkeep/ for the alerts and whoever else asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from runtime.errors import UserMistake
from runtime.files import make_folders, read_json, write_json
from runtime.settings import Home


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
        self._path = home.upkeep / f"{work}.json"

    def load(self) -> dict[str, Record]:
        """Return all records; none where there is no file, or one that makes no sense."""
        if not self._path.exists():
            return {}
        try:
            return {str(folder): Record(**told) for folder, told in read_json(self._path).items()}
        except (UserMistake, TypeError, AttributeError):
            return {}

    def note(self, folder: Path, at: str, trouble: str = "", details: Mapping[str, Any] | None = None) -> None:
        """Write down a try at this folder; without trouble it is a success."""
        found = self.load()
        before = found.get(str(folder), Record())
        if trouble:
            found[str(folder)] = replace(before, tried_at=at, trouble=trouble)
        else:
            found[str(folder)] = Record(at, at, "", dict(details or {}))
        make_folders(self._path.parent, self._home.root)
        write_json(self._path, {name: asdict(record) for name, record in sorted(found.items())})
