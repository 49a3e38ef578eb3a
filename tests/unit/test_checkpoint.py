"""The position in the database: written and read as the contract says, refused where it is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peewee import Database

from crawler import checkpoint
from crawler.api.quota import Quota
from crawler.freshness import Cycle
from crawler.outcome import Position
from crawler.store import state
from models import CRAWLER_MODELS, MIGRATIONS, Interval, SyncState
from runtime.database import open_database
from runtime.errors import UserMistake
from tests.rig import Rig

AT = "2026-11-20T15:04:05Z"
GOOD: dict[str, Any] = {
    "state": "TAXONOMY",
    "cursor": {"taxonomy_id": 967, "min_price": 0.0, "max_price": None, "offset": 300},
    "cycle": 3,
    "entered_at": AT,
    "version": 1,
}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database("sqlite:///db.sqlite", tmp_path, CRAWLER_MODELS, MIGRATIONS)
    yield database
    database.close()


def test_a_new_database_has_no_position(database: Database) -> None:
    assert checkpoint.load_position() is None


def test_a_position_is_written_in_the_form_of_the_contract_and_read_back(database: Database) -> None:
    position = Position("TAXONOMY", GOOD["cursor"], 3, AT)
    checkpoint.save_position(position)
    assert state.load("position") == GOOD
    assert checkpoint.load_position() == position
    checkpoint.save_position(Position("SLEEP", {"reason": "cycle", "until": AT}, 3, AT))
    assert SyncState.select().where(SyncState.key == "position").count() == 1


def test_a_cycle_is_written_and_read_back(database: Database) -> None:
    checkpoint.save_cycle(Cycle(4, 1_794_000_000.0))
    assert checkpoint.load_cycle() == Cycle(4, 1_794_000_000.0)


unknown = st.text().filter(lambda name: not any(name in known for known in checkpoint.CURSORS.values()))
"""Names that no state's cursor knows, and so may hold anything."""
cursors = st.dictionaries(unknown, st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False))


@given(st.sampled_from(["TAXONOMY", "BACKFILL", "VERIFY", "REVIEWS", "SLEEP"]), cursors, st.integers(1, 10**6))
def test_any_position_survives_being_written_down(name: str, cursor: dict[str, Any], cycle: int) -> None:
    position = Position(name, cursor, cycle, AT)
    assert checkpoint.position_of_json(checkpoint.position_as_json(position)) == position


DAMAGED = {
    "an unknown state": {**GOOD, "state": "IMAGES"},
    "a state in small letters": {**GOOD, "state": "taxonomy"},
    "no state": {**GOOD, "state": None},
    "another version": {**GOOD, "version": 2},
    "no version": {key: value for key, value in GOOD.items() if key != "version"},
    "no cursor": {**GOOD, "cursor": None},
    "a list for a cursor": {**GOOD, "cursor": [1]},
    "cycle 0": {**GOOD, "cycle": 0},
    "a cycle in words": {**GOOD, "cycle": "3"},
    "a boolean cycle": {**GOOD, "cycle": True},
    "no entered_at": {**GOOD, "entered_at": None},
    "a list": [GOOD],
    "null": None,
    "a text": "TAXONOMY",
}


@pytest.mark.parametrize("kind", sorted(DAMAGED.keys() - {"null"}))
def test_a_damaged_position_is_refused_with_advice_and_left_as_it_is(database: Database, kind: str) -> None:
    state.save("position", DAMAGED[kind])
    with pytest.raises(UserMistake) as mistake:
        checkpoint.load_position()
    assert "restore" in mistake.value.advice
    assert state.load("position") == DAMAGED[kind]


def test_a_position_that_is_no_json_is_refused(database: Database) -> None:
    SyncState.create(key="position", value='{"state": "TAXO')
    with pytest.raises(UserMistake):
        checkpoint.load_position()


@pytest.mark.parametrize("kind", sorted(DAMAGED))
def test_a_damaged_position_of_a_dump_is_told_as_a_value_error(kind: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        checkpoint.position_of_json(DAMAGED[kind])


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"number": "x", "started_at": AT},
        {"number": 1},
        {"number": 1, "started_at": "soon"},
        {"number": 0, "started_at": AT},
        {"number": 10**30, "started_at": AT},
        {"number": float("inf"), "started_at": AT},
        {"number": 1, "started_at": "9999-12-31T23:59:59Z"},
    ],
)
def test_a_damaged_cycle_is_refused(database: Database, value: Any) -> None:
    state.save("cycle", value)
    with pytest.raises(UserMistake):
        checkpoint.load_cycle()


SLEEPS: dict[str, Any] = {
    "no until": {"reason": "cycle"},
    "an until that is no moment": {"reason": "cycle", "until": "tomorrow"},
    "no position to resume": {"reason": "quota", "until": AT},
    "a damaged position to resume": {"reason": "quota", "until": AT, "resume": {**GOOD, "state": "NONE"}},
}
CURSORS: list[tuple[str, str, Any]] = [
    ("TAXONOMY", "no cursor of it", {"shop_id": 4}),
    ("TAXONOMY", "an offset below 0", {**GOOD["cursor"], "offset": -100}),
    ("TAXONOMY", "an interval that is not in the plan", {**GOOD["cursor"], "interval_id": 99}),
    ("TAXONOMY", "a number that no database takes", {**GOOD["cursor"], "interval_id": 10**30}),
    ("TAXONOMY", "a price that is none", {**GOOD["cursor"], "min_price": 1e300}),
    ("TAXONOMY", "a count in words", {**GOOD["cursor"], "count": "many"}),
    ("BACKFILL", "repairs in words", {"repairs": "two"}),
    ("VERIFY", "repairs in words", {"repairs": "two"}),
    ("VERIFY", "gaps that are none", {"gaps": {"listing_due": "many"}}),
    ("REVIEWS", "a shop in words", {"shop_id": "four"}),
    ("REVIEWS", "an offset below 0", {"shop_id": 4, "offset": -1}),
    *(("SLEEP", what, cursor) for what, cursor in SLEEPS.items()),
]


def test_where_a_crawl_was_begun_a_position_that_is_gone_is_no_new_beginning(database: Database) -> None:
    checkpoint.save_cycle(Cycle(4, 1_794_000_000.0))
    with pytest.raises(UserMistake, match="there is none, though a crawl was begun"):
        checkpoint.load_position()
    SyncState.delete().execute()
    assert checkpoint.load_position() is None
    Interval.create(cycle=1, taxonomy_id=967, min_price=0.0)
    with pytest.raises(UserMistake):
        checkpoint.load_position()


SOUND: dict[str, Any] = {
    "taxonomy": {
        "nodes": [{"id": 967, "name": "Furniture", "parent_id": None, "children_ids": [968]}],
        "other_ids": [1],
        "roots": [967],
        "at": AT,
    },
    "search_cap": 12_000,
    "quota": Quota(5_000, 4_000, 1_794_000_000.0).as_json(),
    "trouble": {"error": "x", "at": AT, "attempts": 1},
    "audit": {"finished_at": AT, "in_sync": True, "gaps": {}},
    "pictures": {"at": AT, "per_second": 2.5, "held": ""},
    "breaks": {"967": [0.0, 99.97]},
    "embedding": {"at": AT, "per_second": 0.5, "workers": {"here": 0.5}, "models": {"clip_vitb32": 11.0}},
    "vector_index": {"at": AT, "generation": 3, "rows": 100, "recall": {"clip_vitb32": 0.995}},
}
ODD_TEXTS = ("", "{", "null", "[]", "{}", "NaN", '"x"', "-1", "1" * 30, "[" * 100_000)


def test_every_form_of_knowledge_takes_what_the_program_writes(database: Database) -> None:
    assert SOUND.keys() == state.KNOWLEDGE.keys()
    for key, value in SOUND.items():
        assert state.load_known(key) is None
        state.save(key, value)
        assert state.load_known(key) == value
    assert state.rubbish_keys() == []


@pytest.mark.parametrize(
    ("key", "text"),
    [(key, text) for key in SOUND for text in ODD_TEXTS if (key, text) != ("breaks", "{}")],  # no break is an answer
)
def test_knowledge_that_makes_no_sense_is_as_none_and_is_forgotten(database: Database, key: str, text: str) -> None:
    SyncState.create(key=key, value=text)
    assert state.load_known(key) is None
    assert state.rubbish_keys() == [key] == state.forget_rubbish()
    assert SyncState.select().count() == 0


@pytest.mark.parametrize(("name", "what", "cursor"), CURSORS, ids=[f"{name}: {what}" for name, what, _ in CURSORS])
def test_a_cursor_that_makes_no_sense_stops_the_program_without_a_call_or_a_change(
    tmp_path: Path, name: str, what: str, cursor: dict[str, Any]
) -> None:
    rig = Rig(tmp_path / "home")
    rig.start()
    damaged = {**GOOD, "state": name, "cursor": cursor, "cycle": 1}
    state.save("position", damaged)
    with pytest.raises(UserMistake) as mistake:
        rig.start().run()
    assert mistake.value.advice
    assert state.load("position") == damaged
    assert rig.sandbox.calls == []
    rig.close()
