"""SHA-256 of files of gigabytes, computed once: `hashes.json` remembers them by path, size and time of change."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from runtime.errors import OperatorNeeded, UserMistake
from runtime.files import read_json, trouble_in_words, write_json

NAME = "hashes.json"


def hash_of(path: Path, folder: Path) -> str:
    """Return the file's SHA-256, from `hashes.json` of the folder where that knows the file as it is now."""
    try:
        state = path.stat()
    except OSError as error:
        raise trouble_in_words(error, path) from error
    key, stamp = str(path.absolute()), f"{state.st_size} {state.st_mtime_ns}"
    known, _, found = str(_load(folder / NAME).get(key)).rpartition(" ")
    if known == stamp:
        return found
    found = digest_of_file(path)
    # A folder that is only to be read costs time at every start, nothing else.
    with contextlib.suppress(OperatorNeeded):
        write_json(folder / NAME, _load(folder / NAME) | {key: f"{stamp} {found}"})
    return found


def digest_of_file(path: Path) -> str:
    """Return the file's SHA-256, read anew; OperatorNeeded where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise trouble_in_words(error, path) from error


def _load(path: Path) -> dict[str, object]:
    """Return what was remembered; nothing where the file is missing or damaged, since it can be computed anew."""
    try:
        told = read_json(path)
    except UserMistake:
        return {}
    return told if isinstance(told, dict) else {}
