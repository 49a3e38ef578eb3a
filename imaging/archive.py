"""Loose pictures into tar shards, full ones only.

    rows that wait → loose files → a shard written aside, read back, named → its rows point to it → loose files go

Killed in between, the next start finishes it: what was not named is removed, what was named gets its rows and loses
its loose files. A picture's loose file goes last, so at any moment its row leads to it, in a shard or loose.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from peewee import Database

from imaging.check import Refused, digest_of
from imaging.disk import BYTES_PER_GB, away_in_words
from imaging.layout import EXTENSIONS, Layout, Store
from imaging.shards import (
    PICTURES,
    Member,
    NoIndex,
    PictureTrouble,
    ShardReader,
    ShardWriter,
    clear_left_overs,
    disk_in_words,
    index_path,
    shard_name,
    shard_number,
    shards_in,
)
from imaging.store import archiving
from imaging.store.archiving import KINDS, Kind, Waiting, kind_of
from runtime.errors import OperatorNeeded
from runtime.stop import Stop

T = TypeVar("T")
PAGE = 500
BYTES_BESIDE = 1_024  # of a member: its header, what fills up its last block, its line in the index
BEGINNING = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP", re.DOTALL)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Archive:
    """What archiving works on: the database, the pictures, and the reader of their shards."""

    database: Database
    stop: Stop
    layout: Layout
    reader: ShardReader

    def store(self, kind: Kind) -> Store:
        """Return where pictures of this kind lie as loose files."""
        return self.layout.background_free if kind.prefix == PICTURES else self.layout.downloaded

    def refuse_if_away(self, kind: Kind) -> None:
        """Raise OperatorNeeded where no picture at all is there: its disk is gone, not the pictures."""
        away = away_in_words(self.store(kind), lambda: True)
        if away:
            raise OperatorNeeded(away, advice="Mount it, then start again; nothing was changed.")


@dataclass(frozen=True, slots=True)
class Loose:
    """A picture that waits and has a file."""

    image_id: int
    path: Path
    digest: str | None
    size_bytes: int


@dataclass(slots=True)
class Archived:
    """What one run did, by the kinds' prefixes; `begun` holds the kinds of which some pictures are in shards."""

    waiting: dict[str, int] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    shards: Counter[str] = field(default_factory=Counter)
    pictures: Counter[str] = field(default_factory=Counter)
    put_back: Counter[str] = field(default_factory=Counter)


class Archiver:
    """Archives what waits, after it has finished what a kill left unfinished.

    `observe` is told of the standing, and the name of the shard that is being written, after each picture.
    Only one process on a home may do this.
    """

    def __init__(
        self,
        archive: Archive,
        kinds: Sequence[Kind],
        shard_pictures: int,
        min_free_gb: float,
        observe: Callable[[Archived, str], None],
    ) -> None:
        self.done = Archived()
        self._archive = archive
        self._kinds = kinds
        self._shard_pictures = shard_pictures
        self._min_free_gb = min_free_gb
        self._observe = observe
        self._folder = archive.layout.shards

    def run(self) -> None:
        """Write as many full shards as there are pictures for; OperatorNeeded, Stopped."""
        archive = self._archive
        with disk_in_words(self._folder):
            for kind in self._kinds:
                if archiving.waiting_page(archive.database, archive.stop, kind, -1, 1):
                    archive.refuse_if_away(kind)
            last = archiving.highest_shards(archive.database, archive.stop)
            self._make_folder(any(last.values()))
            recover(archive)
            self.done.begun.update(prefix for prefix, shard in last.items() if shard)
            for kind in self._kinds:
                self.done.waiting[kind.prefix] = archiving.count_waiting(archive.database, archive.stop, kind)
            for kind in self._kinds:
                self._archive_kind(kind, last[kind.prefix])

    def _make_folder(self, some_are_there: bool) -> None:
        tars = [shard for prefix in KINDS for shard in shards_in(self._folder, prefix)]
        if some_are_there and not tars:
            raise OperatorNeeded(
                f"{self._folder} holds no shard, though pictures were archived in it: is its disk mounted?",
                advice="Mount it, or put the shards back from a copy, then start again; nothing was changed.",
            )
        self._folder.mkdir(parents=True, exist_ok=True)

    def _archive_kind(self, kind: Kind, last_named: str | None) -> None:
        there = shards_in(self._folder, kind.prefix)
        number = max((shard_number(shard) for shard in (*there, last_named) if shard), default=-1)
        source = self._find(kind)
        while self.done.waiting[kind.prefix] >= self._shard_pictures:
            number += 1
            if not self._make_shard(kind, shard_name(kind.prefix, number), source):
                break

    def _make_shard(self, kind: Kind, shard: str, source: Iterator[Loose]) -> bool:
        """Archive the next full batch; return False where the pictures do not suffice for one."""
        batch = list(islice(source, self._shard_pictures))
        if len(batch) < self._shard_pictures:
            return False
        self._refuse_if_full(batch)
        with ShardWriter(self._folder, shard, self._archive.stop.raise_if_requested) as writer:
            for loose in chain(batch, source):
                self._archive.stop.raise_if_requested()
                self._add(kind, writer, loose)
                self._observe(self.done, shard)
                if len(writer.members) == self._shard_pictures:
                    writer.finish()
                    break
            else:
                self._count(kind, -len(writer.members))
                return False
        self.done.begun.add(kind.prefix)
        self.done.shards[kind.prefix] += 1
        _settle(self._archive, shard, writer.members)
        return True

    def _add(self, kind: Kind, writer: ShardWriter, loose: Loose) -> None:
        try:
            body, digest, mtime = _read_loose(loose.path, kind, loose.digest)
        except Refused as refused:
            self._put_back(kind, [loose.image_id], refused.outcome)
            return
        writer.add(loose.image_id, loose.path.name, body, digest, mtime)
        self._count(kind, 1)

    def _count(self, kind: Kind, pictures: int) -> None:
        self.done.pictures[kind.prefix] += pictures
        self.done.waiting[kind.prefix] -= pictures

    def _find(self, kind: Kind) -> Iterator[Loose]:
        """Yield what waits by image_id; what has no file is put back."""
        archive, after_id = self._archive, -1
        while page := archiving.waiting_page(archive.database, archive.stop, kind, after_id, PAGE):
            archive.stop.raise_if_requested()
            found = [loose for waiting in page if (loose := _find_loose(archive.store(kind), kind, waiting))]
            missing = {waiting.image_id for waiting in page} - {loose.image_id for loose in found}
            if missing:
                self._put_back(kind, missing, "missing")
            yield from found
            after_id = page[-1].image_id

    def _put_back(self, kind: Kind, image_ids: Collection[int], outcome: str) -> None:
        if outcome == "missing":
            self._archive.refuse_if_away(kind)
        back = archiving.put_back(self._archive.database, self._archive.stop, kind, image_ids, outcome)
        self.done.put_back[kind.prefix] += len(back)
        self.done.waiting[kind.prefix] -= len(back)

    def _refuse_if_full(self, batch: Sequence[Loose]) -> None:
        needed_gb = sum(loose.size_bytes + BYTES_BESIDE for loose in batch) / BYTES_PER_GB
        free_gb = shutil.disk_usage(self._folder).free / BYTES_PER_GB
        if free_gb - needed_gb < self._min_free_gb:
            raise OperatorNeeded(
                f"The next shard needs {needed_gb:.1f} GB; {free_gb:.1f} GB are free on the disk of {self._folder}, "
                f"and MIN_FREE_GB keeps {self._min_free_gb:g}.",
                advice="Free some space, then start again; nothing is lost.",
            )


def recover(archive: Archive) -> None:
    """Finish what a kill left unfinished, and find tars that a power failure cut; only while nobody archives; OSError.

    The newest shard of each kind is looked at alone: a run ends one shard, loose files and all, before it begins the
    next, and it begins none before this has ended.
    """
    folder = archive.layout.shards
    clear_left_overs(folder)
    for prefix, kind in KINDS.items():
        shards = shards_in(folder, prefix)
        for shard in shards:
            if shard == shards[-1] or not index_path(folder, shard).exists():
                _mend(archive, shard)
        # Loose files go after their rows point to the shard: with no loose files there is nothing to finish.
        if shards and not archive.store(kind).is_away():
            _finish(archive, shards[-1])


def give_up(archive: Archive, shard: str, image_ids: Sequence[int]) -> None:
    """Take damaged pictures out of a shard: their rows go back to a loose file that is well, or come again."""
    for ids in _pages(image_ids):
        _release(archive, shard, ids)
    archive.reader.drop(shard, set(image_ids))


def _mend(archive: Archive, shard: str) -> None:
    """Make the index of a tar that is cut, or has lost its index, hold what is whole; the rest is given up."""
    try:
        if archive.reader.is_whole(shard):
            return
        log.warning("%s.tar is shorter than its index says: it was cut, as by a power failure.", shard)
    except NoIndex as error:
        log.warning("%s", error)
    sound = archive.reader.sound_members(shard, archive.stop.raise_if_requested)
    sound_ids, after_id, lost = {member.image_id for member in sound}, -1, 0
    while page := archiving.pointing_page(archive.database, archive.stop, shard, after_id, PAGE):
        damaged = [image_id for image_id in page if image_id not in sound_ids]
        _release(archive, shard, damaged)
        lost, after_id = lost + len(damaged), page[-1]
    # Last: until then the next start finds the same again.
    archive.reader.write_index(shard, sound)
    log.warning("%s holds %d whole pictures; %d others are loose again, or come again.", shard, len(sound), lost)


def _finish(archive: Archive, shard: str) -> None:
    """Set the rows of a shard that still lead to loose files, and remove loose files that have served."""
    damaged: list[int] = []
    for page in _pages(archive.reader.members(shard)):
        unsettled = archiving.loose(kind_of(shard), [member.image_id for member in page])
        sound = []
        for member in page:
            try:
                if _is_unfinished(archive, shard, member, member.image_id in unsettled):
                    sound.append(member)
            except PictureTrouble as error:
                log.warning("%s", error)
                damaged.append(member.image_id)
        _settle(archive, shard, sound)
    if damaged:
        give_up(archive, shard, damaged)


def _is_unfinished(archive: Archive, shard: str, member: Member, unsettled: bool) -> bool:
    """Return whether a picture is well in its shard while its row (`unsettled`) or a loose copy is as before it."""
    store = archive.store(kind_of(shard))
    copy = store.folder(member.image_id) / member.name
    # A picture that was made anew since then may have another ending.
    path = store.find(member.image_id) if unsettled else copy if copy.is_file() else None
    if path is None and not unsettled:
        return False
    archive.stop.raise_if_requested()
    body = archive.reader.read(shard, member.image_id)
    return path is None or path.read_bytes() == body


def _settle(archive: Archive, shard: str, members: Sequence[Member]) -> None:
    """Let the rows of these members point to the shard that holds them, then remove their loose files."""
    store = archive.store(kind_of(shard))
    for page in _pages(members):
        archive.stop.raise_if_requested()
        archiving.point(archive.database, archive.stop, shard, page)
        served = archiving.held(shard, [member.image_id for member in page])
        for member in page:
            if member.image_id in served:
                archive.stop.raise_if_requested()  # removing files is slow on some disks
                (store.folder(member.image_id) / member.name).unlink(missing_ok=True)


def _release(archive: Archive, shard: str, image_ids: Sequence[int]) -> None:
    """Take pictures out of the shard by their rows; those whose loose file is still there and well go back to it."""
    kind = kind_of(shard)
    store = archive.store(kind)
    digests = archiving.digests(shard, image_ids)
    loose = [image_id for image_id, digest in digests.items() if _is_well(store.find(image_id), kind, digest)]
    archiving.release(archive.database, archive.stop, shard, image_ids, loose)


def _is_well(path: Path | None, kind: Kind, digest: str | None) -> bool:
    try:
        return path is not None and bool(_read_loose(path, kind, digest))
    except Refused:
        return False


def _find_loose(store: Store, kind: Kind, waiting: Waiting) -> Loose | None:
    """Return the picture's file, None where there is none."""
    if not kind.described:
        path = store.find(waiting.image_id)
    else:
        path = store.path(waiting.image_id, waiting.format) if waiting.format in EXTENSIONS else None
    try:
        return Loose(waiting.image_id, path, waiting.digest, path.stat().st_size) if path else None
    except FileNotFoundError:
        return None


def _read_loose(path: Path, kind: Kind, digest: str | None) -> tuple[bytes, str, float]:
    """Return a file's bytes, their digest and its modification time; Refused where it is not what it should be."""
    try:
        with path.open("rb") as file:
            body, mtime = file.read(), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError as error:
        raise Refused("missing") from error
    found = digest_of(body)
    if found != digest if kind.described else not BEGINNING.match(body):
        raise Refused("damaged")
    return body, found, mtime


def _pages(values: Sequence[T]) -> Iterator[Sequence[T]]:
    return (values[begin : begin + PAGE] for begin in range(0, len(values), PAGE))
