"""Reading single values out of JSON that a stranger wrote: a value of the right kind, or None."""

from __future__ import annotations

import html
import json
import math
import re
from typing import Any

# Only entities that end in `;` are decoded: sellers write `?a=1&para=2`, which is no entity.
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
LARGEST_INTEGER = 2**63 - 1


def clean_text(text: str) -> str:
    """Return the text as meant for a reader: entities decoded once, no characters a database refuses."""
    decoded = ENTITY.sub(lambda match: html.unescape(match.group()), text)
    return decoded.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def read_text(row: dict[str, Any], key: str) -> str | None:
    """Return the text under the key, cleaned; numbers are taken as their digits."""
    value = row.get(key)
    if isinstance(value, str):
        return clean_text(value)
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def read_integer(row: dict[str, Any], key: str) -> int | None:
    """Return the whole number under the key; digits in a string count, fractions are cut."""
    value = row.get(key)
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            return None
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -LARGEST_INTEGER <= value <= LARGEST_INTEGER else None


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


def read_json_array(row: dict[str, Any], key: str) -> str:
    """Return the list under the key as a JSON array with every text in it cleaned; `[]` for none."""
    return json.dumps(_cleaned(read_list(row, key)), ensure_ascii=False)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(str(key)): _cleaned(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
