"""Small files that are whole or not there: written aside, synced, renamed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from runtime.errors import OperatorNeeded, UserMistake

ASIDE = re.compile(r"\..+\.json\.[a-z0-9_]{8}")
LEFT_OVER_SECONDS = 86_400.0  # what is younger may be at work yet
DISK = {
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Free some space",
    errno.EROFS: "Make its disk writable",
    errno.EACCES: "Make it and its folder writable",
    errno.EPERM: "Make it and its folder writable",
    errno.ENOENT: "Bring its folder back (is its disk mounted?)",
    errno.ENOTDIR: "Put its folders right",
    errno.EISDIR: "Put its folders right",
    errno.EEXIST: "Put its folders right",
    errno.ELOOP: "Put its folders right",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.EIO: "Check its disk",
    errno.ENXIO: "Check its disk",
    errno.ENODEV: "Check its disk",
    errno.ESTALE: "Bring its disk back",
    errno.ENOTCONN: "Bring its disk back",
    errno.EMFILE: "Close other programs or raise the limit of open files",
    errno.ENFILE: "Close other programs or raise the limit of open files",
}
"""What helps against the errors of disks."""


def trouble_in_words(error: OSError, where: Path | str | None = None) -> OperatorNeeded:
    """Return a disk's error as one of ours, with what to do."""
    advice = DISK.get(error.errno or 0, "Mend this")
    what = where or error.filename or "A file"
    return OperatorNeeded(f"{what} cannot be used ({error.strerror or error}).", advice=f"{advice}, then start again.")


def make_folders(folder: Path, root: Path) -> None:
    """Make the folder and those between it and `root`, which must be there: where its disk has gone, OSError."""
    for name in reversed([folder, *folder.parents][: len(folder.relative_to(root).parts)]):
        name.mkdir(exist_ok=True)


def clear_left_overs(folder: Path, now: float) -> None:
    """Remove what deaths a day ago or earlier left half written."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if ASIDE.fullmatch(path.name) and path.stat().st_mtime < now - LEFT_OVER_SECONDS:
                path.unlink()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write the text or bytes so that a reader, also after a power cut, sees the old file or the new one.

    At most the folder of the file is made: nothing appears where a whole disk has gone.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files that only their owner may read; these are for everybody on the machine.
            Path(aside).chmod(0o644)
            Path(aside).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(aside).unlink()
            raise
    except OSError as error:
        raise trouble_in_words(error, path) from error


def sync_file(descriptor: int) -> None:
    """Bring a file to the platter; OSError."""
    # macOS: plain fsync does not reach it, and some file systems know no other.
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # type: ignore[attr-defined,unused-ignore]
        return
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems sync no folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write the value as readable JSON, whole or not at all."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Return what the JSON file holds; UserMistake where it cannot be read or is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # thousands of brackets are nested deeper than Python reads
        raise UserMistake(
            f"{path} is not valid JSON ({error}).",
            advice="Mend the file, or delete it: it is then written anew.",
        ) from error
    except OSError as error:
        raise UserMistake(f"{path} cannot be read ({error.strerror}).") from error
