"""Do files and rows belong together, both ways? For VERIFY, in stretches; it reads, and changes nothing.

A loose file is compared with its row by size and modification time, which the downloads set to the moment that the
row holds. Its bytes are read where these differ, and in every tenth cycle in any case: in the cycle whose number ends
as the picture's id does. So whatever a disk does in silence is found within ten cycles, and a cycle reads a tenth.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from imaging.check import digest_of
from imaging.disk import away_in_words
from imaging.layout import FOLDERS, Layout, Store, number_of
from imaging.shards import (
    OPEN_SHARDS,
    PICTURES,
    RAW,
    NoIndex,
    NoShard,
    ShardReader,
    index_path,
    shard_number,
    shards_in,
    tar_path,
)
from imaging.store import auditing, queue
from imaging.store.auditing import Row
from runtime.clock import parse_iso
from runtime.errors import OperatorNeeded
from runtime.findings import FileChecks, Findings

STRETCH = 5_000
FOLDERS_AT_ONCE = 20
ROTATION = 10
THREADS, CHUNK = 4, 250
RAW_MISSING, RAW_DAMAGED = "pictures_missing", "pictures_damaged"
FREE_MISSING, FREE_DAMAGED = "background_free_missing", "background_free_damaged"
DAMAGED = {RAW: RAW_DAMAGED, PICTURES: FREE_DAMAGED}
Gap = tuple[str, int]


class FileAudit:
    """Holds the files below `images/` against `image_status`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def checks(self) -> FileChecks:
        """Return the checks by name, in the order in which they are made."""
        return {"pictures": self.check_pictures, "files": self.check_files, "archived": self.check_shards}

    def check_pictures(self, cycle: int, after_id: int) -> Findings:
        """Audit the files of downloaded pictures behind an id: is each there, and as it was stored?"""
        away = away_in_words(self._layout.downloaded, queue.any_loose)
        if away:
            return Findings(0, None, strays={"pictures_not_looked_at": [away]})
        rows = auditing.done_after(after_id, STRETCH)
        if not rows:
            return Findings(0, None)
        look = _Look(self._layout, cycle)
        suspects = {image_id for _, image_id in look.at(rows)}
        # Seen again with what the rows say now: an archiving may have moved the file between row and look.
        gaps = set(_Look(self._layout, cycle).at(auditing.done_again(sorted(suspects))))
        strays = {"shards_not_looked_at": [look.away]} if look.away else {}
        return Findings(len({row.image_id for row in rows}), rows[-1].image_id, _by_kind(gaps), strays)

    def check_files(self, cycle: int, after_folder: int) -> Findings:
        """Audit the files of some folders: has each a row?"""
        looked_at, strays = 0, []
        for folder in range(after_folder, min(after_folder + FOLDERS_AT_ONCE, FOLDERS)):
            for store, known in (
                (self._layout.downloaded, auditing.known),
                (self._layout.background_free, auditing.known),
                (self._layout.primary, auditing.known_listings),
            ):
                names = _names(store.root / f"{folder:03d}")
                looked_at += len(names)
                numbers = {name: number_of(name) for name in names}
                there = known([number for number in numbers.values() if number is not None])
                odd = [name for name, number in numbers.items() if number not in there or number % FOLDERS != folder]
                strays += [f"{store.root.name}/{folder:03d}/{name}" for name in odd]
        following = after_folder + FOLDERS_AT_ONCE
        told = {"files_without_row": strays} if strays else {}
        return Findings(looked_at, following if following < FOLDERS else None, strays=told)

    def check_shards(self, cycle: int, after_place: int) -> Findings:
        """Audit one shard: is it whole, and has each picture in it a row? Its bytes are read as loose ones are."""
        shards = [shard for kind in (PICTURES, RAW) for shard in shards_in(self._layout.shards, kind)]
        if after_place >= len(shards):
            return Findings(0, None)
        shard, reader = shards[after_place], ShardReader(self._layout.shards)
        following = after_place + 1 if after_place + 1 < len(shards) else None
        try:
            members = [member.image_id for member in reader.members(shard)]
            damaged = set(reader.check(shard)) if self._is_to_be_read(reader, shard, cycle) else set()
        except OperatorNeeded as error:
            return Findings(0, following, strays={"shards_unreadable": [error.words()]})
        pointing = auditing.pointing_to(shard, sorted(damaged))
        known = auditing.known(members)
        orphans = [f"{shard}/{image_id}" for image_id in members if image_id not in known]
        gaps = {DAMAGED[shard.partition("-")[0]]: sorted(pointing)} if pointing else {}
        return Findings(len(members), following, gaps, {"shard_members_without_row": orphans} if orphans else {})

    def _is_to_be_read(self, reader: ShardReader, shard: str, cycle: int) -> bool:
        if not reader.is_whole(shard) or shard_number(shard) % ROTATION == cycle % ROTATION:
            return True
        # The index is written after the tar: a tar that is newer was touched since.
        tar, index = tar_path(self._layout.shards, shard), index_path(self._layout.shards, shard)
        return tar.stat().st_mtime > index.stat().st_mtime


class _Look:
    """One look at the files of some rows; what it knows of shards is not kept longer than that."""

    def __init__(self, layout: Layout, cycle: int) -> None:
        self._layout = layout
        self._cycle = cycle
        self._reader = ShardReader(layout.shards)
        self._holds = lru_cache(OPEN_SHARDS)(self._members_of)
        self._shards_away = not shards_in(layout.shards, PICTURES) and not shards_in(layout.shards, RAW)
        self.away = ""

    def at(self, rows: Sequence[Row]) -> list[Gap]:
        """Return what is wrong with the files of these rows; several threads, for the disk's sake."""
        chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
        with ThreadPoolExecutor(THREADS) as pool:
            return [gap for gaps in pool.map(self._at_some, chunks) for gap in gaps]

    def _at_some(self, rows: Iterable[Row]) -> list[Gap]:
        return [gap for row in rows for gap in self._gaps(row)]

    def _gaps(self, row: Row) -> Iterator[Gap]:
        """Return what is wrong with the files of a picture: the one as downloaded, and the background-free one."""
        if row.raw_shard is None:
            state = _state(self._layout.downloaded, row, row.image_id % ROTATION == self._cycle % ROTATION)
        else:
            state = "" if self._is_in(row.raw_shard, row.image_id) else "missing"
        if state:
            yield (RAW_MISSING if state == "missing" else RAW_DAMAGED), row.image_id
        if row.bg_removed and not self._has_background_free(row):
            yield FREE_MISSING, row.image_id

    def _has_background_free(self, row: Row) -> bool:
        if row.shard is not None:
            return self._is_in(row.shard, row.image_id)
        path = self._layout.background_free.find(row.image_id)
        try:
            return path is not None and path.stat().st_size > 0
        except FileNotFoundError:
            return False

    def _is_in(self, shard: str, image_id: int) -> bool:
        if self._shards_away:
            self.away = f"no shard lies in {self._layout.shards}, though rows name some: is its disk mounted?"
            return True
        return image_id in self._holds(shard)

    def _members_of(self, shard: str) -> frozenset[int]:
        """Return the pictures that a shard holds; none where it is not there."""
        try:
            return frozenset(member.image_id for member in self._reader.members(shard))
        except NoShard:
            return frozenset()
        except NoIndex:
            return frozenset(member.image_id for member in self._reader.sound_members(shard))


def _state(store: Store, row: Row, to_read: bool) -> str:
    """Return `missing` or `damaged` for a loose file that is not as its row says, else an empty text."""
    path = store.path(row.image_id, row.format) if row.format else store.find(row.image_id)
    try:
        if path is None:
            return "missing"
        told = path.stat()
        if row.size_bytes not in (None, told.st_size):
            return "damaged"
        if not to_read and row.downloaded_at is not None and told.st_mtime == _seconds(row.downloaded_at):
            return ""
        return "" if row.digest in (None, digest_of(path.read_bytes())) else "damaged"
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "damaged"


_seconds = lru_cache(4_096)(parse_iso)


def _names(folder: Path) -> list[str]:
    """Return the names of the files in a folder that a person would see."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []


def _by_kind(gaps: Iterable[Gap]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for kind, image_id in sorted(gaps):
        found[kind].append(image_id)
    return dict(found)
