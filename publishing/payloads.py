"""Values read out of a job's payload; JobFailed says which one is wrong and how it should be."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Collection, Mapping
from typing import Any

from publishing.canonical import NotJson, parse_json
from publishing.troubles import JobFailed

Payload = Mapping[str, Any]


def parse_payload(text: str | None) -> Payload:
    """Return the payload of a job's row, empty where it has none."""
    try:
        value = parse_json((text or "{}").encode("utf-8", "surrogatepass"))
    except NotJson as error:
        raise JobFailed(f"The job's payload is no JSON ({error}).", advice="Send the command again.") from error
    if not isinstance(value, dict):
        raise JobFailed("The job's payload is no JSON object.", advice="Send the command again.")
    return value


def text_of(payload: Payload, name: str, default: str | None = None) -> str:
    """Return a text that is not empty."""
    value = payload.get(name, default)
    if not isinstance(value, str) or not value.strip():
        raise _wrong(payload, name, "a text")
    return value


def find_text(payload: Payload, name: str) -> str | None:
    """Return a text, None where there is none."""
    return text_of(payload, name) if payload.get(name) is not None else None


def number_of(payload: Payload, name: str, low: float, high: float, default: float | None = None) -> float:
    """Return a number within its bounds, both included."""
    value = payload.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(payload, name, f"a number from {low:g} to {high:g}")
    if not low <= value <= high:
        raise _wrong(payload, name, f"a number from {low:g} to {high:g}")
    return float(value)


def whole_of(payload: Payload, name: str, low: int, high: int, default: int | None = None) -> int:
    """Return a whole number within its bounds, both included."""
    value = number_of(payload, name, low, high, default)
    if value != int(value):
        raise _wrong(payload, name, "a whole number")
    return int(value)


def choice_of(payload: Payload, name: str, choices: Collection[str], default: str | None = None) -> str:
    """Return one of the words."""
    value = payload.get(name, default)
    if value not in choices:
        raise _wrong(payload, name, f"one of {', '.join(choices)}")
    return str(value)


def flag_of(payload: Payload, name: str, default: bool) -> bool:
    """Return true or false."""
    value = payload.get(name, default)
    if not isinstance(value, bool):
        raise _wrong(payload, name, "true or false")
    return value


def object_of(payload: Payload, name: str) -> Mapping[str, Any]:
    """Return an object, an empty one where there is none."""
    value = payload.get(name, {})
    if not isinstance(value, dict):
        raise _wrong(payload, name, "an object")
    return value


def _wrong(payload: Payload, name: str, wanted: str) -> JobFailed:
    told = f"it is {reprlib.repr(payload[name])[:80]}" if name in payload else "it is missing"
    return JobFailed(f"The payload's {name} must be {wanted} ({told}).", advice="Send the command again, mended.")
