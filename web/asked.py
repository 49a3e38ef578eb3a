"""Pictures that somebody looks for, kept by their digests in data/web/asked/ so that the address of a result stays.

The newest are kept, 200 MB of them; the folder can be deleted at any time.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from imaging.check import MOST_BYTES, Refused, check_picture
from runtime.errors import UserMistake
from runtime.files import make_folders, trouble_in_words, write_whole

MOST_KEPT_BYTES = 200_000_000
DIGEST = re.compile(r"[0-9a-f]{32}")
WORDS = {
    "too_large": f"it has more than {MOST_BYTES // 1_000_000} MB",
    "too_many_pixels": "it has more pixels than this program takes",
    "wrong_length": "its end is missing",
    "undecodable": "it is damaged",
    "placeholder": "it is too small",
    "html": "it is a page, not a picture",
}


class AskedPictures:
    """Takes pictures in, checked as downloaded ones are, and gives them back."""

    def __init__(self, folder: Path, root: Path, most_bytes: int = MOST_KEPT_BYTES) -> None:
        self._folder = folder
        self._root = root
        self._most_bytes = most_bytes

    def take(self, body: bytes) -> str:
        """Keep the picture and return its digest; UserMistake where it is none, OperatorNeeded."""
        if not body:
            raise UserMistake("No picture came.", advice="Choose one, drop it on the page or paste it.")
        try:
            digest = check_picture(body).digest
        except Refused as refused:
            why = WORDS.get(refused.outcome, "it is no JPEG, PNG, GIF or WebP")
            raise UserMistake(f"This picture cannot be used: {why}.", advice="Choose another one.") from refused
        path = self._folder / digest
        try:
            make_folders(self._folder, self._root)
            if path.exists():
                os.utime(path)
            else:
                write_whole(path, body)
            self._prune()
        except OSError as error:
            raise trouble_in_words(error, path) from error
        return digest

    def read(self, digest: str) -> bytes | None:
        """Return the picture with this digest, None where it is not kept (any more)."""
        if not DIGEST.fullmatch(digest):
            return None
        try:
            return (self._folder / digest).read_bytes()
        except OSError:
            return None

    def _prune(self) -> None:
        kept = 0
        told = [(path.stat(), path) for path in self._folder.iterdir() if DIGEST.fullmatch(path.name)]
        for stat, path in sorted(told, key=lambda one: one[0].st_mtime_ns, reverse=True):
            kept += stat.st_size
            if kept > self._most_bytes:
                with suppress(FileNotFoundError):
                    path.unlink()
