"""What the API says to one request, before it becomes bytes on a wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

JSON_TYPE = "application/json"
ENDLESS = 1 << 62
"""So many zeros never end."""


@dataclass(frozen=True)
class Answer:
    """One answer, and what happens to it on its way.

    `wire` is `whole`; `cut`: half of the body arrives, then the connection ends; `reset`: the
    connection is reset and nothing arrives; `hang`: nothing arrives for `delay_seconds`, then the
    connection ends; `drip`: the body arrives in 20 pieces over `delay_seconds`; `long` and `short`:
    the length that is told is 1,000 bytes over or under what arrives, and after a long one the
    connection ends; `endless`: no length is told. A whole answer starts `delay_seconds` late, and so
    many `zeros` follow its body. In-process callers act on it themselves: nothing here waits.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    wire: str = "whole"
    delay_seconds: float = 0.0
    zeros: int = 0

    def json(self) -> Any:
        """Return the body parsed."""
        return orjson.loads(self.body)


@dataclass(frozen=True)
class Call:
    """One request to the API as it arrived, with what it got and the fault that hit it (None: none)."""

    at: float
    wall: float
    endpoint: str
    params: dict[str, str]
    status: int
    fault: str | None = None


def answer_json(value: Any, status: int = 200) -> Answer:
    """Return plain data as an answer."""
    return answer_bytes(orjson.dumps(value), status)


def answer_bytes(body: bytes, status: int = 200, content_type: str = JSON_TYPE) -> Answer:
    """Return ready bytes as an answer."""
    return Answer(status, {"content-type": content_type}, body)


def answer_error(status: int, text: str) -> Answer:
    """Return an error with Etsy's one key."""
    return answer_json({"error": text}, status)
