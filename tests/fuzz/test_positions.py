"""A position in the database or in a dump: the crawl goes on from it, or it is refused in words and left as it is."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example
from hypothesis import strategies as st
from rich.console import Console

from crawler import checkpoint, dumps, report
from crawler.engine import Engine
from crawler.outcome import Outcome, Position
from crawler.parts import Parts
from crawler.survey import survey
from crawler.wiring import build_calling
from models import SyncState
from runtime.errors import UserMistake
from runtime.stop import Stop
from sandbox import Sandbox, SandboxSettings
from tests.fuzz.budget import fuzz
from tests.fuzz.odd import made, nested, values
from tests.fuzz.texts import files, written
from tests.rig import START, Rig, VirtualClock

AT = "2026-11-06T21:20:00Z"
WALK = {"taxonomy_id": 967, "min_price": 0.0, "max_price": None, "offset": 0, "interval_id": None, "batch_size": 100}
SLEEP = {"reason": "cycle", "until": "2026-11-13T21:20:00Z"}


def position(state: str, cursor: Any) -> dict[str, Any]:
    return {"state": state, "cursor": cursor, "cycle": 1, "entered_at": AT, "version": 1}


TAXONOMY = position("TAXONOMY", WALK)
VERIFYING = {
    "check": "shops",
    "after": 0,
    "queued": False,
    "repairs": 1,
    "looked_at": {"listings": 3},
    "gaps": {"a": 1},
}
POSITIONS = (
    TAXONOMY,
    position(
        "TAXONOMY", {**WALK, "interval_id": 1, "offset": 100, "count": 60, "first_count": 60, "looking_back": True}
    ),
    position("BACKFILL", {"batch_size": 50, "repairs": 1}),
    position("VERIFY", {**VERIFYING, "examples": {"a": [1, "x"]}}),
    position("REVIEWS", {"shop_id": 4, "offset": 100, "until": None, "newest": 1_790_000_000, "count": 130}),
    position("SLEEP", SLEEP),
    position("SLEEP", {"reason": "quota", "until": AT, "resume": TAXONOMY}),
)
CYCLE = {"number": 1, "started_at": AT}
DUMPS = [{"position": told, "cycle": CYCLE, "trouble": None} for told in POSITIONS]


def sleeps(times: int) -> Any:
    """Return a sleep within a sleep, so many times."""
    made: Any = TAXONOMY
    for _ in range(times):
        made = position("SLEEP", {"reason": "quota", "until": AT, "resume": made})
    return made


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A small market whose first cycle is over, and whose positions are tried."""
    clock = VirtualClock()
    sandbox = Sandbox(SandboxSettings(listings=30, shops=3, reviews_per_shop=4.0, epoch=int(START)), clock=clock.true)
    made = Rig(tmp_path / "home", sandbox, clock)
    made.run_until("SLEEP")
    yield made
    made.close()


def keep(key: str, text: Any) -> None:
    SyncState.insert(key=key, value=text).on_conflict_replace().execute()


def described(place: Position) -> None:
    """Say it in all the ways in which the program says it."""
    assert "cycle" in report.position_in_words(place) or place.state == "SLEEP"


@example(told=b"[" * 100_000, cycle=written(CYCLE))
@example(told=written(sleeps(300)), cycle=written(CYCLE))
@example(told=written(position("TAXONOMY", {**WALK, "count": "x"})), cycle=written(CYCLE))
@example(told=written(TAXONOMY), cycle=b'{"number": Infinity, "started_at": "2026-11-06T21:20:00Z"}')
@example(told=written(TAXONOMY), cycle=b'{"number": 1, "started_at": "9999-12-31T23:59:59Z"}')
@fuzz(
    "positions",
    told=files(*POSITIONS),
    cycle=st.just(written(CYCLE)) | files(CYCLE) | made(lambda value: written({**CYCLE, "started_at": value}), values),
)
def test_a_position_in_the_database_can_be_told_or_is_refused(rig: Rig, told: bytes, cycle: bytes) -> None:
    assert rig.database is not None
    with rig.database.atomic() as transaction:
        keep("position", told.decode("utf-8", "replace"))
        keep("cycle", cycle.decode("utf-8", "replace"))
        try:
            place = checkpoint.load_position()
            checkpoint.load_cycle()
        except UserMistake as mistake:
            assert "restore" in mistake.advice and len(mistake.words()) < 1_000
        else:
            assert place is not None
            described(place)
            json.dumps(survey(rig.calling.context.freshness, rig.clock.now()), default=str)
        transaction.rollback()


@example(content=b"[" * 100_000)
@example(content=written({"position": TAXONOMY, "cycle": {**CYCLE, "number": 2}}))
@example(content=written({"position": position("TAXONOMY", {**WALK, "interval_id": 10**30}), "cycle": CYCLE}))
@example(content=written({"position": position("VERIFY", {"repairs": "x"}), "cycle": CYCLE}))
@example(content=written({"position": position("VERIFY", {"examples": {"a": 1}}), "cycle": CYCLE}))
@example(content=written({"position": position("REVIEWS", {"shop_id": 2**70}), "cycle": CYCLE}))
@example(content=written({"position": position("SLEEP", nested(1, 600, "resume")), "cycle": CYCLE}))
@fuzz("dumps", content=files(*DUMPS))
def test_the_crawl_goes_on_from_a_dump_that_is_taken(rig: Rig, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "dump.json"
    path.write_bytes(content)
    assert rig.database is not None
    with rig.database.atomic() as transaction:
        try:
            place, cycle = dumps.load_dump(path)
            dumps.check_fits(place)
        except UserMistake as mistake:
            assert mistake.advice and len(mistake.words()) < 1_000
        else:
            checkpoint.save_cycle(cycle)
            checkpoint.save_position(place)
            described(place)
            steps_on(rig, 12)
        transaction.rollback()
    assert path.read_bytes() == content


def steps_on(rig: Rig, most_steps: int) -> None:
    """Let the crawl go on for a while from where the database says, all of it within the transaction that is open."""
    assert rig.database is not None
    stop, numbers = Stop(rig.clock, ()), itertools.count(1)
    parts = Parts(rig.settings, rig.home, rig.clock, stop, Console(quiet=True))
    calling = build_calling(parts, rig.wire, rig.slots, workers=0)

    def observe(place: Position, outcome: Outcome | None) -> None:
        described(place)
        if next(numbers) == most_steps:
            stop.ask("the test")

    Engine(calling.context, calling.ledger, rig.database.atomic, observe).run()
    assert rig.rows("PRAGMA foreign_key_check") == []


def test_a_dump_whose_shop_is_not_in_the_database_is_refused(rig: Rig) -> None:
    """Its reviews could not be stored."""
    with pytest.raises(UserMistake, match="shop 4711"):
        dumps.check_fits(checkpoint.position_of_json(position("REVIEWS", {"shop_id": 4711, "offset": 100})))


def test_a_name_that_no_disk_takes_is_refused() -> None:
    with pytest.raises(UserMistake, match="There is no file"):
        dumps.load_dump(Path("x" * 5_000))
