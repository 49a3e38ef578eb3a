"""What one of the download's threads does with one picture: fetch, check, store as a file. No database."""

from __future__ import annotations

import os
import threading
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

from imaging.address import picture_url
from imaging.check import Picture, Refused, check_picture
from imaging.disk import put
from imaging.fetch import Fetcher
from imaging.layout import EXTENSIONS, FOLDERS, Store
from imaging.store.queue import Wanted
from runtime.clock import Clock
from runtime.errors import Stopped


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one picture: either `picture` and `path`, or `outcome`, or `disk` where it could not be stored.

    `stored_at` is the file's modification time (Unix seconds), `began` the monotonic time at which the try began.
    """

    wanted: Wanted
    began: float
    picture: Picture | None = None
    path: Path | None = None
    stored_at: int = 0
    fetched: bool = True
    outcome: str = ""
    words: str = ""
    wait_seconds: float = 0.0
    disk: str = ""


@dataclass(frozen=True, slots=True)
class Brought:
    """Bytes that have come, to be checked and stored; `there` is a file that lies in their place already."""

    wanted: Wanted
    began: float
    body: bytes
    there: Path | None


class PictureWorker:
    """Brings one picture after another, in two halves: `fetch` waits for the host, `store` works.

    Safe to be used by several threads.
    """

    def __init__(self, cdn_url: str, fetcher: Fetcher, store: Store, clock: Clock) -> None:
        self._cdn_url = cdn_url
        self._fetcher = fetcher
        self._store = store
        self._clock = clock
        self._folders: set[Path] = set()
        self._there: dict[int, array[int]] = {}

    def fetch(self, wanted: Wanted) -> Brought | Result | None:
        """Return the picture's bytes, or what became of it instead; None where a stop came first."""
        began = self._clock.monotonic()
        try:
            there = self._find(wanted)
            adopted = self._adopt(wanted, began, there) if there else None
            if adopted:
                return adopted
            url = picture_url(self._cdn_url, wanted.image_id, wanted.hex, wanted.suffix, wanted.url)
            return Brought(wanted, began, self._fetcher.fetch(url), there)
        except Stopped:
            return None
        except Refused as refused:
            return _refused(wanted, began, refused)
        except OSError as error:
            return self._not_stored(wanted, began, error)

    def store(self, brought: Brought) -> Result:
        """Check the bytes and store them as a file; return what became of the picture."""
        wanted, began = brought.wanted, brought.began
        try:
            picture = check_picture(brought.body)
            stored_at = int(self._clock.now())
            path = self._store.path(wanted.image_id, picture.format)
            aside = self._store.aside / f"{path.name}.{threading.get_ident()}"
            put(path, aside, brought.body, self._folders, stored_at)
            if brought.there is not None and brought.there != path:
                brought.there.unlink(missing_ok=True)
            return Result(wanted, began, picture, path, stored_at)
        except Refused as refused:
            return _refused(wanted, began, refused)
        except OSError as error:
            return self._not_stored(wanted, began, error)

    def _not_stored(self, wanted: Wanted, began: float, error: OSError) -> Result:
        self._folders.clear()
        self._there.clear()
        return Result(wanted, began, disk=f"{self._store.root} cannot be used ({error.strerror or error})")

    def _find(self, wanted: Wanted) -> Path | None:
        """Return the file that lies there already, if any; each folder is listed once, when it is first needed.

        Four looks at the disk for each picture cost more than the picture's decoding, for the threads wait for each
        other's. What this process stores itself has its row, and a row that was done before says so by its digest.
        """
        if wanted.digest is not None:
            return self._store.find(wanted.image_id)
        folder = wanted.image_id % FOLDERS
        there = self._there.get(folder)
        if there is None:
            there = self._there[folder] = self._store.numbers(folder)
        place = bisect_left(there, wanted.image_id)
        return self._store.find(wanted.image_id) if there[place : place + 1] == array("q", [wanted.image_id]) else None

    def _adopt(self, wanted: Wanted, began: float, path: Path) -> Result | None:
        """Return the picture whose file is there already: a kill came between the file and its row."""
        try:
            picture = check_picture(path.read_bytes())
        except Refused:
            return None
        if path.suffix != EXTENSIONS[picture.format] or wanted.digest not in (None, picture.digest):
            return None
        stored_at = int(path.stat().st_mtime)
        os.utime(path, (stored_at, stored_at))
        return Result(wanted, began, picture, path, stored_at, fetched=False)


def _refused(wanted: Wanted, began: float, refused: Refused) -> Result:
    return Result(wanted, began, outcome=refused.outcome, words=str(refused), wait_seconds=refused.wait_seconds)
