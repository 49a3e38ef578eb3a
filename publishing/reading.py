"""A webhook's payload from standard input."""

from __future__ import annotations

import sys

from publishing.serving import MOST_BYTES
from runtime.errors import UserMistake


def read_payload() -> bytes:
    """Return what stands in standard input; UserMistake where it is more than a payload may have."""
    body = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise UserMistake(f"A payload may have {MOST_BYTES:,} bytes.", advice="Nothing was changed.")
    return body
