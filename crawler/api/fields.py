"""Reading single values out of JSON that a stranger wrote: a value of the right kind, or None."""

from __future__ import annotations

import html
import json
import math
import re
from functools import lru_cache
from typing import Any

# Only entities that end in `;` are decoded: sellers write `?a=1&para=2`, which is no entity.
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
INTEGER = re.compile(r"\s*-?[0-9]{1,19}\s*")
LARGEST_INTEGER = 2**63 - 1  # that a database takes
LARGEST_ID = 2**53 - 1  # that is the same number in every program's JSON
LARGEST_COUNT = 2**31 - 1  # that its 4-byte columns take
AS_JSON = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make one for each list
DEEPEST = 20  # of lists in a list that is kept as JSON; Etsy's go two deep


def clean_text(text: str) -> str:
    """Return the text as meant for a reader: entities decoded once, no characters a database refuses."""
    return clean(_whole(text)) or ""


def clean(text: str | None) -> str | None:
    """Return the same of a text that was decoded from UTF-8 or read by `read_told`, None where there is none."""
    if text is None or ("&" not in text and "\x00" not in text):  # as most are
        return text
    return _without_entities(text).replace("\x00", "")


def _whole(text: str) -> str:
    """Return the text without halves of characters, which JSON can spell and no UTF-8 has."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _without_entities(text: str) -> str:
    # These two are nearly all; neither quote can be a part of another entity, so they may go first.
    text = text.replace("&#39;", "'").replace("&quot;", '"')
    left = text.count("&")
    if left == text.count("&amp;"):
        return text.replace("&amp;", "&") if left else text
    return ENTITY.sub(lambda match: _decoded(match.group()), text)


@lru_cache(maxsize=1_000)
def _decoded(entity: str) -> str:
    return html.unescape(entity)


def one_line(text: str) -> str:
    """Return the text as one line that a terminal shows as it is: for what a stranger says to us, not to be kept."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in clean_text(text)).split())


def read_text(row: dict[str, Any], key: str) -> str | None:
    """Return the text under the key, cleaned; numbers are taken as their digits."""
    return clean(read_told(row, key))


def read_told(row: dict[str, Any], key: str) -> str | None:
    """Return the text under the key, its entities as they were told; numbers are taken as their digits."""
    value = row.get(key)
    if isinstance(value, str):
        return _whole(value)
    return str(value) if _is_number(value) else None


def read_integer(row: dict[str, Any], key: str) -> int | None:
    """Return the whole number under the key; digits in a string count, fractions are cut."""
    value = row.get(key)
    if isinstance(value, str):
        # Not int() alone, which takes 1_000 and the digits of every script.
        value = int(value) if INTEGER.fullmatch(value) else None
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -LARGEST_INTEGER <= value <= LARGEST_INTEGER else None


def read_id(row: dict[str, Any], key: str) -> int | None:
    """Return the id under the key, None where that is no id."""
    value = read_integer(row, key)
    return value if value is not None and 0 < value <= LARGEST_ID else None


def read_count(row: dict[str, Any], key: str) -> int | None:
    """Return how many there are by what is under the key; a number that nothing can have says nothing."""
    value = read_integer(row, key)
    return value if value is not None and 0 <= value <= LARGEST_COUNT else None


def read_real(row: dict[str, Any], key: str) -> float | None:
    """Return the finite number under the key."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def read_flag(row: dict[str, Any], key: str) -> int | None:
    """Return 0 or 1 for a boolean under the key."""
    value = row.get(key)
    return int(value) if isinstance(value, bool) or value in (0, 1) else None


def read_list(row: dict[str, Any], key: str) -> list[Any]:
    """Return the list under the key, an empty one where there is none."""
    value = row.get(key)
    return value if isinstance(value, list) else []


def json_array(values: list[Any] | None) -> str:
    """Return the list as a JSON array with every text in it cleaned; `[]` for none.

    What is no number for a database, and what is nested deeper than any list of Etsy's, is null in it.
    """
    if not values:
        return "[]"
    return _joined(values) or AS_JSON(_cleaned(values, DEEPEST))


def _joined(values: list[Any]) -> str | None:
    """Return the list as a JSON array where all are texts in which nothing is to be cleaned or escaped, as most are."""
    try:
        text = '", "'.join(values)
    except TypeError:
        return None
    plain = text.isprintable() and "&" not in text and "\\" not in text and text.count('"') == 2 * len(values) - 2
    return f'["{text}"]' if plain else None


def _cleaned(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    # A hostile answer may be nested deeper than Python recurses.
    if isinstance(value, list) and depth:
        return [_cleaned(item, depth - 1) for item in value]
    if isinstance(value, dict) and depth:
        return {clean_text(str(key)): _cleaned(item, depth - 1) for key, item in value.items()}
    return value if isinstance(value, bool) or _is_number(value) else None


def _is_number(value: Any) -> bool:
    """Return whether the value is a number that a database and JSON take."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_INTEGER
