"""Many rows changed in one statement: which, and only those."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import Database, IntegrityError

from models import ImageStatus, SyncState
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
