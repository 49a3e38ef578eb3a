"""Many rows changed in one statement: which, and only those."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import Database, IntegrityError

from models import ImageStatus, IndexedShop, SyncState
from runtime import bulk
from tests.pictures import Shown, enqueue, open_home


@pytest.fixture(autouse=True)
def database(tmp_path: Path) -> Iterator[Database]:
    """Three listings: the first two show picture 4, each shows one more."""
    database = open_home(tmp_path)
    pairs = [(1, 4), (1, 5), (2, 4), (2, 6), (3, 7)]
    enqueue([Shown(listing_id, 9, image_id, "ab", "x1", 0) for listing_id, image_id in pairs])
    yield database
    database.close()


def told(*names: str) -> dict[tuple[int, int], Any]:
    """Return these columns of each row by listing and image, a single one as it is."""
    rows = bulk.dicts(ImageStatus.select().order_by(ImageStatus.listing, ImageStatus.image_id))
    return {
        (row["listing"], row["image_id"]): row[names[0]] if len(names) == 1 else tuple(row[name] for name in names)
        for row in rows
    }


def test_all_rows_with_the_key_are_changed_and_no_other() -> None:
    bulk.update(ImageStatus, [{"image_id": 4, "outcome": "timeout", "attempts": 2}], [ImageStatus.image_id])
    changed = {key: value for key, value in told("outcome", "attempts").items() if value != (None, 0)}
    assert changed == {(1, 4): ("timeout", 2), (2, 4): ("timeout", 2)}


def test_each_row_gets_its_own_values() -> None:
    rows = [{"image_id": image_id, "width": 10 * image_id} for image_id in (4, 6, 7)]
    bulk.update(ImageStatus, rows, [ImageStatus.image_id])
    assert told("width") == {(1, 4): 40, (1, 5): None, (2, 4): 40, (2, 6): 60, (3, 7): 70}


def test_a_key_of_two_fields_names_one_row_also_where_a_column_has_another_name_than_its_field() -> None:
    rows = [{"listing": 1, "image_id": 4, "hex": "cd"}, {"listing": 2, "image_id": 6, "hex": "ef"}]
    bulk.update(ImageStatus, rows, [ImageStatus.listing, ImageStatus.image_id])
    assert told("hex") == {(1, 4): "cd", (1, 5): "ab", (2, 4): "ab", (2, 6): "ef", (3, 7): "ab"}


def test_only_rows_for_which_the_condition_holds_are_changed() -> None:
    ImageStatus.update(download_done=1).where(ImageStatus.listing == 2).execute()
    bulk.update(
        ImageStatus,
        [{"image_id": image_id, "outcome": "timeout"} for image_id in (4, 6)],
        [ImageStatus.image_id],
        "download_done = 0",
    )
    assert [key for key, outcome in told("outcome").items() if outcome] == [(1, 4)]


def test_a_row_that_is_not_there_is_not_made() -> None:
    bulk.update(ImageStatus, [{"image_id": 99, "outcome": "timeout"}], [ImageStatus.image_id])
    assert len(told("outcome")) == 5
    assert not any(told("outcome").values())


def test_no_rows_are_nothing_to_do() -> None:
    before = told("outcome", "attempts")
    bulk.update(ImageStatus, [], [ImageStatus.image_id])
    assert told("outcome", "attempts") == before


def test_values_are_values_whatever_they_look_like() -> None:
    nasty = "x'; DROP TABLE image_status; -- \u00e9%s?"
    bulk.update(ImageStatus, [{"image_id": 4, "suffix": nasty, "format": None}], [ImageStatus.image_id])
    assert told("suffix", "format")[1, 4] == (nasty, None)


def test_what_the_database_refuses_is_peewees_own_error_and_nothing_is_half_changed(database: Database) -> None:
    before = told("hex")
    rows: list[dict[str, Any]] = [{"image_id": 4, "hex": "cd"}, {"image_id": 5, "hex": None}]
    with pytest.raises(IntegrityError), database.atomic():
        bulk.update(ImageStatus, rows, [ImageStatus.image_id])
    assert told("hex") == before


def test_more_rows_than_a_statement_has_room_for_are_changed_as_well(database: Database) -> None:
    with database.atomic():
        bulk.insert_new(SyncState, [{"key": f"k{number}", "value": "old"} for number in range(5_000)])
        changed = [{"key": f"k{number}", "value": str(number)} for number in range(5_000)]
        bulk.update(SyncState, changed, [SyncState.key])
    rows = bulk.dicts(SyncState.select().where(SyncState.key.startswith("k")))
    assert {row["key"]: row["value"] for row in rows} == {f"k{number}": str(number) for number in range(5_000)}


SHOP = {"shop_id": 1, "seen_cycle": 3, "detail_due_at": "2026-11-20T00:00:00Z", "visited_review_average": 4.5}
FIELDS = (IndexedShop.seen_cycle, IndexedShop.detail_due_at, IndexedShop.visited_review_average)


def shops() -> dict[int, tuple[Any, ...]]:
    """Return all shops of the index, these fields of them."""
    rows = bulk.find(IndexedShop.shop_id, range(1, 10), (IndexedShop.shop_id, *FIELDS))
    return {row[0]: row[1:] for row in rows}


DUE = "2026-11-20T00:00:00Z"
KEYED = (IndexedShop.shop_id, *FIELDS)


def test_of_rows_that_are_there_what_differs_is_updated_and_the_others_are_inserted(database: Database) -> None:
    with database.atomic():
        bulk.upsert_differing(KEYED, [(1, 3, DUE, 4.5), (2, 3, DUE, 4.5)], FIELDS)
        bulk.upsert_differing(KEYED, [(1, 4, DUE, 4.5), (2, 3, None, None), (3, 3, DUE, 4.5)], FIELDS)
    assert shops() == {1: (4, DUE, 4.5), 2: (3, None, None), 3: (3, DUE, 4.5)}


def test_fields_that_are_not_to_be_updated_stay_as_they_are(database: Database) -> None:
    with database.atomic():
        bulk.insert_new(IndexedShop, [SHOP])
        fields = (IndexedShop.shop_id, IndexedShop.detail_due_at, IndexedShop.seen_cycle)
        bulk.upsert_differing(fields, [(1, "later", 4)], [IndexedShop.seen_cycle])
    assert shops() == {1: (4, DUE, 4.5)}


def test_rows_that_the_caller_has_read_are_not_read_again(database: Database) -> None:
    with database.atomic():
        bulk.insert_new(IndexedShop, [SHOP])
        bulk.upsert_differing(KEYED, [(1, 4, DUE, None)], FIELDS, {1: (4, DUE, 4.5)})
    assert shops() == {1: (3, DUE, None)}, "seen_cycle does not differ from what the caller read"


def test_no_index_is_written_for_a_column_that_stays(database: Database) -> None:
    bulk.insert_new(IndexedShop, [SHOP])
    execute: Any = database.execute_sql
    execute("CREATE TEMP TABLE named (one TEXT)")
    for name in ("seen_cycle", "detail_due_at", "visited_review_average"):
        insert = f"INSERT INTO named VALUES ('{name}')"
        execute(f"CREATE TEMP TRIGGER of_{name} AFTER UPDATE OF {name} ON indexed_shops BEGIN {insert}; END")
    with database.atomic():
        bulk.upsert_differing(KEYED, [(1, 4, DUE, 4.5)], FIELDS)
        bulk.upsert_differing(KEYED, [(1, 4, DUE, 4.5)], FIELDS)
    assert execute("SELECT one FROM named").fetchall() == [("seen_cycle",)]


SEEN_IN = bulk.Prepared(
    IndexedShop,
    lambda: (
        IndexedShop.select(IndexedShop.shop_id)
        .where(IndexedShop.seen_cycle == bulk.slot("cycle"), IndexedShop.gone == 0)
        .order_by(IndexedShop.shop_id)
        .limit(bulk.slot("limit"))
    ),
)
RAISE = bulk.Prepared(
    IndexedShop,
    lambda: IndexedShop.update(
        seen_cycle=IndexedShop.seen_cycle + bulk.slot("by"), detail_due_at=bulk.slot("at")
    ).where(IndexedShop.shop_id == bulk.slot("shop_id")),
)


def test_a_prepared_query_runs_with_the_values_of_each_time(database: Database) -> None:
    bulk.insert_new(IndexedShop, [{**SHOP, "shop_id": number, "seen_cycle": number % 2} for number in range(1, 7)])
    assert SEEN_IN.rows(cycle=1, limit=2) == [(1,), (3,)]
    assert SEEN_IN.rows(cycle=0, limit=9) == [(2,), (4,), (6,)]
    assert (SEEN_IN.row(cycle=0, limit=9), SEEN_IN.row(cycle=7, limit=9)) == ((2,), None)


def test_a_prepared_change_tells_how_many_rows_it_changed(database: Database) -> None:
    bulk.insert_new(IndexedShop, [SHOP])
    assert (RAISE.run(shop_id=1, by=2, at=None), RAISE.run(shop_id=9, by=1, at=DUE)) == (1, 0)
    assert shops() == {1: (5, None, 4.5)}


def test_a_prepared_query_follows_its_model_to_another_database(tmp_path: Path) -> None:
    bulk.insert_new(IndexedShop, [SHOP])
    assert SEEN_IN.rows(cycle=3, limit=9) == [(1,)]
    (tmp_path / "other" / "data").mkdir(parents=True)
    other = open_home(tmp_path / "other")
    assert SEEN_IN.rows(cycle=3, limit=9) == []
    other.close()


def test_rows_are_found_by_digits_too_and_no_ids_find_none(database: Database) -> None:
    with database.atomic():
        bulk.insert_new(SyncState, [{"key": str(number), "value": "x"} for number in range(5)])
    assert sorted(bulk.find(SyncState.key, [1, 3, 9], [SyncState.key])) == [("1",), ("3",)]
    assert bulk.find(SyncState.key, [], [SyncState.key]) == []


@pytest.mark.parametrize("number", [1, 2, 3, 64, 100, 511, 513, 1_300])
def test_however_many_rows_are_inserted_and_sought_each_is_there_once(database: Database, number: int) -> None:
    texts = [(f"{one}", f"v{one}") for one in range(number)]
    with database.atomic():
        bulk.insert_new(SyncState, [{"key": "0", "value": "old"}])
        bulk.insert_new_tuples([SyncState.key, SyncState.value], texts)
    there = {key: "old" if key == "0" else value for key, value in texts}
    assert dict(bulk.raw(SyncState.select(SyncState.key, SyncState.value))) == there
    found = bulk.find(SyncState.key, range(-5, number + 5), [SyncState.key, SyncState.value])
    assert sorted(found) == sorted(there.items())
    with database.atomic():
        bulk.upsert_tuples([SyncState.key, SyncState.value], texts, [SyncState.key], [SyncState.value])
    assert dict(bulk.raw(SyncState.select(SyncState.key, SyncState.value))) == dict(texts)


def test_of_an_insert_that_the_database_refuses_nothing_is_kept(database: Database) -> None:
    rows: list[dict[str, Any]] = [{"key": f"k{one}", "value": None if one == 900 else "x"} for one in range(1_000)]
    with pytest.raises(IntegrityError), database.atomic():
        bulk.insert_new(SyncState, rows)
    assert SyncState.select().count() == 0


def test_rows_are_found_by_their_ids_only_where_the_condition_holds_too(database: Database) -> None:
    with database.atomic():
        bulk.insert_new(IndexedShop, [{**SHOP, "shop_id": one, "seen_cycle": one % 2} for one in range(1, 8)])
    found = bulk.find(IndexedShop.shop_id, [1, 2, 3, 9], [IndexedShop.shop_id], "seen_cycle = 1")
    assert sorted(found) == [(1,), (3,)]


def test_rows_with_these_values_are_deleted_and_no_others() -> None:
    bulk.delete(
        ImageStatus, [{"listing": 1, "image_id": 5}, {"listing": 2, "image_id": 4}, {"listing": 8, "image_id": 4}]
    )
    assert set(told("hex")) == {(1, 4), (2, 6), (3, 7)}
    bulk.delete(ImageStatus, [])
    assert len(told("hex")) == 3
