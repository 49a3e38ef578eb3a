"""One backup into one folder: written aside, checked, renamed, made read-only; then what the rule drops is removed.

    databases (one moment's state, checked) → files (linked where unchanged) → manifest → rename → old ones go

A death at any point leaves a folder that is named as unfinished, and the backups that were there.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from runtime.clock import Clock, iso
from runtime.database import errors_in_words
from runtime.errors import OperatorNeeded
from runtime.files import sync_folder, write_json
from runtime.parts import Parts
from runtime.settings import Home
from runtime.stop import Stop
from upkeep.databases import copy_database, reading
from upkeep.dumping import dump_server
from upkeep.manifest import MANIFEST, Kept, Manifest, backups_in, load_manifest, name_of
from upkeep.retention import Rule, kept
from upkeep.trees import Entry, copy_file, digest_of, joined, list_folder, make_read_only, remove_tree, walk

UNFINISHED, GOING = ".unfinished-", ".going-"
SECRET_FILES = (".env", "settings.toml")
SERVER_DUMP = "data/db/postgresql.dump"
VECTORS = "data/embeddings/store"
SPARE = 1.05  # of the bytes that a backup needs
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Originals:
    """What of a home is backed up: SQLite files and what dumps a server, by their names in the backup; and the home."""

    home: Home
    databases: Mapping[str, Path]
    dumps: Mapping[str, Callable[[Path], None]]
    crawl_database: str

    def copies(self, stop: Stop) -> dict[str, Callable[[Path], Mapping[str, int] | None]]:
        """Return what copies each database into a new file, and counts its rows where that is known."""
        files = {name: partial(_copy, original, stop) for name, original in self.databases.items()}
        return {**files, **self.dumps}

    def files(self) -> Iterator[Entry]:
        """Return the settings, the files that a person may edit, and the vectors; names are below the home."""
        root = self.home.root
        yield from list_folder(root, "", lambda name: name not in SECRET_FILES).files.values()
        below = self.home.data.relative_to(root).as_posix()
        yield from list_folder(root, below, _is_no_setting).files.values()
        for entry in walk(root / VECTORS):
            yield replace(entry, name=joined(VECTORS, entry.name))


def originals(parts: Parts) -> Originals:
    """Return what is backed up of this home."""
    databases, dumps = dict[str, Path](), dict[str, Callable[[Path], None]]()
    crawl = parts.database_path
    name = SERVER_DUMP if crawl is None else f"data/db/{crawl.name}"
    if crawl is None:
        dumps[name] = partial(dump_server, parts.settings.database_url.get_secret_value(), stop=parts.stop)
    else:
        databases[name] = crawl
    publishing = parts.home.publishing_database
    if publishing.exists():
        databases[publishing.relative_to(parts.home.root).as_posix()] = publishing
    return Originals(parts.home, databases, dumps, name)


@dataclass(frozen=True, slots=True)
class Made:
    """What a backup came to."""

    path: Path
    manifest: Manifest
    linked: int
    removed: int


class Backup:
    """Makes backups of one home in one folder, which is ready and marked; one process at a time."""

    def __init__(self, originals: Originals, folder: Path, clock: Clock, stop: Stop, rule: Rule) -> None:
        self._originals = originals
        self._folder = folder
        self._clock = clock
        self._stop = stop
        self._rule = rule

    def make(self) -> Made:
        """Make one; OperatorNeeded, OSError, Stopped: then nothing of it is left but an unfinished folder."""
        self._clear_left_overs()
        there = backups_in(self._folder)
        moment = float(int(self._clock.now()))
        while moment in there:
            moment += 1.0
        last = list(there.values())[-1] if there else None
        aside = self._folder / f"{UNFINISHED}{name_of(moment)}"
        before = load_manifest(last).files if last else {}
        self._check_room(before)
        aside.mkdir()
        try:
            manifest, linked = self._fill(aside, moment, last, before)
        except BaseException:
            with suppress(OSError):
                remove_tree(aside)
            raise
        path = self._put_in_place(aside, name_of(moment))
        return Made(path, manifest, linked, self._remove_old())

    def _fill(self, aside: Path, moment: float, last: Path | None, before: Mapping[str, Kept]) -> tuple[Manifest, int]:
        files, rows = dict[str, Kept](), dict[str, Mapping[str, int]]()
        for name, copy in self._originals.copies(self._stop).items():
            target = aside / name
            target.parent.mkdir(parents=True, exist_ok=True)
            counted = copy(target)
            if counted is not None:
                rows[name] = counted
            size, digest = digest_of(target, self._stop.raise_if_requested)
            files[name] = Kept(size, digest, target.stat().st_mtime_ns)
        linked = 0
        # After the databases: what is only appended to has at least what the copy of the database speaks of.
        for entry in self._originals.files():
            found, was_linked = self._keep(entry, aside, last, before.get(entry.name))
            if found is not None:
                files[entry.name] = found
                linked += was_linked
        crawl = self._originals.crawl_database
        position = _position(aside / crawl, self._stop) if crawl in self._originals.databases else None
        made = Manifest(iso(moment), str(self._originals.home.root), crawl, files, rows, position)
        write_json(aside / MANIFEST, made.as_json())
        return made, linked

    def _keep(self, entry: Entry, aside: Path, last: Path | None, before: Kept | None) -> tuple[Kept | None, bool]:
        """Put a file into the backup, as a link to the last one's where it has not changed; None where it is gone."""
        source, target = self._originals.home.root / entry.name, aside / entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if last and before and (before.size, before.changed_ns) == (entry.size, entry.changed_ns):
            with suppress(OSError):  # some file systems know no links
                os.link(last / entry.name, target)
                return before, True
        try:
            size, digest = copy_file(source, target, self._stop.raise_if_requested)
        except FileNotFoundError:
            if source.exists():
                raise
            return None, False
        return Kept(size, digest, target.stat().st_mtime_ns), False

    def _put_in_place(self, aside: Path, name: str) -> Path:
        make_read_only(aside, SECRET_FILES)
        for folder in [*(path for path in aside.rglob("*") if path.is_dir()), aside]:
            sync_folder(folder)
        path = aside.rename(self._folder / name)
        path.chmod(0o555)
        sync_folder(self._folder)
        return path

    def _remove_old(self) -> int:
        there = backups_in(self._folder)
        gone = set(there) - kept(there, self._clock.now(), self._rule)
        for moment in gone:
            self._remove(there[moment])
        return len(gone)

    def _remove(self, path: Path) -> None:
        path.chmod(0o755)
        remove_tree(path.rename(self._folder / f"{GOING}{path.name}"))

    def _clear_left_overs(self) -> None:
        for path in self._folder.iterdir():
            if path.name.startswith((UNFINISHED, GOING)):
                log.info("Removing %s, which was left half done.", path)
                remove_tree(path)

    def _check_room(self, before: Mapping[str, Kept]) -> None:
        """Raise OperatorNeeded where the disk has too little room for what was not in the last backup as it is."""
        needed = sum(path.stat().st_size for path in self._originals.databases.values())
        for entry in self._originals.files():
            old = before.get(entry.name)
            needed += 0 if old and (old.size, old.changed_ns) == (entry.size, entry.changed_ns) else entry.size
        free = shutil.disk_usage(self._folder).free
        if free < needed * SPARE:
            raise OperatorNeeded(
                f"{self._folder} has {free / 1e9:.1f} GB free; a backup takes {needed * SPARE / 1e9:.1f} GB.",
                advice="Free some space, or keep fewer backups (BACKUP_KEEP_HOURS, _DAYS, _MONTHS).",
            )


def _is_no_setting(name: str) -> bool:
    return name.startswith(".") or name.endswith(".owner.json") or not name.endswith(".json")


def _copy(original: Path, stop: Stop, target: Path) -> Mapping[str, int]:
    return copy_database(original, target, stop)


def _position(path: Path, stop: Stop) -> Any:
    """Return where the crawl stood by the copy of its database, None where it had not begun."""
    with errors_in_words(path), reading(path, stop, alone=True) as database:
        row = database.execute("SELECT value FROM sync_state WHERE key = 'position'").fetchone()
    return json.loads(row[0]) if row else None
