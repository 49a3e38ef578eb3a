"""One folder mirrored to another disk: copied with rsync where it is there, else by hand; then held against the first.

compare (is the source really there?) → databases (one moment's state) → copy and delete → compare, with samples
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path

from runtime.errors import OperatorNeeded
from runtime.stop import Stop
from upkeep.tools import run_tool
from upkeep.trees import Entry, copy_file, digest_of, joined, list_folder

LEFT_OUT = (".*", "*.lock", "*.owner.json", "*.db", "*.db-wal", "*.db-shm", "*.db-journal")
"""What is never mirrored as a file, by its name: databases that are being written are copied as one moment's state."""
LEFT_OUT_NAME = re.compile("|".join(map(translate, LEFT_OUT)))
SAMPLES = 50
MANY = 100  # files; that more than these and more than half are gone at once looks like a disk that is gone
TIMES_APART_NS = 2_000_000_000  # file systems of cameras keep every second second
VANISHED = 24  # rsync's exit status where files went while it copied; the comparison afterwards knows better
ASIDE = ".mirroring-"


@dataclass(frozen=True, slots=True)
class Pair:
    """A path below both folders, and what lies there on either side."""

    name: str
    mine: Entry | None
    theirs: Entry | None

    @property
    def is_same(self) -> bool:
        """Whether both sides have it, with one size and time."""
        mine, theirs = self.mine, self.theirs
        return (
            mine is not None
            and theirs is not None
            and mine.size == theirs.size
            and abs(mine.changed_ns - theirs.changed_ns) <= TIMES_APART_NS
        )


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What a mirror came to: files and bytes of the source, how many were copied and deleted, how many compared."""

    files: int
    size: int
    copied: int
    deleted: int
    digested: int


class Mirror:
    """Makes `target` hold what `source` holds; `rsync` is the program's path, None where there is none.

    `now_ns` tells the time in nanoseconds, as files have it.
    """

    def __init__(self, source: Path, target: Path, stop: Stop, rsync: str | None, now_ns: Callable[[], int]) -> None:
        self._source = source
        self._target = target
        self._stop = stop
        self._rsync = rsync
        self._now_ns = now_ns

    def run(self, full: bool = False, accept: bool = False) -> Mirrored:
        """Mirror and compare, with samples of the bytes (`full`: all); OperatorNeeded, OSError, Stopped.

        `accept` is a person's word that most of the files may really go.
        """
        began = self._now_ns()
        changed, gone = self._look_first(accept)
        self._target.mkdir(exist_ok=True)
        if self._rsync is None:
            self._copy_by_hand()
        else:
            self._copy_with(self._rsync)
        return self._compare(began, full, changed, gone)

    def _look_first(self, accept: bool) -> tuple[int, int]:
        """Return how many files are to be copied and deleted; OperatorNeeded where that cannot be meant."""
        changed = gone = there = 0
        for pair in compared(self._source, self._target):
            self._stop.raise_if_requested()
            there += pair.theirs is not None
            gone += pair.mine is None
            changed += pair.mine is not None and not pair.is_same
        is_empty = there > 0 and gone == there and not changed
        if (is_empty or (gone > MANY and gone * 2 > there)) and not accept:
            raise OperatorNeeded(
                f"{gone:,} of the {there:,} files in {self._target} are not in {self._source} any more.",
                advice="Is its disk mounted? If they may go: the same command with --accept.",
            )
        return changed, gone

    def _copy_with(self, rsync: str) -> None:
        excluded = [f"--exclude={pattern}" for pattern in LEFT_OUT]
        run_tool(
            [rsync, "-rlt", "--delete", *excluded, f"{self._source}/", f"{self._target}/"], self._stop, (VANISHED,)
        )

    def _copy_by_hand(self) -> None:
        for pair in compared(self._source, self._target):
            self._stop.raise_if_requested()
            target = self._target / pair.name
            if pair.mine is None:
                target.unlink()
            elif not pair.is_same:
                self._copy(pair.name)
        remove_empty(self._source, self._target)

    def _copy(self, name: str) -> None:
        target = self._target / name
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f"{ASIDE}{target.name}")
        aside.unlink(missing_ok=True)
        try:
            copy_file(self._source / name, aside, self._stop.raise_if_requested, sync=False)
        except FileNotFoundError:
            return  # it went meanwhile
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        aside.replace(target)

    def _compare(self, began_ns: int, full: bool, changed: int, gone: int) -> Mirrored:
        """Hold both sides against each other; what was changed since the beginning is for the next time."""
        files = size = 0
        wrong, chosen = list[str](), list[str]()
        dice = random.Random(began_ns)
        for pair in compared(self._source, self._target):
            self._stop.raise_if_requested()
            if pair.mine is None:
                continue
            files, size = files + 1, size + pair.mine.size
            if pair.mine.changed_ns >= began_ns - TIMES_APART_NS:
                continue
            if not pair.is_same:
                wrong.append(pair.name)
            elif full or len(chosen) < SAMPLES:
                chosen.append(pair.name)
            elif (place := dice.randrange(files)) < SAMPLES:
                chosen[place] = pair.name
        wrong += [name for name in chosen if not self._has_same_bytes(name)]
        if wrong:
            raise OperatorNeeded(
                f"{len(wrong):,} files in {self._target} are not as in {self._source}, {wrong[0]} for one.",
                advice="Check both disks, then try again.",
            )
        return Mirrored(files, size, changed, gone, len(chosen))

    def _has_same_bytes(self, name: str) -> bool:
        look = self._stop.raise_if_requested
        try:
            return digest_of(self._source / name, look) == digest_of(self._target / name, look)
        except FileNotFoundError:
            return not (self._source / name).exists()


def compared(source: Path, target: Path, below: str = "") -> Iterator[Pair]:
    """Return what lies in both folders and those below, folder by folder; what is never mirrored is left out."""
    mine, theirs = (list_folder(root, below, _is_left_out) for root in (source, target))
    for name in sorted({*mine.files, *theirs.files}):
        yield Pair(joined(below, name), mine.files.get(name), theirs.files.get(name))
    for name in sorted({*mine.folders, *theirs.folders}):
        yield from compared(source, target, joined(below, name))


def _is_left_out(name: str) -> bool:
    return LEFT_OUT_NAME.fullmatch(name) is not None


def remove_empty(source: Path, target: Path) -> None:
    """Remove the folders below `target` that are empty and not in `source`."""
    for folder, _, _ in os.walk(target, topdown=False):
        path = Path(folder)
        if path != target and not (source / path.relative_to(target)).is_dir() and not any(path.iterdir()):
            path.rmdir()


def find_rsync() -> str | None:
    """Return the path of rsync, None where it is not installed."""
    return shutil.which("rsync")
