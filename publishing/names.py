"""Title and species out of a picture's file name: `heron - misty_morning.jpg` is a "Misty morning" of a heron; pure."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import NamedTuple

BETWEEN = re.compile(r"\s+-\s+|__")


class Words(NamedTuple):
    """What a file name says."""

    title: str
    species: str | None


def words_of(filename: str) -> Words:
    """Return the words of a file name: what stands before the first ` - ` or `__` is the species."""
    parts = [_plain(part) for part in BETWEEN.split(PurePath(filename).stem, maxsplit=1)]
    species = parts[0] if len(parts) == 2 and all(parts) else None
    title = next((part for part in reversed(parts) if part), "Untitled")
    return Words(title[:1].upper() + title[1:], species)


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).strip()
