"""JSON in one form only, so that equal payloads have equal hashes; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any


class NotJson(ValueError):
    """The bytes are not one JSON value, or one that has no single meaning."""


def parse_json(body: bytes) -> Any:
    """Return the value; NotJson also for NaN, for a name that stands twice in an object, and for absurd depth."""
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse)
    except NotJson:
        raise
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error


def canonical(value: Any) -> str:
    """Return the value as JSON in ASCII: names in order, no spaces; NotJson for what JSON has no form for."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise NotJson(str(error)) from error


def hash_of(value: Any) -> str:
    """Return the SHA-256 of the value's canonical form, in hex."""
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise NotJson(f"the name {name!r} stands twice in one object")
        found[name] = value
    return found


def _refuse(constant: str) -> Any:
    raise NotJson(f"{constant} is no JSON")
