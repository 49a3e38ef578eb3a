"""Files of a folder, and copies of them: read once, and digested while they are copied."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.files import sync_file

CHUNK_BYTES = 1 << 20
Skip = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file: its path below the folder (with `/`), its size and the moment it was changed last (nanoseconds)."""

    name: str
    size: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class Listed:
    """What lies in one folder: its folders' names, and its plain files by their names. Links are neither."""

    folders: tuple[str, ...]
    files: Mapping[str, Entry]


def list_folder(root: Path, below: str, is_left_out: Skip = lambda name: False) -> Listed:
    """Return what lies in the folder `below` the root, by name; nothing where there is no such folder.

    `is_left_out` is asked with each name.
    """
    try:
        with os.scandir(root / below) as entries:
            there = sorted((entry for entry in entries if not is_left_out(entry.name)), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return Listed((), {})
    names = tuple(entry.name for entry in there if entry.is_dir(follow_symlinks=False))
    found = ((entry.name, _entry(below, entry)) for entry in there)
    return Listed(names, {name: entry for name, entry in found if entry is not None})


def walk(root: Path) -> Iterator[Entry]:
    """Return the plain files below the root, folder by folder, by name; what goes meanwhile is left out."""
    waiting = [""]
    while waiting:
        below = waiting.pop()
        there = list_folder(root, below)
        waiting += [joined(below, name) for name in reversed(there.folders)]
        yield from there.files.values()


def joined(below: str, name: str) -> str:
    """Return the path of a name in the folder `below`."""
    return f"{below}/{name}" if below else name


def _entry(below: str, entry: os.DirEntry[str]) -> Entry | None:
    try:
        told = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return Entry(joined(below, entry.name), told.st_size, told.st_mtime_ns) if stat.S_ISREG(told.st_mode) else None


def copy_file(source: Path, target: Path, look: Callable[[], None], sync: bool = True) -> tuple[int, str]:
    """Copy a file to a new one, with its time; return its size and SHA-256. `look` is called now and then; OSError.

    With `sync` it is on the disk when this returns.
    """
    with source.open("rb") as reading, target.open("xb") as writing:
        told = os.fstat(reading.fileno())
        size, digest = _pour(reading.read, writing.write, look)
        writing.flush()
        os.utime(writing.fileno(), ns=(told.st_atime_ns, told.st_mtime_ns))
        if sync:
            sync_file(writing.fileno())
    return size, digest


def digest_of(path: Path, look: Callable[[], None]) -> tuple[int, str]:
    """Return the file's size and SHA-256; OSError."""
    with path.open("rb") as reading:
        return _pour(reading.read, lambda chunk: None, look)


def _pour(read: Callable[[int], bytes], write: Callable[[bytes], object], look: Callable[[], None]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while chunk := read(CHUNK_BYTES):
        look()
        digest.update(chunk)
        write(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def make_read_only(folder: Path, secret: Collection[str] = ()) -> None:
    """Take the right to write from all below the folder; of the `secret` files others may not read either."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.chmod(0o555)
        else:
            path.chmod(0o400 if path.relative_to(folder).as_posix() in secret else 0o444)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all in it, also what is read-only; OSError."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    folder.rmdir()
