"""The queue of pictures on a real SQLite file: what is taken, in which order, and what is written down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peewee import Database

from imaging.check import Picture
from imaging.outcomes import OUTCOMES, pause_seconds
from imaging.store import queue
from imaging.store.queue import Failed, Got, Wanted
from models import ImageStatus
from runtime import bulk
from tests.pictures import AT, Shown, enqueue, open_home

NOW = 1_794_000_000.0
PICTURE = Picture("png", 570, 430, 54_321, "0123456789abcdef0123456789abcdef")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_home(tmp_path)
    yield database
    database.close()


def a_picture(image_id: int, listing_id: int | None = None, primary: bool = False, hex_part: str = "ab12") -> Shown:
    listing_id = 1000 + image_id if listing_id is None else listing_id
    return Shown(listing_id, 9, image_id, hex_part, "x1", int(primary))


def taken(limit: int = 100, now: float = NOW, without: tuple[int, ...] = ()) -> list[int]:
    return [wanted.image_id for wanted in queue.take(limit, now, set(without))]


def row(image_id: int, listing_id: int | None = None) -> dict[str, Any]:
    listing_id = 1000 + image_id if listing_id is None else listing_id
    (found,) = bulk.dicts(
        ImageStatus.select().where(ImageStatus.image_id == image_id, ImageStatus.listing == listing_id)
    )
    return found


def got(image_id: int) -> Got:
    return Got(image_id, PICTURE, AT)


def failed(image_id: int, outcome: str, attempts: int = 1, hex_part: str = "ab12") -> Failed:
    """Return the failure that makes so many."""
    return Failed(Wanted(image_id, hex_part, "x1", None, attempts - 1, None), outcome)


# What is taken


@pytest.mark.usefixtures("database")
def test_primary_pictures_come_first_and_of_each_kind_the_lower_number() -> None:
    enqueue([a_picture(5), a_picture(3), a_picture(9, primary=True), a_picture(7, primary=True)])
    assert taken() == [7, 9, 3, 5]


@pytest.mark.usefixtures("database")
def test_what_was_never_tried_comes_before_what_is_tried_again() -> None:
    enqueue([a_picture(1)], retry_at=int(NOW) - 5)
    enqueue([a_picture(2)], retry_at=int(NOW) - 50)
    enqueue([a_picture(3)])
    assert taken() == [3, 2, 1]


@pytest.mark.usefixtures("database")
def test_no_more_are_taken_than_asked_for() -> None:
    enqueue([a_picture(image_id, primary=image_id < 3) for image_id in range(1, 9)])
    assert [taken(limit) for limit in range(4)] == [[], [1], [1, 2], [1, 2, 3]]


@pytest.mark.usefixtures("database")
def test_what_is_at_work_is_left_out_however_much_it_is() -> None:
    enqueue([a_picture(image_id, primary=image_id < 50) for image_id in range(1, 60)])
    assert taken(5, without=tuple(range(1, 48))) == [48, 49, 50, 51, 52]
    assert taken(without=tuple(range(1, 60))) == []


@pytest.mark.usefixtures("database")
def test_what_is_done_given_up_or_not_wanted_is_not_taken() -> None:
    enqueue([a_picture(1)], download_done=1)
    enqueue([a_picture(2)], to_download=0)
    enqueue([a_picture(3)], to_download=0, download_done=1)
    assert taken() == []


@pytest.mark.usefixtures("database")
def test_a_picture_whose_time_has_not_come_is_not_taken_before() -> None:
    enqueue([a_picture(1)], retry_at=int(NOW) + 10)
    assert taken(now=NOW + 9.9) == []
    assert taken(now=NOW + 10.0) == [1]


@pytest.mark.usefixtures("database")
def test_a_picture_of_two_listings_is_taken_once_and_with_its_primary_one() -> None:
    enqueue([a_picture(4, 1, primary=True), a_picture(4, 2), a_picture(4, 3), a_picture(2, 2, primary=True)])
    assert taken() == [2, 4]


@pytest.mark.usefixtures("database")
def test_what_is_taken_tells_all_that_a_try_needs() -> None:
    enqueue([a_picture(4, hex_part="cafe")], url="https://i.etsystatic.com/4/d/x.jpg", attempts=3, digest="ff")
    assert queue.take(1, NOW, set()) == [Wanted(4, "cafe", "x1", "https://i.etsystatic.com/4/d/x.jpg", 3, "ff")]


def test_no_question_to_the_queue_reads_or_sorts_the_whole_table(database: Database) -> None:
    """A table of twenty million rows is asked several times a second."""
    statements: list[str] = []
    opened: Any = database
    connection = opened.connection()
    connection.set_trace_callback(statements.append)
    queue.take(256, NOW, {1, 2})
    queue.share([1, 2])
    queue.record([got(1)], [failed(2, "timeout")], NOW)
    queue.waiting(NOW)
    queue.next_retry_at(NOW)
    connection.set_trace_callback(None)
    plans = {asked: connection.execute(f"EXPLAIN QUERY PLAN {asked}").fetchall() for asked in statements}
    assert len(plans) >= 7
    steps = [step[3] for plan in plans.values() for step in plan]
    assert [step for step in steps if "USING" not in step or "SCAN" in step or "TEMP B-TREE" in step] == []
    taking = [steps for asked, steps in plans.items() if "ORDER BY" in asked]
    assert ["image_status_queued" in step[3] for steps in taking for step in steps] == [True, True]


# What is written down of a picture that came


@pytest.mark.usefixtures("database")
def test_a_picture_that_came_is_done_for_every_listing_that_shows_it() -> None:
    enqueue([a_picture(4, 1, primary=True), a_picture(4, 2), a_picture(5, 1)], attempts=2, outcome="timeout")
    queue.record([got(4)], [], NOW)
    for listing_id in (1, 2):
        told = row(4, listing_id)
        assert (told["download_done"], told["outcome"], told["to_download"]) == (1, "done", 1)
        assert {name: told[name] for name in ("format", "width", "height", "size_bytes", "digest")} == {
            "format": "png",
            "width": 570,
            "height": 430,
            "size_bytes": 54_321,
            "digest": PICTURE.digest,
        }
        assert (told["downloaded_at"], told["raw_shard"], told["retry_at"]) == (AT, None, 0)
    assert row(5, 1)["download_done"] == 0
    assert taken() == [5]


@pytest.mark.usefixtures("database")
def test_what_is_done_already_stays_as_it_is_whatever_comes_later() -> None:
    enqueue([a_picture(4)], download_done=1, digest="old", outcome="done", raw_shard="raw-00001.tar")
    before = row(4)
    queue.record([got(4)], [], NOW)
    queue.record([], [failed(4, "timeout")], NOW)
    assert row(4) == before


@pytest.mark.usefixtures("database")
def test_a_picture_that_another_listing_has_brought_is_shared_with_all_that_is_known_of_it() -> None:
    enqueue([a_picture(4, 1, primary=True)])
    queue.record([got(4)], [], NOW)
    ImageStatus.update(raw_shard="raw-00001.tar", shard="shard-00002.tar", bg_removed=1).execute()
    enqueue([a_picture(4, 2), a_picture(4, 3), a_picture(6, 2)], attempts=1, outcome="timeout")
    assert queue.share([4, 6]) == {4}
    known = ("format", "width", "height", "size_bytes", "digest", "downloaded_at", "raw_shard", "shard", "bg_removed")
    first = row(4, 1)
    for listing_id in (2, 3):
        shared = row(4, listing_id)
        assert {name: shared[name] for name in known} == {name: first[name] for name in known}
        assert (shared["download_done"], shared["outcome"]) == (1, "done")
    assert (first["raw_shard"], first["shard"]) == ("raw-00001.tar", "shard-00002.tar")
    assert row(6, 2)["download_done"] == 0


@pytest.mark.usefixtures("database")
def test_to_share_is_nothing_where_nothing_is_there_yet() -> None:
    enqueue([a_picture(4, 1), a_picture(4, 2)])
    assert queue.share([4]) == set()
    assert queue.share([]) == set()
    assert taken() == [4]


# What is written down of a try that failed


@pytest.mark.parametrize("outcome", [name for name in OUTCOMES if name != "done"])
@pytest.mark.usefixtures("database")
def test_only_what_can_heal_is_tried_again_and_later_each_time(outcome: str) -> None:
    enqueue([a_picture(4, 1), a_picture(4, 2)])
    now, waits = NOW, []
    for attempts in (1, 2, 3):
        queue.record([], [failed(4, outcome, attempts)], now)
        for listing_id in (1, 2):
            told = row(4, listing_id)
            assert (told["outcome"], told["attempts"], told["download_done"]) == (outcome, attempts, 0)
            assert told["to_download"] == int(OUTCOMES[outcome].heals)
        if not OUTCOMES[outcome].heals:
            assert taken(now=now + 10**9) == []
            return
        waits.append(row(4, 1)["retry_at"] - int(now))
        assert taken(now=now + waits[-1] - 1) == []
        assert [wanted.attempts for wanted in queue.take(1, now + waits[-1], set())] == [attempts]
        now += waits[-1]
    assert waits == [pause_seconds(attempts) for attempts in (1, 2, 3)]


@pytest.mark.usefixtures("database")
def test_a_picture_that_came_and_one_that_failed_are_written_together() -> None:
    enqueue([a_picture(image_id) for image_id in (1, 2, 3)])
    queue.record([got(1)], [failed(2, "timeout"), failed(3, "not_found")], NOW)
    assert [row(image_id)["outcome"] for image_id in (1, 2, 3)] == ["done", "timeout", "not_found"]
    assert queue.waiting(NOW) == (1, 1)


@pytest.mark.usefixtures("database")
def test_a_failure_is_that_of_the_address_that_was_tried_and_of_no_other() -> None:
    """The crawl may have learned another one while the try was under way."""
    enqueue([a_picture(4, 1), a_picture(4, 2, hex_part="cd34")])
    queue.record([], [failed(4, "not_found")], NOW)
    assert (row(4, 1)["to_download"], row(4, 1)["outcome"]) == (0, "not_found")
    assert (row(4, 2)["to_download"], row(4, 2)["outcome"]) == (1, None)
    assert [wanted.hex for wanted in queue.take(5, NOW, set())] == ["cd34"]


# What is told


@pytest.mark.usefixtures("database")
def test_it_is_told_how_many_wait_and_when_the_first_of_them_is_tried_again() -> None:
    assert queue.waiting(NOW) == (0, 0)
    assert queue.next_retry_at(NOW) is None
    enqueue([a_picture(1), a_picture(2, primary=True)])
    assert queue.waiting(NOW) == (2, 0)
    assert queue.next_retry_at(NOW) is None
    enqueue([a_picture(3)], retry_at=int(NOW) + 60)
    enqueue([a_picture(4, primary=True)], retry_at=int(NOW) + 30)
    enqueue([a_picture(5)], retry_at=int(NOW) + 10, to_download=0)
    assert queue.waiting(NOW) == (4, 2)
    assert queue.next_retry_at(NOW) == int(NOW) + 30
    assert queue.next_retry_at(NOW + 30) == int(NOW) + 60


@pytest.mark.usefixtures("database")
def test_loose_pictures_are_those_that_are_done_and_in_no_shard() -> None:
    enqueue([a_picture(1)])
    assert not queue.any_loose()
    enqueue([a_picture(2)], download_done=1, raw_shard="raw-00001.tar")
    assert not queue.any_loose()
    enqueue([a_picture(3)], download_done=1)
    assert queue.any_loose()


def test_the_progress_that_is_kept_is_the_latest(database: Database) -> None:
    queue.save_progress(AT, 0.0, "")
    queue.save_progress("2026-11-21T00:00:00Z", 12.3456, "the disk is full")
    run: Any = database.execute_sql
    rows = run("SELECT value FROM sync_state WHERE key = 'pictures'").fetchall()
    assert [json.loads(value) for (value,) in rows] == [
        {"at": "2026-11-21T00:00:00Z", "per_second": 12.35, "held": "the disk is full"}
    ]


# Whatever the rows are


ROWS = st.lists(
    st.tuples(st.integers(1, 12), st.booleans(), st.sampled_from([0, int(NOW) - 7, int(NOW) + 7]), st.booleans()),
    max_size=30,
    unique_by=lambda told: told[0],
)


@given(told=ROWS, limit=st.integers(0, 15), without=st.sets(st.integers(1, 12)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_waits_it_is_handed_out_once_primary_first_and_only_when_its_time_has_come(
    database: Database, told: list[tuple[int, bool, int, bool]], limit: int, without: set[int]
) -> None:
    ImageStatus.delete().execute()
    for image_id, primary, retry_at, is_done in told:
        enqueue([a_picture(image_id, primary=primary)], retry_at=retry_at, download_done=int(is_done))
    ready = [
        (not primary, retry_at, image_id)
        for image_id, primary, retry_at, is_done in told
        if not is_done and retry_at <= NOW and image_id not in without
    ]
    assert taken(limit, without=tuple(without)) == [image_id for _, _, image_id in sorted(ready)][:limit]
