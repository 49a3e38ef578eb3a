"""Dumps: the whole standing of a crawl in one file, from which the position can be put back."""

from __future__ import annotations

import json
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crawler import checkpoint
from crawler.freshness import Cycle, Freshness
from crawler.machine import FIRST
from crawler.outcome import Position
from crawler.planning import load_walk
from crawler.survey import survey, working_position
from runtime.clock import Clock, iso, parse_iso
from runtime.errors import UserMistake
from runtime.files import read_json, write_whole
from runtime.logs import redact


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
    if not path.exists():
        raise UserMistake(f"There is no file {path}.", advice="Dumps lie in checkpoints/, named state-….json.")
    value = read_json(path)
    try:
        position = checkpoint.position_of_json(value["position"])
        cycle = Cycle(int(value["cycle"]["number"]), parse_iso(value["cycle"]["started_at"]))
    except (ValueError, KeyError, TypeError) as error:
        raise UserMistake(f"{path} is no dump with a position ({error}).", advice="Choose another one.") from error
    return position, cycle


def check_fits(position: Position) -> None:
    """Raise UserMistake where the database does not hold the plan that the position walks."""
    place = working_position(position)
    if place.state == FIRST:
        load_walk(place)


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
