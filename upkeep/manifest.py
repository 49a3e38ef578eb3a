"""What a backup holds: every file with its SHA-256, the rows of every database, where the crawl stood."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runtime.errors import OperatorNeeded, UserMistake
from runtime.files import read_json

MANIFEST = "manifest.json"
VERSION = 1
NAME = re.compile(r"backup-(?P<stamp>[0-9]{8}T[0-9]{6}Z)")
STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of a backup: its size, its SHA-256, and when its original was changed last (nanoseconds)."""

    size: int
    sha256: str
    changed_ns: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. `rows` are those of each database's tables; `position` is where the crawl stood."""

    made_at: str
    home: str
    crawl_database: str
    files: Mapping[str, Kept]
    rows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    position: Any = None
    version: int = VERSION

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def load_manifest(folder: Path) -> Manifest:
    """Return what the backup says of itself; UserMistake where the folder is none, or of a newer program."""
    path = folder / MANIFEST
    if not path.is_file():
        raise UserMistake(f"{folder} is no backup: it has no {MANIFEST}.")
    told = read_json(path)
    if isinstance(told, dict) and isinstance(told.get("version"), int) and told["version"] > VERSION:
        raise UserMistake(f"{folder} was made by a newer version of this program.", advice="Update the program.")
    try:
        files = {name: Kept(**kept) for name, kept in told["files"].items()}
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
            raise ValueError("a file outside the backup")
        return Manifest(**{**told, "files": files})
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise OperatorNeeded(f"{path} makes no sense ({error}).", advice="Take another backup.") from error


def backups_in(folder: Path) -> dict[float, Path]:
    """Return the backups in a folder by the moment that they are of (Unix seconds), oldest first."""
    return dict(sorted(_stamped(folder)))


def _stamped(folder: Path) -> Iterator[tuple[float, Path]]:
    for path in folder.iterdir():
        match = NAME.fullmatch(path.name)
        if match and (path / MANIFEST).is_file():
            yield datetime.strptime(match["stamp"], STAMP).replace(tzinfo=UTC).timestamp(), path


def name_of(moment: float) -> str:
    """Return the name of the backup of this moment (Unix seconds)."""
    return f"backup-{datetime.fromtimestamp(moment, UTC).strftime(STAMP)}"
