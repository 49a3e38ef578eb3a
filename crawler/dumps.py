"""Dumps: the whole standing of a crawl in one file, from which the position can be put back."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crawler import checkpoint
from crawler.freshness import Cycle, Freshness
from crawler.machine import FIRST
from crawler.outcome import Position
from crawler.planning import load_walk
from crawler.store import shops
from crawler.survey import survey, working_position
from runtime.clock import Clock, iso
from runtime.errors import UserMistake
from runtime.files import read_json, write_whole
from runtime.logs import redact

ANOTHER = "Choose another dump; nothing was changed."


def write_dump(folder: Path, freshness: Freshness, clock: Clock, secrets: Sequence[str]) -> Path:
    """Write `state-<UTC>.json` and return its path."""
    return _write(folder, survey(freshness, clock.now()), clock, secrets)


def write_crash(folder: Path, freshness: Freshness, clock: Clock, secrets: Sequence[str], error: BaseException) -> Path:
    """Write a dump with the traceback of a crash; the traceback alone where the database cannot be read."""
    told: dict[str, Any] = {"at": iso(clock.now())}
    try:
        told = survey(freshness, clock.now())
    except Exception as second:  # the crash may be about the database itself
        told["survey_failed"] = f"{type(second).__name__}: {second}"
    told["crash"] = "".join(traceback.format_exception(error))
    return _write(folder, told, clock, secrets)


def load_dump(path: Path) -> tuple[Position, Cycle]:
    """Return the position and the cycle that a dump holds; UserMistake where it is none."""
    if not os.path.lexists(path):  # Path.exists raises where a name is too long
        raise UserMistake(f"There is no file {path}.", advice="Dumps lie in checkpoints/, named state-….json.")
    value = read_json(path)
    told = value if isinstance(value, dict) else {}
    try:
        position, cycle = checkpoint.position_of_json(told.get("position")), checkpoint.cycle_of_json(told.get("cycle"))
        if position.cycle != cycle.number:
            raise ValueError(f"its position is of cycle {position.cycle}, its cycle is {cycle.number}")
    except ValueError as error:
        raise UserMistake(f"{path} is no dump with a position: {error}.", advice=ANOTHER) from error
    return position, cycle


def check_fits(position: Position) -> None:
    """Raise UserMistake where the crawl could not go on from the position with what the database holds."""
    place = working_position(position)
    shop_id = place.cursor.get("shop_id") if place.state == "REVIEWS" else None
    if place.state == FIRST:
        load_walk(place)
    elif shop_id is not None and shops.find_one(shop_id) is None:
        raise UserMistake(f"The position names the shop {shop_id}, which the database does not have.", advice=ANOTHER)
    if position.state == "SLEEP" and "until" not in position.cursor:
        raise UserMistake("The position sleeps, and does not say until when.", advice=ANOTHER)


def _write(folder: Path, told: dict[str, Any], clock: Clock, secrets: Sequence[str]) -> Path:
    stamp = iso(clock.now()).replace(":", "").replace("-", "")
    path = folder / f"state-{stamp}.json"
    # Two dumps within a second must both be kept.
    number = 1
    while path.exists():
        number += 1
        path = folder / f"state-{stamp}-{number}.json"
    text = json.dumps(told, indent=1, ensure_ascii=False, default=str)
    write_whole(path, redact(text, secrets) + "\n")
    return path
