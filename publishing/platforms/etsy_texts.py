"""Texts as Etsy's document says that a listing may have them, and the line by which a listing is found again; pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

TITLE_SIGNS, TAG_SIGNS = "™©®", "™©®-'"
ONCE = "%:&+"
MOST_TITLE, MOST_TAGS, MOST_TAG = 140, 13, 20
MARK = "Ref. "


def title_for(text: str) -> str:
    """Return the title with what Etsy does not take left out: other signs, a second %, :, & or +."""
    kept, seen = list[str](), set[str]()
    for sign in text:
        category = unicodedata.category(sign)
        allowed = category[0] in "LP" or category in ("Nd", "Sm", "Zs") or sign in TITLE_SIGNS
        if allowed and not (sign in ONCE and sign in seen):
            kept.append(sign)
            seen.add(sign)
        elif sign.isspace():
            kept.append(" ")
    return re.sub(" +", " ", "".join(kept)).strip()[:MOST_TITLE].strip()


def tags_for(texts: Iterable[str]) -> list[str]:
    """Return the tags that Etsy takes of these, each once, at most 13 of at most 20 signs."""
    cleaned = ("".join(sign for sign in text if _is_of_tag(sign)).strip() for text in texts)
    return list(dict.fromkeys(tag for tag in cleaned if 0 < len(tag) <= MOST_TAG))[:MOST_TAGS]


def with_mark(description: str, file_id: str) -> str:
    """Return the description with its last line: the file's id, which no other listing has."""
    return f"{without_mark(description, file_id).rstrip()}\n\n{MARK}{file_id}"


def without_mark(description: str, file_id: str) -> str:
    """Return the description without that line."""
    return description.replace(f"{MARK}{file_id}", "")


def has_mark(description: str, file_id: str) -> bool:
    """Return whether the listing with this description was made for the file."""
    return f"{MARK}{file_id}" in description


def _is_of_tag(sign: str) -> bool:
    category = unicodedata.category(sign)
    return category[0] == "L" or category in ("Nd", "Zs") or sign in TAG_SIGNS
