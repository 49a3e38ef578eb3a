"""What somebody looks for, read from words on a command line or a page: pictures, listings, images, words.

chair.jpg            a picture file        listing:123456  a listing that is embedded, by its first picture
"teak sideboard"     words                 image:9876543   one image of it; a number alone is a listing's
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import CrawlError, UserMistake
from runtime.files import trouble_in_words

NUMBER = re.compile(r"(?:(?P<kind>listing|image):)?(?P<id>[0-9]{1,18})")
LOOKS_LIKE_FILE = re.compile(r".*\.(?:jpe?g|png|gif|webp)", re.IGNORECASE)
MOST_BYTES = 20_000_000
WHAT = "Name a picture, a listing's number or words."


class StillAtWork(CrawlError):
    """The models are not done with a query; asked again in a moment, the answer is there."""


@dataclass(slots=True)
class Looked:
    """What is looked for, by its kinds."""

    bodies: list[bytes] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    listing_ids: list[int] = field(default_factory=list)
    image_ids: list[int] = field(default_factory=list)


def read_query(told: Sequence[str]) -> Looked:
    """Return what the words name; UserMistake where a picture file is missing or too large."""
    looked = Looked()
    for word in told:
        number, path = NUMBER.fullmatch(word), Path(word).expanduser()
        if number is not None:
            ids = looked.image_ids if number["kind"] == "image" else looked.listing_ids
            ids.append(int(number["id"]))
        elif LOOKS_LIKE_FILE.fullmatch(word) or _is_file(path):
            looked.bodies.append(_read(path))
        elif word.strip():
            looked.texts.append(word.strip())
    if not (looked.bodies or looked.texts or looked.listing_ids or looked.image_ids):
        raise UserMistake("There is nothing to look for.", advice=WHAT)
    return looked


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # words may be longer than a file's name can be
        return False


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserMistake(f"{path} has more than {MOST_BYTES // 1_000_000} MB.", advice="Name a smaller picture.")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserMistake(f"There is no picture {path}.", advice=WHAT) from error
    except OSError as error:
        raise trouble_in_words(error, path) from error
