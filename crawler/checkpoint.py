"""The position in the database: which state, where in it, in which cycle. Read strictly, written atomically.

An unknown state, another version or a cursor that makes no sense is an error, never a new beginning: whoever
sees it puts a dump's position back or repairs the row.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from crawler.freshness import Cycle
from crawler.machine import CALLING
from crawler.outcome import Position
from crawler.store import state
from runtime.clock import iso, parse_iso
from runtime.errors import UserMistake
from runtime.forms import (
    Form,
    is_flag,
    is_moment,
    is_number,
    is_text,
    is_whole,
    list_of,
    optional,
    table_of,
)

VERSION = 1
MOST_SHOWN = 60
MOST_CYCLE = 1_000_000_000


def _is_place(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and is_whole(value[2]) and is_moment(value[1])


CURSORS: Mapping[str, Mapping[str, Form]] = {
    "TAXONOMY": {
        **dict.fromkeys(("taxonomy_id", "offset", "rewinds", "passes", "doubtful_answers", "batch_size"), is_whole),
        **dict.fromkeys(("interval_id", "count", "first_count"), optional(is_whole)),
        "min_price": is_number,
        "max_price": optional(is_number),
        "sort_order": lambda value: value in ("asc", "desc"),
        **dict.fromkeys(("forced", "looking_back", "new_only"), is_flag),
    },
    "BACKFILL": {"batch_size": is_whole, "repairs": is_whole, "after": optional(_is_place), "known_left": is_flag},
    "VERIFY": {
        "repairs": is_whole,
        "check": is_text,
        "after": is_whole,
        "looked_at": table_of(is_whole),
        "gaps": table_of(is_whole),
        "examples": table_of(list_of(lambda value: is_whole(value) or is_text(value))),
        "queued": is_flag,
    },
    "REVIEWS": {
        **dict.fromkeys(("shop_id", "until", "newest", "count", "retry_after"), optional(is_whole)),
        **dict.fromkeys(("offset", "empty_answers"), is_whole),
    },
    "SLEEP": {"until": is_moment, "reason": lambda value: value in ("cycle", "quota")},
}
"""The form of what a state's cursor may hold; what it does not name is passed over."""
ADVICE = "Put an earlier position back with `python run.py restore checkpoints/state-….json`; nothing was changed."


def load_position() -> Position | None:
    """Return the position, None in a new database; UserMistake where the row makes no sense."""
    try:
        value = state.load("position")
        if value is None and state.is_begun():
            raise ValueError("there is none, though a crawl was begun")
        return None if value is None else position_of_json(value)
    except ValueError as error:
        raise UserMistake(f"The position in sync_state cannot be used: {error}.", advice=ADVICE) from error


def load_cycle() -> Cycle:
    """Return the cycle under way; UserMistake where the row makes no sense."""
    try:
        return cycle_of_json(state.load("cycle"))
    except ValueError as error:
        raise UserMistake(f"The cycle in sync_state cannot be used: {error}.", advice=ADVICE) from error


def save_position(position: Position) -> None:
    """Write the position; the caller holds the transaction that writes the rows."""
    state.save("position", position_as_json(position))


def save_cycle(cycle: Cycle) -> None:
    """Write the cycle under way."""
    state.save("cycle", {"number": cycle.number, "started_at": iso(cycle.started_at)})


def position_as_json(position: Position) -> dict[str, Any]:
    """Return the position in the form that the data model fixes."""
    return {
        "state": position.state,
        "cursor": dict(position.cursor),
        "cycle": position.cycle,
        "entered_at": position.entered_at,
        "version": VERSION,
    }


def cycle_of_json(value: Any) -> Cycle:
    """Return the cycle that the JSON holds; ValueError says what is wrong with it."""
    if not isinstance(value, Mapping):
        raise ValueError("it is no object")
    number, started_at = value.get("number"), value.get("started_at")
    if not _is_cycle(number):
        raise ValueError(f"its number is {_short(number)}")
    if not is_moment(started_at):
        raise ValueError(f"it started at {_short(started_at)}")
    return Cycle(int(str(number)), parse_iso(str(started_at)))


def position_of_json(value: Any) -> Position:
    """Return the position that the JSON holds; ValueError says what is wrong with it."""
    if not isinstance(value, Mapping):
        raise ValueError("it is no object")
    if value.get("version") != VERSION:
        raise ValueError(f"its version is {_short(value.get('version'))}, this program knows {VERSION}")
    cursor, cycle, entered_at = value.get("cursor"), value.get("cycle"), value.get("entered_at")
    if not isinstance(cursor, Mapping):
        raise ValueError("its cursor is no object")
    if not _is_cycle(cycle):
        raise ValueError(f"its cycle is {_short(cycle)}")
    if not isinstance(entered_at, str):
        raise ValueError("entered_at is missing")
    name = value.get("state")
    if not isinstance(name, str) or name not in CURSORS:
        raise ValueError(f"there is no state {_short(name)}")
    for field, form in CURSORS[name].items():
        if field in cursor and not form(cursor[field]):
            raise ValueError(f"its cursor says {_short(cursor[field])} for {field}")
    if name == "SLEEP" and cursor.get("reason") == "quota":
        resume = cursor.get("resume")
        # Looked at before what is in it is read: sleeps within sleeps may be deeper than Python recurses.
        if not isinstance(resume, Mapping) or resume.get("state") not in CALLING:
            raise ValueError("it sleeps for quota, and does not say where to go back to")
        position_of_json(resume)
    return Position(name, cursor, int(str(cycle)), entered_at)


def _is_cycle(value: Any) -> bool:
    return is_whole(value) and 1 <= value < MOST_CYCLE


def _short(value: Any) -> str:
    return reprlib.repr(value)[:MOST_SHOWN]  # repr itself fails where a value is nested deeper than Python recurses
