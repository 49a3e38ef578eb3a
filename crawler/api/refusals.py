"""What an error answer says: its words, and the listings that a batch's error names. Pure."""

from __future__ import annotations

import re
from typing import Any

from crawler.api.fields import one_line

MISSING_IDS = re.compile(r"Missing listing_ids:\s*([0-9,\s]+)")
LISTING_ID = re.compile(r"(?<![0-9])[0-9]{1,18}(?![0-9])")
MOST_REASONS = 1_000
MOST_ERROR = 3_000  # characters: the error that names a hundred dead listings must not be cut within an id


def parse_error(payload: Any) -> str:
    """Return what an error answer says, in one line; the two forms are an object and a list."""
    if isinstance(payload, dict):
        reasons = [payload.get("error") or payload.get("error_description")]
    else:
        reasons = payload if isinstance(payload, list) else [payload]
        reasons = [item.get("message", item) if isinstance(item, dict) else item for item in reasons[:MOST_REASONS]]
    words = "; ".join(_in_words(reason) for reason in reasons if reason is not None)
    return one_line(words)[:MOST_ERROR].strip() or "no reason given"


def parse_missing_ids(error: str) -> tuple[int, ...]:
    """Return the ids that a batch's 404 names as gone; none where it names none."""
    match = MISSING_IDS.search(error)
    return tuple(map(int, LISTING_ID.findall(match.group(1)))) if match else ()


def _in_words(reason: Any) -> str:
    try:
        return reason if isinstance(reason, str) else repr(reason)
    except (RecursionError, ValueError):  # nested too deep, or an integer of thousands of digits
        return type(reason).__name__
