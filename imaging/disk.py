"""The disk that the pictures lie on: is it there, has it room, and is what was written really on it?"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from imaging.layout import Store

BYTES_PER_GB = 1_000_000_000


class Disk:
    """Says in words what keeps pictures from being stored in a folder; it waits for nothing itself.

    `any_loose` tells whether pictures should be there.
    """

    def __init__(self, store: Store, min_free_gb: float, any_loose: Callable[[], bool]) -> None:
        self._store = store
        self._min_free_gb = min_free_gb
        self._any_loose = any_loose
        self._prepared = False

    def trouble(self) -> str:
        """Return why nothing can be stored now, empty where it can; the folder is made when it is first needed."""
        root = self._store.root
        away = away_in_words(self._store, self._any_loose)
        if away:
            self._prepared = False
            return away
        try:
            if not self._prepared:
                self._store.prepare()
                self._prepared = True
            free_gb = shutil.disk_usage(root).free / BYTES_PER_GB
        except OSError as error:
            self._prepared = False
            return f"{root} cannot be used ({error.strerror})"
        if free_gb < self._min_free_gb:
            return f"{free_gb:.1f} GB are free on the disk of {root}, MIN_FREE_GB is {self._min_free_gb:,.10g}"
        return ""

    def unusable(self) -> None:
        """Note that something could not be stored: the folder is made ready anew before the next try."""
        self._prepared = False


def away_in_words(store: Store, any_loose: Callable[[], bool]) -> str:
    """Return that the folder is gone with all its pictures, empty where it is not (or none was ever stored)."""
    if not store.is_away() or not any_loose():
        return ""
    return f"{store.root} is not there, or empty, though pictures were stored in it: is its disk mounted?"


def put(path: Path, aside: Path, body: bytes, folders: set[Path], moment: int | None = None) -> None:
    """Store the bytes, whole under their name or not at all, as of that moment (Unix seconds); OSError.

    They are written `aside` first. `folders` are those known to be there, and learns this one.
    """
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            if os.write(descriptor, body) < len(body):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if moment is not None:
                os.utime(descriptor, (moment, moment))
        finally:
            os.close(descriptor)
        # Only now: where the disk has gone, nothing may be made in the empty folder that is left in its place.
        if path.parent not in folders:
            path.parent.mkdir(exist_ok=True)
            folders.add(path.parent)
        aside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


def settle(root: Path, files: Iterable[Path]) -> None:
    """Return when these files and their names are on the disk below `root`; OSError.

    Linux has one call for a whole file system, which took a tenth of the time of an fsync for each picture and its
    folder. Elsewhere each file and folder is synced; on a Mac the drive's own cache is emptied by the commit of the
    database that follows.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if sys.platform == "linux" else None
    if syncfs is not None:
        _each([root], syncfs)
        return
    files = list(files)
    _each([*files, *{path.parent for path in files}], os.fsync)


def _each(paths: Iterable[Path], sync: Callable[[int], int | None]) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if sync(descriptor):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
        finally:
            os.close(descriptor)
