"""One picture a listing, copied into imageprimary/; nothing is ever deleted there because a listing vanished.

    listings by id → the picture each should show → its bytes, loose or from a shard → written aside, renamed
      → a batch: rows say what is shown

A row says that its picture is shown only after its file is in place. Killed in between, a few are copied again.
"""

from __future__ import annotations

import logging
import os
import shutil
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imaging.archive import Archive, give_up
from imaging.check import Refused, digest_of
from imaging.disk import BYTES_PER_GB
from imaging.layout import EXTENSIONS, FOLDERS, Store, number_of
from imaging.shards import RAW, NoIndex, NoShard, PictureTrouble, disk_in_words
from imaging.store import archiving, primaries
from imaging.store.archiving import KINDS
from imaging.store.primaries import Candidate
from runtime.errors import OperatorNeeded

PAGE = 250
ENDINGS = tuple(EXTENSIONS.values())
HIGHEST_NUMBER = 2**61  # an array of 64 bits takes four times as much
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Standing:
    """What one run did: listings by what became of their picture.

    Of those that wait, `queued_again` had a bad file; others wait for the shards in `lost_shards`.
    """

    total: int = 0
    placed: int = 0
    changed: int = 0
    there: int = 0
    waiting: int = 0
    queued_again: int = 0
    lost_shards: set[str] = field(default_factory=set)

    @property
    def seen(self) -> int:
        """How many listings were looked at."""
        return self.placed + self.changed + self.there + self.waiting


class Names:
    """Which listings' pictures lie in a store, by one look into each folder; eight bytes a file."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folders: dict[int, array[int]] = {}

    def formats(self, number: int) -> list[str]:
        """Return the formats in which the picture with this number lies there."""
        folder = self._folders.get(number % FOLDERS)
        if folder is None:
            folder = self._folders[number % FOLDERS] = self._look(self._store.folder(number))
        first = number * len(ENDINGS)
        place = bisect_left(folder, first)
        found = folder[place : place + len(ENDINGS)]
        return [name for code, name in enumerate(EXTENSIONS) if first + code in found]

    def _look(self, folder: Path) -> array[int]:
        try:
            with os.scandir(folder) as entries:
                names = [Path(entry.name) for entry in entries]
        except FileNotFoundError:
            return array("q")
        numbers = ((number_of(name.name), name.suffix) for name in names)
        known = ((number, ending) for number, ending in numbers if number is not None and number < HIGHEST_NUMBER)
        return array("q", sorted(number * len(ENDINGS) + ENDINGS.index(ending) for number, ending in known))


class Primaries:
    """Makes imageprimary/ show each listing's primary picture, as far as it is downloaded.

    `observe` is told of the standing after each listing. Only one process on a home may do this.
    """

    def __init__(self, archive: Archive, min_free_gb: float, observe: Callable[[Standing], None]) -> None:
        self.standing = Standing()
        self._archive = archive
        self._min_free_gb = min_free_gb
        self._observe = observe
        self._store = archive.layout.primary
        self._names = Names(self._store)

    def run(self) -> None:
        """Go through all listings once; OperatorNeeded, Stopped."""
        database, stop = self._archive.database, self._archive.stop
        with disk_in_words(self._store.root):
            self.standing.total, shown = primaries.count(database, stop)
            if shown and self._store.is_away():
                raise OperatorNeeded(
                    f"{self._store.root} is not there, or empty, though it showed {shown:,} pictures: "
                    "is its disk mounted?",
                    advice=f"Mount it; to have all of them copied anew, make the folder {self._store.folder(0)}.",
                )
            self._store.prepare()
            after_id = -1
            while page := primaries.page(database, stop, after_id, PAGE):
                self._refuse_if_full()
                self._go_through(list(page.values()))
                stop.raise_if_requested()
                after_id = max(page)

    def _go_through(self, listings: Sequence[list[Candidate]]) -> None:
        """Place what is to be placed and write it down; ends early where a stop is asked for."""
        shown = []
        for candidates in listings:
            if self._archive.stop.requested():
                break
            wanted = choose(candidates)
            if wanted is None:
                self._leave(candidates)
            elif self._show(wanted, candidates):
                shown.append((wanted.listing_id, wanted.image_id))
            self._observe(self.standing)
        primaries.mark(self._archive.database, self._archive.stop, shown)

    def _leave(self, candidates: Sequence[Candidate]) -> None:
        """Count a listing for which there is nothing to do."""
        if any(one.is_primary and one.to_download and not one.download_done for one in candidates):
            self.standing.waiting += 1
        elif any(one.in_primary for one in candidates):
            self.standing.there += 1

    def _show(self, wanted: Candidate, candidates: Sequence[Candidate]) -> bool:
        """Place the picture unless it is there; return whether the rows are to be told."""
        formats = self._names.formats(wanted.listing_id)
        before = [one.image_id for one in candidates if one.in_primary]
        if before == [wanted.image_id] and wanted.format in formats:
            self._leave(candidates)
            return False
        try:
            body = self._read(wanted)
        except Refused:
            self.standing.waiting += 1
            return False
        self._place(wanted, body, formats)
        if any(image_id != wanted.image_id for image_id in before):
            self.standing.changed += 1
        else:
            self.standing.placed += 1
        return True

    def _read(self, wanted: Candidate) -> bytes:
        """Return the picture as it was downloaded; Refused where that is not to be had now."""
        if wanted.raw_shard:
            return self._read_member(wanted.raw_shard, wanted.image_id)
        store = self._archive.layout.downloaded
        try:
            body = store.path(wanted.image_id, wanted.format).read_bytes()
        except FileNotFoundError as error:
            raise self._queue_again(wanted, "missing") from error
        if digest_of(body) != wanted.digest:
            raise self._queue_again(wanted, "damaged")
        return body

    def _read_member(self, shard: str, image_id: int) -> bytes:
        try:
            return self._archive.reader.read(shard, image_id)
        except PictureTrouble as error:
            log.warning("%s It is queued again.", error)
            give_up(self._archive, shard, [image_id])
            self.standing.queued_again += 1
            raise Refused("damaged") from error
        except (NoShard, NoIndex) as error:
            if shard not in self.standing.lost_shards:
                log.warning("%s", error.words())
                self.standing.lost_shards.add(shard)
            raise Refused("missing") from error

    def _queue_again(self, wanted: Candidate, outcome: str) -> Refused:
        archive = self._archive
        if outcome == "missing":
            archive.refuse_if_away(KINDS[RAW])
        back = archiving.put_back(archive.database, archive.stop, KINDS[RAW], [wanted.image_id], outcome)
        if back:  # otherwise it was archived since its row was read
            log.warning(
                "Picture %d of listing %d is %s; it is queued again.", wanted.image_id, wanted.listing_id, outcome
            )
            self.standing.queued_again += 1
        return Refused(outcome)

    def _place(self, wanted: Candidate, body: bytes, formats: Sequence[str]) -> None:
        """Give the listing this picture; one in another format goes once the new one is there."""
        path = self._store.path(wanted.listing_id, wanted.format)
        path.parent.mkdir(exist_ok=True)
        aside = self._store.aside / path.name
        with aside.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        for name in formats:
            if name != wanted.format:
                self._store.path(wanted.listing_id, name).unlink(missing_ok=True)

    def _refuse_if_full(self) -> None:
        free_gb = shutil.disk_usage(self._store.root).free / BYTES_PER_GB
        if free_gb < self._min_free_gb:
            raise OperatorNeeded(
                f"{free_gb:.1f} GB are free on the disk of {self._store.root}, MIN_FREE_GB is {self._min_free_gb:g}.",
                advice="Free some space, then start again; nothing is lost.",
            )


def choose(candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the picture that the listing should show: its primary one, until that is there the one it shows. Pure."""
    there = [one for one in candidates if one.download_done and one.format]
    return max(there, key=lambda one: (one.is_primary, one.in_primary), default=None)
