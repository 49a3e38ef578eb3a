"""The position in the database: which state, where in it, in which cycle. Read strictly, written atomically.

An unknown state, another version or a cursor that makes no sense is an error, never a new beginning: whoever
sees it puts a dump's position back or repairs the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crawler.freshness import Cycle
from crawler.machine import CALLING, known_state
from crawler.outcome import Position
from crawler.store import state
from runtime.clock import iso, parse_iso
from runtime.errors import UserMistake

VERSION = 1
ADVICE = "Put an earlier position back with `python run.py restore checkpoints/state-….json`; nothing was changed."


def load_position() -> Position | None:
    """Return the position, None in a new database; UserMistake where the row makes no sense."""
    try:
        value = state.load("position")
        return None if value is None else position_of_json(value)
    except ValueError as error:
        raise UserMistake(f"The position in sync_state cannot be used: {error}.", advice=ADVICE) from error


def load_cycle() -> Cycle:
    """Return the cycle under way; UserMistake where the row makes no sense."""
    try:
        value = state.load("cycle")
        return Cycle(int(value["number"]), parse_iso(value["started_at"]))
    except (ValueError, KeyError, TypeError) as error:
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


def position_of_json(value: Any) -> Position:
    """Return the position that the JSON holds; ValueError says what is wrong with it."""
    if not isinstance(value, Mapping):
        raise ValueError("it is no object")
    if value.get("version") != VERSION:
        raise ValueError(f"its version is {value.get('version')!r}, this program knows {VERSION}")
    cursor, cycle, entered_at = value.get("cursor"), value.get("cycle"), value.get("entered_at")
    if not isinstance(cursor, Mapping):
        raise ValueError("its cursor is no object")
    if not isinstance(cycle, int) or isinstance(cycle, bool) or cycle < 1:
        raise ValueError(f"its cycle is {cycle!r}")
    if not isinstance(entered_at, str):
        raise ValueError("entered_at is missing")
    if value.get("state") == "SLEEP" and cursor.get("reason") == "quota":
        resume = position_of_json(cursor.get("resume"))
        if resume.state not in CALLING:
            raise ValueError(f"it sleeps for quota to go back to {resume.state}")
    return Position(known_state(str(value.get("state"))), cursor, cycle, entered_at)
