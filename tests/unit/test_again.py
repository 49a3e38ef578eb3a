"""Which failed items the cycle under way still comes to, and what is said of the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import Database

from crawler import changes, checkpoint
from crawler.again import MOST_NAMED, Taken, in_words, is_ahead, named, take_up
from crawler.api.records import Money, SearchRow
from crawler.freshness import Cycle, Freshness
from crawler.outcome import Position
from crawler.store import failures, writer
from models import CRAWLER_MODELS, MIGRATIONS
from runtime.clock import DAY_SECONDS, iso
from runtime.database import open_database
from runtime.errors import UserMistake

NOW = 1_794_000_000.0
AT = iso(NOW)
WEEKLY = Freshness(7.0, 7.0)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database("sqlite:///db.sqlite", tmp_path, CRAWLER_MODELS, MIGRATIONS)
    yield database
    database.close()


def stand_in(state: str, **cursor: Any) -> None:
    checkpoint.save_cycle(Cycle(1, NOW))
    checkpoint.save_position(Position(state, cursor, 1, AT))


def fail(*items: tuple[str, int]) -> None:
    price = Money(4200, 100, "USD")
    shown = tuple(SearchRow(listing_id, 9, "made_to_order", 967, price) for listing_id in (5, 6))
    failures_of = [changes.ItemFailed(kind, item_id, "bad", 1, AT) for kind, item_id in items]
    writer.write([changes.PageSeen(1, 1, 2, shown, AT, True), *failures_of])


@pytest.mark.parametrize(
    ("state", "cursor", "ahead"),
    [
        ("TAXONOMY", {}, {"listing", "shop", "images", "reviews"}),
        ("BACKFILL", {"repairs": 2}, {"listing", "shop", "images", "reviews"}),
        ("VERIFY", {"repairs": 1}, {"listing", "shop", "images", "reviews"}),
        ("VERIFY", {"repairs": 2}, {"reviews"}),
        ("REVIEWS", {}, {"reviews"}),
        ("REVIEWS", {"retry_after": 4}, {"reviews"}),
        ("REVIEWS", {"retry_after": 5}, set()),
        ("SLEEP", {"reason": "cycle"}, set()),
    ],
)
def test_what_the_cycle_still_comes_to_depends_on_where_the_crawl_stands(
    state: str, cursor: dict[str, Any], ahead: set[str]
) -> None:
    place = Position(state, cursor, 1, AT)
    assert {kind for kind in failures.KINDS if is_ahead(kind, 5, place)} == ahead


def test_nothing_failed_is_no_mistake(database: Database) -> None:
    assert named(None, None) == []


@pytest.mark.parametrize(
    ("kind", "number", "sign"),
    [
        ("chair", "5", "Nothing of the kind 'chair' can fail. The kinds are listing, shop, images, reviews, interval."),
        ("listing", None, "Which listing?"),
        ("listing", "five", "Which listing?"),
        ("listing", "-5", "Which listing?"),
        ("listing", "٥", "Which listing?"),
        ("listing", "6", "listing 6 is not among what could not be read: nothing was changed."),
        ("shop", "5", "shop 5 is not among what could not be read: nothing was changed."),
    ],
)
def test_what_did_not_fail_is_refused_in_words(database: Database, kind: str, number: str | None, sign: str) -> None:
    fail(("listing", 5))
    with pytest.raises(UserMistake) as mistake:
        named(kind, number)
    assert sign in mistake.value.words()
    assert mistake.value.advice


def test_before_the_first_crawl_there_is_nothing_to_be_due_in(database: Database) -> None:
    """`sync` may have made the database, and failed."""
    fail(("listing", 5))
    with pytest.raises(UserMistake, match="No crawl was begun"):
        take_up(None, None, WEEKLY, NOW)


def test_each_thing_is_told_by_what_becomes_of_it(database: Database) -> None:
    fail(("listing", 5), ("listing", 99), ("interval", 1), ("images", 6), ("reviews", 9))
    stand_in("BACKFILL")
    taken = take_up(None, None, WEEKLY, NOW)
    assert taken.due == [("images", 6), ("listing", 5)]
    assert (taken.closed, taken.later) == ([("interval", 1)], [])
    assert taken.strangers == [("listing", 99), ("reviews", 9)], "no search has shown them"
    assert list(in_words(taken)) == [
        "Due again, and read in this cycle: images 6, listing 5.",
        f"Closed for this cycle: interval 1. The next one begins at {iso(NOW + 7 * DAY_SECONDS)}, or later where this "
        "one takes longer, and searches these prices anew.",
        "In no search so far, so that only `python run.py sync` asks for it: listing 99, reviews 9.",
    ]


def test_one_thing_that_is_named_is_taken_up_alone(database: Database) -> None:
    fail(("listing", 5), ("listing", 6))
    stand_in("TAXONOMY")
    assert take_up("listing", "6", WEEKLY, NOW).due == [("listing", 6)]
    assert take_up(None, None, WEEKLY, NOW).due == [("listing", 5), ("listing", 6)]


def test_an_overdue_cycle_leaves_what_was_found_gone_to_the_next_one(database: Database) -> None:
    fail(("listing", 5), ("listing", 6))
    writer.write([changes.ListingsGone(1, ((5, 1, AT),), AT), changes.ItemFailed("listing", 5, "bad", 1, AT)])
    checkpoint.save_cycle(Cycle(2, NOW))
    checkpoint.save_position(Position("BACKFILL", {}, 2, AT))
    late = NOW + 8 * DAY_SECONDS
    taken = take_up(None, None, WEEKLY, late)
    assert (taken.due, taken.later) == ([("listing", 6)], [("listing", 5)])
    assert taken.next_cycle == "as soon as this one is over"


def test_many_things_are_counted() -> None:
    many = [("listing", number) for number in range(MOST_NAMED)]
    (words,) = in_words(Taken([*many, ("shop", 1)], (), (), (), ""))
    assert words == f"Due again, and read in this cycle: {MOST_NAMED} × listing, 1 × shop."
