"""What a step answers: an event for the machine, the next cursor, and what to write down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crawler.changes import Change

Cursor = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Position:
    """Where the machine stands; `sync_state` holds it under the key `position`."""

    state: str
    cursor: Cursor
    cycle: int
    entered_at: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one step.

    `said` is a word for the progress display, `counts` numbers for it. `resume` is the state that the event
    quota_back goes back to, None for every other event.
    """

    event: str
    cursor: Cursor
    changes: tuple[Change, ...] = ()
    said: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    resume: str | None = None
