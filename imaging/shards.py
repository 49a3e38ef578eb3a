"""Tar shards: many pictures in one plain file, each readable by itself through an index of byte offsets.

    raw-000000.tar           ustar, flat, not compressed: any tar tool reads it, and it is a WebDataset shard
    raw-000000.index.json    {"version": 1, "tar_bytes": N, "members": [[image_id, name, offset, size, digest], …]}

`pictures-…` hold background-free pictures, `raw-…` pictures as downloaded. A tar under its final name was read back
from the disk picture by picture, and its index was there before it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import reprlib
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from imaging.check import digest_of
from imaging.layout import number_of
from runtime.errors import OperatorNeeded
from runtime.files import sync_file, sync_folder, write_whole

PICTURES, RAW = "pictures", "raw"
NAME = re.compile(r"(?P<prefix>pictures|raw)-(?P<number>[0-9]{6,9})")
LEFT_OVER = re.compile(r"\.(?:pictures|raw)-[0-9]{6,9}\.(?:tar\.part|index\.json\..+)")
VERSION = 1
MODE = 0o644
LATEST_MTIME = 0o77777777777  # what fits into a ustar header: the year 2242
SYNC_BYTES = 32_000_000
OPEN_SHARDS = 16
FROM_A_COPY = "Put the shard back from a copy; without one, the picture has to be made again."


class ShardTrouble(OperatorNeeded):
    """A shard that cannot be used as a whole; `shard` is its name."""

    def __init__(self, shard: str, message: str, *, advice: str) -> None:
        super().__init__(message, advice=advice)
        self.shard = shard


class NoShard(ShardTrouble):
    """The tar is not there."""


class NoIndex(ShardTrouble):
    """The tar is there, its index is missing or cannot be read."""


class PictureTrouble(ShardTrouble):
    """One picture that the shard should give and does not; the others may be well."""

    def __init__(self, shard: str, image_id: int, what: str) -> None:
        super().__init__(shard, f"Picture {image_id} {what} shard {shard}.", advice=FROM_A_COPY)
        self.image_id = image_id


@dataclass(frozen=True, slots=True)
class Member:
    """One picture of a shard; `offset` is where its bytes begin in the tar."""

    image_id: int
    name: str
    offset: int
    size: int
    digest: str


def nothing() -> None:
    """Do nothing between two pictures."""


def shard_name(prefix: str, number: int) -> str:
    """Return a shard's name, which is its files' without their endings."""
    return f"{prefix}-{number:06d}"


def shard_number(shard: str) -> int:
    """Return the number in a shard's name."""
    return int(shard.rpartition("-")[2])


def shards_in(folder: Path, prefix: str) -> list[str]:
    """Return the names of the shards of this kind whose tar lies in the folder, by number; OSError."""
    names = [path.stem for path in folder.glob(f"{prefix}-*.tar") if NAME.fullmatch(path.stem)]
    return sorted(names, key=shard_number)


def tar_path(folder: Path, shard: str) -> Path:
    """Return where the shard's tar lies."""
    return folder / f"{shard}.tar"


def index_path(folder: Path, shard: str) -> Path:
    """Return where the shard's index lies."""
    return folder / f"{shard}.index.json"


def clear_left_overs(folder: Path) -> None:
    """Remove what a kill left half written; only while nobody writes a shard; OSError."""
    for path in folder.glob(".*"):
        if LEFT_OVER.fullmatch(path.name):
            path.unlink()


@contextlib.contextmanager
def disk_in_words(folder: Path) -> Iterator[None]:
    """Turn errors of the disk into words for the operator."""
    try:
        yield
    except OSError as error:
        raise OperatorNeeded(
            f"{error.filename or folder} cannot be used ({error.strerror or error}).",
            advice="Nothing is lost: free some space or mend the folder, then start again.",
        ) from error


class ShardWriter:
    """Writes one shard aside and gives it its name once it is whole on the disk; a context manager; OSError.

    Left before `finish`, it leaves nothing behind. `between` is called between two pictures and may raise.
    """

    def __init__(self, folder: Path, shard: str, between: Callable[[], None] = nothing) -> None:
        self.members: list[Member] = []
        self._folder, self._shard, self._between = folder, shard, between
        self._part = folder / f".{shard}.tar.part"
        self._synced_bytes = 0

    def __enter__(self) -> ShardWriter:
        self._file = self._part.open("xb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # on a full disk, of what was still to be written
            self._file.close()
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)

    def add(self, image_id: int, name: str, body: bytes, digest: str, mtime: float) -> None:
        """Append one picture."""
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = len(body), MODE, max(0, min(int(mtime), LATEST_MTIME))
        self._file.write(info.tobuf(tarfile.USTAR_FORMAT))
        self.members.append(Member(image_id, name, self._file.tell(), len(body), digest))
        self._file.write(body + bytes(-len(body) % tarfile.BLOCKSIZE))
        # Bit by bit: one sync of a gigabyte at the end could not be interrupted by a stop.
        if self._file.tell() - self._synced_bytes >= SYNC_BYTES:
            self._sync()

    def finish(self) -> None:
        """Give the shard its name once every picture was read back from the disk as it was written."""
        self._file.write(bytes(2 * tarfile.BLOCKSIZE))
        self._file.write(bytes(-self._file.tell() % tarfile.RECORDSIZE))
        self._sync()
        self._file.close()
        self._read_back()
        _write_index(self._folder, self._shard, self._synced_bytes, self.members)
        self._part.replace(tar_path(self._folder, self._shard))
        sync_folder(self._folder)

    def _sync(self) -> None:
        self._file.flush()
        sync_file(self._file.fileno())
        self._synced_bytes = self._file.tell()

    def _read_back(self) -> None:
        with self._part.open("rb") as part:
            damaged = _damaged(part.fileno(), self.members, self._between)
        if damaged:
            raise OperatorNeeded(
                f"The disk of {self._folder} gives back other bytes than were written ({len(damaged)} pictures).",
                advice="Nothing was changed. Check the disk before you start again.",
            )


class _OpenShard:
    """A shard's index and its open tar, closed when the last reader lets go of it."""

    def __init__(self, shard: str, descriptor: int, tar_bytes: int, members: Sequence[Member]) -> None:
        self.shard, self.descriptor, self.tar_bytes = shard, descriptor, tar_bytes
        self.members = {member.image_id: member for member in members}

    def __del__(self) -> None:
        os.close(self.descriptor)


class ShardReader:
    """Reads pictures out of shards without unpacking; safe to be used by several threads.

    It keeps the `kept` shards open that were used last. It raises NoShard, NoIndex and PictureTrouble, which say
    what to do. It changes no tar.
    """

    def __init__(self, folder: Path, kept: int = OPEN_SHARDS) -> None:
        self.folder = folder
        self._kept = kept
        self._open: OrderedDict[str, _OpenShard] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, shard: str, image_id: int) -> bytes:
        """Return a picture's bytes, checked against the index's digest."""
        opened = self._opened(shard)
        member = opened.members.get(image_id)
        if member is None:
            raise PictureTrouble(shard, image_id, "is not in")
        body = _read(opened.descriptor, member)
        if len(body) < member.size:
            raise PictureTrouble(shard, image_id, "is cut off, as after a power failure, in")
        if digest_of(body) != member.digest:
            raise PictureTrouble(shard, image_id, "has other bytes than were stored in")
        return body

    def members(self, shard: str) -> list[Member]:
        """Return what the index lists, in the order of the tar."""
        return list(self._opened(shard).members.values())

    def is_whole(self, shard: str) -> bool:
        """Return whether the tar is as long as its index says: a quick look that reads no picture."""
        opened = self._opened(shard)
        return os.fstat(opened.descriptor).st_size >= opened.tar_bytes

    def check(self, shard: str, between: Callable[[], None] = nothing) -> list[int]:
        """Read every picture from the disk; return the ids of those that are cut off or damaged."""
        opened = self._opened(shard)
        return _damaged(opened.descriptor, list(opened.members.values()), between)

    def sound_members(self, shard: str, between: Callable[[], None] = nothing) -> list[Member]:
        """Return those members that can be read whole; where the index is lost, those that the tar itself shows."""
        try:
            damaged = set(self.check(shard, between))
        except NoIndex:
            return self._scan(shard, between)
        return [member for member in self.members(shard) if member.image_id not in damaged]

    def rebuild_index(self, shard: str, between: Callable[[], None] = nothing) -> list[Member]:
        """Write the index anew from the tar alone; of a tar that is cut it holds the whole pictures."""
        members = self._scan(shard, between)
        self.write_index(shard, members)
        return members

    def drop(self, shard: str, image_ids: Collection[int]) -> None:
        """List these pictures no more; the tar stays as it is."""
        opened = self._opened(shard)
        left = [member for member in opened.members.values() if member.image_id not in image_ids]
        _write_index(self.folder, shard, opened.tar_bytes, left)
        self.forget(shard)

    def write_index(self, shard: str, members: Sequence[Member]) -> None:
        """Write an index that lists these members and takes the tar's length as it is."""
        _write_index(self.folder, shard, _size(self.folder, shard), members)
        self.forget(shard)

    def forget(self, shard: str) -> None:
        """Let go of what is kept of this shard."""
        with self._lock:
            self._open.pop(shard, None)

    def close(self) -> None:
        """Let go of every shard."""
        with self._lock:
            self._open.clear()

    def _opened(self, shard: str) -> _OpenShard:
        with self._lock:
            opened = self._open.get(shard) or self._load(shard)
            self._open[shard] = opened
            self._open.move_to_end(shard)
            while len(self._open) > self._kept:
                self._open.popitem(last=False)
        return opened

    def _load(self, shard: str) -> _OpenShard:
        _size(self.folder, shard)
        tar_bytes, members = _load_index(self.folder, shard)
        with disk_in_words(self.folder):
            descriptor = os.open(tar_path(self.folder, shard), os.O_RDONLY)
        return _OpenShard(shard, descriptor, tar_bytes, members)

    def _scan(self, shard: str, between: Callable[[], None]) -> list[Member]:
        size = _size(self.folder, shard)
        with disk_in_words(self.folder), tar_path(self.folder, shard).open("rb") as tar:
            return list(_members_of(tar.fileno(), size, between).values())


def _members_of(descriptor: int, tar_bytes: int, between: Callable[[], None]) -> dict[int, Member]:
    """Return the whole pictures that the tar's own headers show; of one that is there twice, the last."""
    found: dict[int, Member] = {}
    place = 0
    while place + tarfile.BLOCKSIZE <= tar_bytes:
        between()
        header = os.pread(descriptor, tarfile.BLOCKSIZE, place)
        place += tarfile.BLOCKSIZE
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            continue  # the end, or a damaged header: the one behind it may be whole
        image_id, end = number_of(info.name), place + info.size
        if info.size < 0:
            continue  # a header that leads backwards would be read for ever
        if image_id is not None and info.isreg() and end <= tar_bytes:
            body = os.pread(descriptor, info.size, place)
            found[image_id] = Member(image_id, info.name, place, info.size, digest_of(body))
        place = end + -end % tarfile.BLOCKSIZE
    return found


def _size(folder: Path, shard: str) -> int:
    """Return the tar's length; NoShard where it is not there."""
    try:
        if NAME.fullmatch(shard):
            return tar_path(folder, shard).stat().st_size
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OperatorNeeded(f"{folder} cannot be read ({error.strerror}).", advice="Check the disk.") from error
    raise NoShard(
        shard, f"There is no shard {shard} in {folder}.", advice="Mount its disk, or put the shard back from a copy."
    )


def _load_index(folder: Path, shard: str) -> tuple[int, list[Member]]:
    """Return the length that the tar must have, and its members."""
    path = index_path(folder, shard)
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["version"] != VERSION:
            raise ValueError(f"version {reprlib.repr(told['version'])}")
        return int(told["tar_bytes"]), [_member(*row) for row in told["members"]]
    except FileNotFoundError as error:
        what, advice = "has lost its index", "`python run.py archive` makes it anew from the tar."
        raise NoIndex(shard, f"Shard {shard} {what} {path}.", advice=advice) from error
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        what, advice = "has an unreadable index", "Delete it; `python run.py archive` makes it anew from the tar."
        raise NoIndex(shard, f"Shard {shard} {what} {path} ({error}).", advice=advice) from error


def _member(image_id: Any, name: Any, offset: Any, size: Any, digest: Any) -> Member:
    """Return the member that a row of the index tells; ValueError, TypeError where it tells none."""
    # The name becomes a path, whose file is removed once the picture is in the shard.
    if number_of(name) != image_id or not all(isinstance(told, int) and 0 <= told < 2**63 for told in (offset, size)):
        raise ValueError(f"{reprlib.repr([image_id, name, offset, size])} is no picture")
    return Member(int(image_id), name, int(offset), int(size), str(digest))


def _write_index(folder: Path, shard: str, tar_bytes: int, members: Sequence[Member]) -> None:
    told = {"version": VERSION, "tar_bytes": tar_bytes, "members": [astuple(member) for member in members]}
    write_whole(index_path(folder, shard), json.dumps(told, separators=(",", ":")))


def _damaged(descriptor: int, members: Sequence[Member], between: Callable[[], None]) -> list[int]:
    """Read the members, from the disk where the system allows that; return the ids of those that are not as stored."""
    if hasattr(os, "posix_fadvise"):
        # Otherwise it is the system's memory that is checked, which held what was written in any case.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    damaged = []
    for member in members:
        between()
        if digest_of(_read(descriptor, member)) != member.digest:
            damaged.append(member.image_id)
    return damaged


def _read(descriptor: int, member: Member) -> bytes:
    """Return the member's bytes, fewer where the tar or the disk gives no more."""
    try:
        return os.pread(descriptor, member.size, member.offset)
    except (OSError, MemoryError, OverflowError):  # the last two: of an index that tells sizes out of this world
        return b""
