"""From changes to rows: what is kept, what is added up, what is never written twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from peewee import Database, IntegrityError

from crawler import changes
from crawler.api.ledger import CallsMade
from crawler.api.parsing import parse_listing, parse_shop
from crawler.api.records import (
    ImageRecord,
    ListingRecord,
    Money,
    ReviewRecord,
    SearchRow,
    ShopRecord,
)
from crawler.freshness import ShopFigures
from crawler.plan import Span
from crawler.store import audit, counts, failures, index, intervals, shops, state, usage, writer
from crawler.store.index import Due
from models import CRAWLER_MODELS, MIGRATIONS
from runtime.clock import DAY_SECONDS, iso
from runtime.database import open_database

NOW = 1_794_000_000.0
AT, LATER, MUCH_LATER = iso(NOW), iso(NOW + 60), iso(NOW + 8 * DAY_SECONDS)
DUE_AGAIN = iso(NOW + 7 * DAY_SECONDS)
PRICE = Money(4200, 100, "USD")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database("sqlite:///db.sqlite", tmp_path, CRAWLER_MODELS, MIGRATIONS)
    yield database
    database.close()


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    return list(execute(database, query).fetchall())


def execute(database: Database, statement: str, *values: Any) -> Any:
    run: Any = database.execute_sql
    return run(statement, values)


def row(listing_id: int, when_made: str | None = "made_to_order", shop_id: int | None = 9) -> SearchRow:
    return SearchRow(listing_id, shop_id, when_made, 967, PRICE)


def page(*found: SearchRow, interval_id: int = 1, cycle: int = 1, at: str = AT, first: bool = True) -> changes.PageSeen:
    return changes.PageSeen(interval_id, cycle, 250, found, at, first)


def listing(listing_id: int = 5, **told: Any) -> ListingRecord:
    base = {"listing_id": listing_id, "shop_id": 9, "title": "chair", "state": "active", "when_made": "made_to_order"}
    return parse_listing({**base, "price": {"amount": 4200, "divisor": 100, "currency_code": "USD"}, **told})


def shop(**told: Any) -> ShopRecord:
    base = {"shop_id": 9, "url": "https://shop", "create_date": 1, "review_count": 3, "transaction_sold_count": 4}
    return parse_shop({**base, **told})


def detailed(record: ListingRecord, wanted: bool = True, **told: Any) -> changes.DetailedListing:
    images = len(record.images or ())
    made = changes.DetailedListing(record, 9, wanted, DUE_AGAIN if wanted else None, 0, images, record.images is None)
    return replace(made, **told)


def seen(*listings: changes.DetailedListing, with_shop: ShopRecord | None = None, at: str = AT, cycle: int = 1) -> Any:
    came = (changes.DetailedShop(with_shop, DUE_AGAIN, True),) if with_shop else ()
    return changes.DetailsSeen(cycle, listings, came, at)


def image(image_id: int, rank: int, hex_part: str = "ab", suffix: str = "x1") -> ImageRecord:
    return ImageRecord(image_id, rank, hex_part, suffix, None)


def with_images(*images: ImageRecord, listing_id: int = 5) -> changes.DetailedListing:
    return detailed(structs.replace(listing(listing_id), images=images))


# Searches


def test_every_kind_of_change_has_a_writer() -> None:
    assert set(writer.WRITERS) == set(changes.Change.__args__)


def test_a_page_seen_twice_counts_repeats_and_no_new_rows(database: Database) -> None:
    writer.write(
        [changes.PlanMade(1, (Span(967, 0.0, None),)), page(row(1), row(2), row(2)), page(row(1), row(3), first=False)]
    )
    counted = rows(database, "SELECT pages, distinct_rows, repeats, passes, status FROM intervals")
    assert counted == [(2, 3, 2, 1, "walking")]
    assert rows(database, "SELECT COUNT(*) FROM indexed_listings") == [(3,)]


def test_the_count_at_the_start_stays_and_the_one_at_the_end_follows(database: Database) -> None:
    first, last = page(row(1)), replace(page(row(2)), count=240)
    writer.write([changes.PlanMade(1, (Span(967, 0.0, None),)), first, last])
    told = rows(database, "SELECT count_at_start, count_at_end, reported_count FROM intervals")
    assert told == [(250, 240, 240)]


def test_a_row_shown_by_another_interval_counts_anew_there(database: Database) -> None:
    spans = (Span(967, 0.0, 5.0), Span(967, 5.0, None))
    writer.write([changes.PlanMade(1, spans), page(row(1)), page(row(1), interval_id=2)])
    assert rows(database, "SELECT distinct_rows, repeats FROM intervals ORDER BY id") == [(1, 0), (1, 0)]


def test_wanted_listings_are_due_at_once_and_the_others_never(database: Database) -> None:
    writer.write([page(row(1), row(2, "1990s"), row(3, "before_2007"), row(4, "2000s"))])
    due = Due(1, MUCH_LATER)
    assert sorted(index.due_seen(due, 10)) == [1, 4]
    assert rows(database, "SELECT COUNT(*) FROM indexed_listings") == [(4,)]
    assert counts.listings() == {"seen": 4, "wanted": 2, "known": 0}


def test_a_listing_of_unknown_age_is_asked_for_once_and_no_more_once_it_is_known_to_be_old(database: Database) -> None:
    writer.write([page(row(1, None))])
    assert index.due_seen(Due(1, MUCH_LATER), 10) == [1]
    writer.write([seen(detailed(listing(1, when_made="1950s"), wanted=False))])
    assert index.due_seen(Due(1, MUCH_LATER), 10) == []
    writer.write([page(row(1, None), cycle=2, at=MUCH_LATER)])
    assert index.due_seen(Due(2, "9999"), 10) == []
    assert rows(database, "SELECT COUNT(*) FROM listings") == [(0,)]


def test_a_listing_of_an_age_that_nobody_tells_is_not_asked_for_again(database: Database) -> None:
    writer.write([page(row(1, None)), seen(detailed(listing(1, when_made=None), wanted=False))])
    writer.write([page(row(1, None), cycle=2, at=MUCH_LATER)])
    assert index.due_seen(Due(2, "9999"), 10) == []


def test_a_listing_whose_age_is_mended_becomes_due(database: Database) -> None:
    writer.write([page(row(1, "1990s")), page(row(1, "2010_2019"), cycle=2, at=LATER)])
    assert index.due_seen(Due(2, MUCH_LATER), 10) == [1]


def test_what_a_page_leaves_out_is_kept_from_before(database: Database) -> None:
    writer.write([page(row(1)), page(row(1, None, None), cycle=2, at=LATER)])
    kept = rows(database, "SELECT when_made, shop_id, wanted, first_seen_at, last_seen_at FROM indexed_listings")
    assert kept == [("made_to_order", 9, 1, AT, LATER)]


def test_a_listing_that_a_cycle_shows_twice_keeps_its_place_in_the_order_of_batches(database: Database) -> None:
    writer.write([page(row(7)), page(row(3), row(7), at=LATER)])
    assert index.due_seen(Due(1, MUCH_LATER), 10) == [7, 3]
    assert index.due_in_order(Due(1, MUCH_LATER), 10) == [(7, AT), (3, LATER)]


def test_due_listings_come_in_the_order_in_which_they_were_seen(database: Database) -> None:
    writer.write([page(row(7), row(3)), page(row(1), at=LATER)])
    assert index.due_seen(Due(1, MUCH_LATER), 10) == [3, 7, 1]
    assert index.due_seen(Due(1, MUCH_LATER), 2) == [3, 7]


def test_what_no_search_showed_is_asked_for_apart_from_what_was_gone_before(database: Database) -> None:
    writer.write([page(row(1), row(2)), seen(detailed(listing(1)), detailed(listing(2), idle_count=1))])
    following = Due(2, MUCH_LATER)
    assert index.due_seen(following, 10) == []
    assert index.due_unseen(following, 10) == [1]
    writer.write([seen(detailed(listing(1)), cycle=2)])
    assert index.due_unseen(following, 10) == [2]


# Details


def test_static_rows_are_written_once_and_dynamic_rows_at_each_sync(database: Database) -> None:
    writer.write([page(row(5)), seen(detailed(listing(title="chair", quantity=3)), with_shop=shop())])
    writer.write([seen(detailed(listing(title="stool", quantity=2)), with_shop=shop(url="other"), at=LATER, cycle=2)])
    assert rows(database, "SELECT title, snapshot_timestamp FROM listings") == [("chair", AT)]
    assert rows(database, "SELECT quantity FROM listings_dynamic ORDER BY snapshot_timestamp") == [(3,), (2,)]
    assert rows(database, "SELECT url, snapshot_timestamp FROM shops") == [("https://shop", AT)]
    assert rows(database, "SELECT COUNT(*) FROM shops_dynamic") == [(2,)]


def test_a_step_that_is_repeated_in_the_same_second_writes_nothing_twice(database: Database) -> None:
    for _ in range(2):
        writer.write([page(row(5)), seen(with_images(image(1, 1)), with_shop=shop())])
    for table in ("listings", "listings_dynamic", "shops", "shops_dynamic", "image_status"):
        assert rows(database, f"SELECT COUNT(*) FROM {table}") == [(1,)]


def test_a_listing_that_is_not_wanted_gets_no_rows_and_stays_in_the_index(database: Database) -> None:
    writer.write([page(row(5)), seen(detailed(listing(when_made="1950s"), wanted=False))])
    assert rows(database, "SELECT COUNT(*) FROM listings") == [(0,)]
    assert rows(database, "SELECT wanted, known, detail_due_at FROM indexed_listings") == [(0, 0, None)]


def test_a_shop_that_a_listing_only_names_is_completed_once(database: Database) -> None:
    writer.write([page(row(5)), seen(detailed(listing()))])
    assert rows(database, "SELECT shop_id, url, snapshot_timestamp FROM shops") == [(9, None, None)]
    assert shops.due_details(Due(1, MUCH_LATER), 10) == [9]
    writer.write([seen(with_shop=shop(), at=LATER)])
    writer.write([seen(with_shop=shop(url="other"), at=MUCH_LATER, cycle=2)])
    assert rows(database, "SELECT url, snapshot_timestamp FROM shops") == [("https://shop", LATER)]
    assert shops.due_details(Due(1, MUCH_LATER), 10) == []


def test_a_listing_that_comes_back_after_it_was_removed_is_due_at_once(database: Database) -> None:
    writer.write([page(row(5)), seen(detailed(listing()))])
    far = iso(NOW + 400 * DAY_SECONDS)
    writer.write([changes.ListingsGone(2, ((5, 1, far), (6, 1, far)), LATER)])
    states = rows(database, "SELECT listing_id, state FROM listings_dynamic ORDER BY snapshot_timestamp")
    assert states == [(5, "active"), (5, "removed")]
    assert index.due_unseen(Due(3, MUCH_LATER), 10) == []
    writer.write([page(row(5), cycle=3, at=MUCH_LATER)])
    assert index.due_seen(Due(3, iso(NOW + 9 * DAY_SECONDS)), 10) == [5]
    writer.write([seen(detailed(listing()), at=MUCH_LATER, cycle=3)])
    assert rows(database, "SELECT idle_count FROM indexed_listings WHERE listing_id = 5") == [(0,)]
    latest = rows(database, "SELECT state FROM listings_dynamic ORDER BY snapshot_timestamp DESC LIMIT 1")
    assert latest == [("active",)]


def test_a_removed_row_keeps_nothing_but_the_state(database: Database) -> None:
    writer.write([page(row(5)), seen(detailed(listing(quantity=3)))])
    writer.write([changes.ListingsGone(2, ((5, 1, MUCH_LATER),), LATER)])
    gone = rows(database, "SELECT quantity, price_amount FROM listings_dynamic WHERE state = 'removed'")
    assert gone == [(None, None)]


# Images


def test_exactly_one_image_is_primary_whatever_the_order(database: Database) -> None:
    writer.write([page(row(5)), seen(with_images(image(3, 2), image(1, 1), image(2, 3)))])
    assert rows(database, "SELECT image_id FROM image_status WHERE is_primary = 1") == [(1,)]
    told = rows(database, "SELECT DISTINCT shop_id, when_made, price, to_download FROM image_status")
    assert told == [(9, "made_to_order", 42.0, 1)]


def test_another_image_becomes_primary_and_one_that_left_stays_without_being_it(database: Database) -> None:
    writer.write([page(row(5)), seen(with_images(image(1, 1), image(2, 2)))])
    execute(database, "UPDATE image_status SET download_done = 1, embed_dinov3_base = 1")
    writer.write([seen(with_images(image(2, 1), image(3, 2)), at=LATER, cycle=2)])
    told = rows(
        database, "SELECT image_id, is_primary, download_done, embed_dinov3_base FROM image_status ORDER BY image_id"
    )
    assert told == [(1, 0, 1, 1), (2, 1, 1, 1), (3, 0, 0, 0)]


def test_images_told_as_before_are_passed_over_and_told_otherwise_are_written(database: Database) -> None:
    writer.write([page(row(5)), seen(with_images(image(1, 1), image(2, 2)))])
    execute(database, "UPDATE image_status SET hex = 'by hand' WHERE image_id = 1")
    again = with_images(image(1, 1), image(2, 2))
    writer.write([seen(again, at=LATER, cycle=2)])
    assert rows(database, "SELECT hex FROM image_status ORDER BY image_id") == [("by hand",), ("ab",)]
    writer.write([seen(with_images(image(1, 1), image(2, 2, "cd")), at=MUCH_LATER, cycle=3)])
    assert rows(database, "SELECT hex FROM image_status ORDER BY image_id") == [("ab",), ("cd",)]
    writer.write([seen(again, at=MUCH_LATER, cycle=3)])
    assert rows(database, "SELECT hex FROM image_status ORDER BY image_id") == [("ab",), ("ab",)]


def test_an_answer_without_images_leaves_what_is_known_of_them(database: Database) -> None:
    digest = "SELECT images_digest FROM indexed_listings"
    writer.write([page(row(5)), seen(with_images(image(1, 1)))])
    before = rows(database, digest)
    assert before != [(None,)]
    writer.write([seen(detailed(structs.replace(listing(), images=None)), at=LATER, cycle=2)])
    writer.write([seen(with_images(), at=LATER, cycle=2)])
    assert rows(database, digest) == before


def test_a_listing_that_was_deleted_gets_its_images_again_with_its_row(database: Database) -> None:
    told = with_images(image(1, 1), image(2, 2))
    writer.write([page(row(5)), seen(told)])
    for table in ("image_status", "listings_dynamic", "listings"):
        execute(database, f"DELETE FROM {table}")
    writer.write([seen(told, at=LATER, cycle=2)])
    assert rows(database, "SELECT image_id, is_primary FROM image_status ORDER BY image_id") == [(1, 1), (2, 0)]


@pytest.mark.parametrize("repair", [((5,), (), ()), ((), (), (5,))], ids=["listing", "images"])
def test_images_that_an_audit_misses_are_written_again_though_told_as_before(
    database: Database, repair: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
) -> None:
    told = (image(1, 1), image(2, 2))
    writer.write([page(row(5)), seen(with_images(*told))])
    execute(database, "DELETE FROM image_status WHERE image_id = 2")
    writer.write([changes.RepairsQueued(*repair, 1, LATER)])
    writer.write([seen(with_images(*told), at=LATER)])  # a batch may come before the images that were asked for
    assert rows(database, "SELECT image_id, is_primary FROM image_status ORDER BY image_id") == [(1, 1), (2, 0)]
    execute(database, "UPDATE image_status SET hex = 'by hand'")
    writer.write([seen(with_images(*told), at=MUCH_LATER, cycle=2)])
    assert rows(database, "SELECT DISTINCT hex FROM image_status") == [("by hand",)], "passed over from then on"


def test_an_image_whose_address_changed_gets_the_new_one(database: Database) -> None:
    writer.write([page(row(5)), seen(with_images(image(1, 1)))])
    writer.write([seen(with_images(image(1, 1, "cd", "y2")), at=LATER, cycle=2)])
    assert rows(database, "SELECT hex, suffix FROM image_status") == [("cd", "y2")]


def test_a_picture_that_could_not_be_had_is_tried_anew_where_its_address_changed(database: Database) -> None:
    before = [image(number, number) for number in (1, 2, 3)]
    writer.write([page(row(5)), seen(with_images(*before))])
    gone = "outcome = 'not_found', to_download = 0, attempts = 3, retry_at = 9"
    execute(database, f"UPDATE image_status SET {gone}")
    execute(database, "UPDATE image_status SET outcome = 'done', download_done = 1 WHERE image_id = 2")
    after = [image(1, 1, "cd"), image(2, 2, "cd"), before[2]]
    writer.write([seen(with_images(*after), at=LATER, cycle=2)])
    told = rows(database, "SELECT image_id, hex, outcome, to_download, attempts, retry_at FROM image_status ORDER BY 1")
    assert told == [(1, "cd", None, 1, 0, 0), (2, "cd", "done", 0, 3, 9), (3, "ab", "not_found", 0, 3, 9)]


def test_an_answer_that_left_the_images_out_changes_none(database: Database) -> None:
    writer.write([page(row(5)), seen(with_images(image(1, 1)))])
    writer.write([seen(detailed(structs.replace(listing(), images=None)), at=LATER, cycle=2)])
    assert rows(database, "SELECT image_id, is_primary FROM image_status") == [(1, 1)]


def test_images_that_were_left_out_are_asked_for_once_each(database: Database) -> None:
    writer.write([page(row(5), row(6)), seen(detailed(listing(5)), detailed(listing(6)))])
    assert index.missing_images(10) == [5, 6]
    writer.write([changes.ImagesSeen(5, (image(1, 1),)), changes.ImagesSeen(6, ())])
    assert index.missing_images(10) == []
    assert rows(database, "SELECT listing_id, image_count FROM indexed_listings") == [(5, 1), (6, 0)]


def test_images_that_were_asked_for_are_written_whatever_was_told_before_and_passed_over_from_then_on(
    database: Database,
) -> None:
    told = (image(1, 1), image(2, 2))
    writer.write([page(row(5)), seen(with_images(*told))])
    execute(database, "DELETE FROM image_status WHERE image_id = 2")
    writer.write([changes.RepairsQueued((), (), (5,), 1, LATER), changes.ImagesSeen(5, told)])
    assert rows(database, "SELECT image_id, is_primary FROM image_status ORDER BY image_id") == [(1, 1), (2, 0)]
    execute(database, "UPDATE image_status SET hex = 'by hand'")
    writer.write([seen(with_images(*told), at=MUCH_LATER, cycle=2)])
    assert rows(database, "SELECT DISTINCT hex FROM image_status") == [("by hand",)]


def test_one_image_may_serve_several_listings(database: Database) -> None:
    writer.write([page(row(5), row(6)), seen(with_images(image(1, 1)), with_images(image(1, 1), listing_id=6))])
    assert rows(database, "SELECT listing_id FROM image_status WHERE is_primary = 1 ORDER BY 1") == [(5,), (6,)]


# Reviews


def review(transaction_id: int, text: str | None = "good", created: int = 100) -> ReviewRecord:
    return ReviewRecord(transaction_id, 9, 5, 77, 5, text, "en", created)


def test_a_review_is_written_once_and_an_edited_one_keeps_its_first_text(database: Database) -> None:
    writer.write([page(row(5)), seen(detailed(listing()))])
    writer.write([changes.ReviewsSeen((review(1), review(2, None)), AT)])
    writer.write([changes.ReviewsSeen((review(1, "bad"), review(3)), LATER)])
    told = rows(database, "SELECT transaction_id, review, snapshot_timestamp FROM reviews ORDER BY 1")
    assert told == [(1, "good", AT), (2, None, AT), (3, "good", LATER)]


def test_a_shop_is_visited_once_a_cycle_where_its_figures_moved_and_again_after_28_days(database: Database) -> None:
    writer.write([page(row(5)), seen(detailed(listing()), with_shop=shop())])
    assert shops.due_reviews(1, AT, 10) == [9]
    writer.write([changes.VisitDone(9, 1, 100, ShopFigures(3, None, 4), AT)])
    assert shops.due_reviews(1, AT, 10) == []
    assert shops.due_reviews(2, AT, 10) == []
    assert shops.due_reviews(2, LATER, 10) == [9]
    kept = shops.find([9])[9]
    assert shops.visited_figures(kept) == ShopFigures(3, None, 4)
    assert kept.watermark == 100


def test_a_shop_that_is_gone_is_not_visited_for_its_age_alone(database: Database) -> None:
    writer.write([page(row(5)), seen(detailed(listing()), with_shop=shop())])
    writer.write([changes.VisitDone(9, 1, 100, ShopFigures(3, None, 4), AT), changes.ShopGone(9, 2, MUCH_LATER)])
    assert shops.due_reviews(3, MUCH_LATER, 10) == []


def test_a_row_that_points_nowhere_is_refused(database: Database) -> None:
    with pytest.raises(IntegrityError):
        writer.write([changes.ReviewsSeen((review(1),), AT)])


# What fails, and what a person asks for


def test_a_failed_item_is_put_aside_for_the_cycle_counted_and_forgotten_once_it_is_read(database: Database) -> None:
    writer.write([page(row(5))])
    for number in (1, 2):
        writer.write([changes.ItemFailed("listing", 5, f"bad {number}", 1, AT if number == 1 else LATER)])
    assert index.due_seen(Due(1, MUCH_LATER), 10) == []
    told = rows(database, "SELECT kind, item_id, error, attempts, first_failed_at, last_failed_at FROM failed_items")
    assert told == [("listing", "5", "bad 2", 2, AT, LATER)]
    assert index.due_unseen(Due(2, MUCH_LATER), 10) == [5], "the next cycle tries again"
    writer.write([seen(detailed(listing()), cycle=2)])
    assert (failures.count(), failures.failed_ids("listing")) == (0, set())


@pytest.mark.parametrize("kind", ["shop", "reviews", "images"])
def test_what_failed_is_not_due_again_in_its_cycle(database: Database, kind: str) -> None:
    writer.write([page(row(5)), seen(detailed(listing()))])
    writer.write([seen(with_shop=shop())] if kind == "reviews" else [])
    item_id = 5 if kind == "images" else 9
    due: dict[str, Callable[[], list[int]]] = {
        "shop": lambda: shops.due_details(Due(1, MUCH_LATER), 10),
        "reviews": lambda: shops.due_reviews(1, AT, 10),
        "images": lambda: index.missing_images(10),
    }
    assert due[kind]() == [item_id]
    writer.write([changes.ItemFailed(kind, item_id, "bad", 1, AT)])
    assert due[kind]() == []
    assert failures.failed_ids(kind) == {item_id}


@pytest.mark.parametrize("kind", ["listing", "shop", "reviews", "images"])
def test_what_failed_and_is_taken_up_is_due_in_its_cycle_and_put_aside_where_it_fails_again(
    database: Database, kind: str
) -> None:
    unread = [] if kind == "listing" else [seen(detailed(listing()), with_shop=shop() if kind == "reviews" else None)]
    writer.write([page(row(5)), *unread])
    item_id, due = 5 if kind in ("listing", "images") else 9, Due(1, MUCH_LATER)
    for attempts in (1, 2):
        writer.write([changes.ItemFailed(kind, item_id, "bad", 1, AT)])
        assert audit.taken_up(kind, due) == set()
        failures.TAKEN_UP[kind]([item_id], 1, AT)
        assert audit.taken_up(kind, due) == {item_id}
        assert rows(database, "SELECT kind, item_id, attempts FROM failed_items") == [(kind, str(item_id), attempts)]
    asked: dict[str, Callable[[], list[int]]] = {
        "listing": lambda: index.due_seen(due, 10),
        "shop": lambda: shops.due_details(due, 10),
        "reviews": lambda: shops.due_reviews(1, AT, 10),
        "images": lambda: index.missing_images(10),
    }
    assert asked[kind]() == [item_id]


@pytest.mark.parametrize("kind", ["listing", "shop", "reviews", "images"])
def test_what_is_due_and_never_failed_was_taken_up_by_nobody(database: Database, kind: str) -> None:
    writer.write([page(row(5), row(6, shop_id=10)), seen(detailed(listing(6), image_count=3)), seen(with_shop=shop())])
    writer.write([changes.ItemFailed(other, 7, "bad", 1, AT) for other in failures.TAKEN_UP if other != kind])
    failures.TAKEN_UP[kind]([5 if kind in ("listing", "images") else 9], 1, AT)
    assert audit.taken_up(kind, Due(1, MUCH_LATER)) == set()


def test_a_listing_that_was_not_to_be_asked_for_any_more_is_due_once_it_is_taken_up(database: Database) -> None:
    """Its age is not known, and a search has shown it once more after it had failed."""
    writer.write([page(row(5, None)), changes.ItemFailed("listing", 5, "bad", 1, AT), page(row(5, None), at=LATER)])
    assert rows(database, "SELECT detail_due_at FROM indexed_listings") == [(None,)]
    failures.TAKEN_UP["listing"]([5], 1, AT)
    assert index.due_seen(Due(1, MUCH_LATER), 10) == [5]


def test_reviews_taken_up_while_the_last_others_are_read_are_among_the_second_chances(database: Database) -> None:
    """The crawl has found nothing due by then, and goes over to those that failed."""
    writer.write([page(row(5)), seen(detailed(listing()), with_shop=shop())])
    writer.write([changes.ItemFailed("reviews", 9, "bad", 1, AT)])
    assert shops.failed_reviews(1, 0, 10) == [9]
    failures.TAKEN_UP["reviews"]([9], 1, AT)
    assert shops.failed_reviews(1, 0, 10) == [9]
    assert shops.failed_reviews(1, 9, 10) == []


def test_a_shop_that_is_gone_is_no_longer_among_what_failed(database: Database) -> None:
    writer.write([page(row(5)), seen(detailed(listing()))])
    writer.write([changes.ItemFailed("shop", 9, "bad", 1, AT), changes.ShopGone(9, 1, MUCH_LATER)])
    assert failures.items() == []


def test_what_failed_is_named_by_kind_and_number_and_the_index_tells_what_it_knows_of(database: Database) -> None:
    writer.write([page(row(5)), seen(detailed(listing()))])
    named = [("shop", 9), ("listing", 12), ("listing", 5), ("reviews", 8), ("images", 5), ("interval", 1)]
    writer.write([changes.ItemFailed(kind, item_id, "bad", 1, AT) for kind, item_id in named])
    assert failures.items() == sorted(named)
    assert {kind: failures.indexed_ids(kind) for kind in failures.TAKEN_UP} == {
        "listing": {5},
        "images": {5},
        "shop": {9},
        "reviews": set(),
    }
    assert set(failures.KINDS) - {"interval"} == set(failures.PUT_ASIDE) == set(failures.TAKEN_UP)


def test_an_overdue_cycle_leaves_what_was_gone_to_the_next_one_unless_a_search_shows_it(database: Database) -> None:
    writer.write([page(row(5), row(6)), seen(detailed(listing()), detailed(listing(6)))])
    soon = iso(NOW + DAY_SECONDS)
    writer.write([changes.ListingsGone(2, ((5, 1, soon), (6, 1, soon)), LATER)])
    writer.write([page(row(6), cycle=3, at=LATER)])
    late, in_time = Due(3, MUCH_LATER, overdue=True), Due(3, MUCH_LATER)
    assert [index.due_count(due) for due in (in_time, late)] == [2, 1]
    assert index.due_left(in_time, 10) == index.due_left(late, 10) == [6]
    assert [index.due_unseen(due, 10) for due in (in_time, late)] == [[6, 5], []]
    assert [audit.check_listings(0, 100, due).gaps["listing_due"] for due in (in_time, late)] == [[5, 6], [6]]


def test_new_listings_are_told_apart_from_known_ones_that_are_due(database: Database) -> None:
    writer.write([page(row(5)), seen(detailed(listing()))])
    writer.write([page(row(6), row(5), row(4), cycle=2, at=MUCH_LATER)])
    due = Due(2, iso(NOW + 30 * DAY_SECONDS))
    assert index.due_seen(due, 10) == [4, 5, 6]
    assert index.due_seen(due, 10, new_only=True) == [4, 6]
    assert index.due_left(due, 10) == [4, 6, 5]


def test_what_the_database_counts_is_what_there_is(database: Database) -> None:
    writer.write([page(row(5), row(6), row(7, when_made="1990s"), row(8)), seen(with_images(image(1, 1), image(2, 2)))])
    writer.write([seen(detailed(listing(6)), with_shop=shop()), page(row(5), row(9), cycle=2, at=LATER)])
    execute(database, "UPDATE image_status SET download_done = 1 WHERE image_id = 1")
    execute(database, "UPDATE image_status SET to_download = 0 WHERE image_id = 2")
    told = counts.row_counts() | counts.listings() | counts.pictures()
    assert (
        told.items() >= {"listings": 2, "indexed_listings": 5, "wanted": 4, "known": 2, "queued": 0, "done": 1}.items()
    )
    execute(database, "UPDATE image_status SET to_download = 1, download_done = 0")
    execute(database, "DELETE FROM indexed_listings WHERE listing_id IN (5, 7)")
    execute(database, "UPDATE indexed_listings SET wanted = 0, known = 0 WHERE listing_id = 6")
    assert counts.pictures() == {"queued": 2, "done": 0}
    assert counts.listings() == {"seen": 3, "wanted": 2, "known": 0}
    assert dict(rows(database, "SELECT name, number FROM row_counts")) == counts.counted()


def test_images_that_failed_are_asked_for_again_in_a_later_cycle(database: Database) -> None:
    writer.write([page(row(5)), seen(detailed(listing())), changes.ItemFailed("images", 5, "bad", 1, AT)])
    writer.write([page(row(5), cycle=2, at=MUCH_LATER), seen(detailed(listing()), at=MUCH_LATER, cycle=2)])
    assert index.missing_images(10) == [5]


def test_repairs_make_due_what_an_audit_found_missing(database: Database) -> None:
    writer.write([page(row(5), row(6)), seen(with_images(image(1, 1)), detailed(listing(6)), with_shop=shop())])
    assert index.due_count(Due(1, DUE_AGAIN)) == 0
    writer.write([changes.RepairsQueued((5,), (9,), (6,), 1, LATER)])
    due = Due(1, MUCH_LATER)
    assert (index.due_seen(due, 10) or index.due_unseen(due, 10)) == [5]
    assert shops.due_details(due, 10) == [9]
    assert index.missing_images(10) == [6]


def test_an_audit_finds_each_kind_of_gap(database: Database) -> None:
    writer.write(
        [
            page(*(row(i) for i in range(1, 6))),
            seen(*(with_images(image(i, 1), listing_id=i) for i in range(1, 6)), with_shop=shop()),
        ]
    )
    due = Due(1, DUE_AGAIN)
    assert audit.check_listings(0, 100, due).gaps == {} == audit.check_shops(0, 100, due).gaps
    execute(database, "PRAGMA foreign_keys = 0")
    execute(database, "DELETE FROM listings WHERE listing_id = 1")
    execute(database, "DELETE FROM listings_dynamic WHERE listing_id = 2")
    execute(database, "DELETE FROM image_status WHERE listing_id = 3")
    execute(database, "UPDATE image_status SET is_primary = 0 WHERE listing_id = 4")
    execute(database, "UPDATE indexed_listings SET detail_cycle = 0, detail_due_at = ? WHERE listing_id = 5", AT)
    execute(database, "DELETE FROM shops_dynamic")
    assert audit.check_listings(0, 100, due).gaps == {
        "listing_row_missing": [1],
        "listing_dynamic_missing": [2],
        "images_missing": [3],
        "primary_not_one": [4],
        "listing_due": [5],
    }
    assert audit.check_shops(0, 100, due).gaps == {"shop_dynamic_missing": [9]}
    strays = [audit.check_orphans(name, 0, 100).strays for name in audit.ORPHANS]
    assert [found for found in strays if found] == [
        {"listings_dynamic without listing": ["1"]},
        {"image_status without listing": ["1"]},
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_orphans_are_found_in_stretches_of_any_length(database: Database, limit: int) -> None:
    details = [seen(*(with_images(image(i, 1), listing_id=i) for i in range(1, 8)), with_shop=shop())]
    writer.write([page(*(row(i) for i in range(1, 8))), *details])
    execute(database, "PRAGMA foreign_keys = 0")
    execute(database, "DELETE FROM listings WHERE listing_id IN (2, 3, 7)")
    name, after, found = "image_status without listing", 0, []
    while True:
        part = audit.check_orphans(name, after, limit)
        found += part.strays.get(name, [])
        if part.last_id is None:
            break
        after = part.last_id
    assert found == ["2", "3", "7"]


def test_an_audit_goes_on_where_its_last_stretch_ended(database: Database) -> None:
    writer.write([page(*(row(i) for i in range(1, 8)))])
    ends, after, looked_at = [], 0, 0
    while True:
        found = audit.check_listings(after, 3, Due(1, MUCH_LATER))
        looked_at += found.looked_at
        ends.append(found.last_id)
        if found.last_id is None:
            break
        after = found.last_id
    assert (ends, looked_at) == ([3, 6, 7, None], 7)


# Intervals


def test_a_plan_is_made_once_a_cycle(database: Database) -> None:
    writer.write([changes.PlanMade(1, (Span(967, 0.0, None),)), changes.PlanMade(1, (Span(967, 0.0, None),))])
    assert rows(database, "SELECT COUNT(*) FROM intervals") == [(1,)]


def test_a_plan_forgets_the_intervals_that_failed_in_the_cycle_before(database: Database) -> None:
    writer.write([changes.PlanMade(1, (Span(967, 0.0, None),)), changes.ItemFailed("interval", 1, "bad", 1, AT)])
    writer.write([changes.ItemFailed("listing", 1, "bad", 1, AT)])
    writer.write([changes.PlanMade(2, (Span(967, 0.0, None),))])
    assert failures.items() == [("listing", 1)]


def test_intervals_are_walked_by_rising_price_and_split_ones_through_their_pieces(database: Database) -> None:
    writer.write([changes.PlanMade(1, (Span(967, 0.0, 9.0), Span(967, 9.0, None)))])
    first = intervals.find_next(1)
    assert first is not None and first.min_price == 0.0
    pieces = (Span(967, 0.0, 4.0), Span(967, 4.0, 9.0))
    writer.write([changes.IntervalSplit(first.id, 1, pieces, "too many", AT)])
    walked = []
    while (interval := intervals.find_next(1)) is not None:
        walked.append((interval.min_price, interval.max_price))
        writer.write([changes.IntervalClosed(interval.id, "complete", 6, None, AT)])
    assert walked == [(0.0, 4.0), (4.0, 9.0), (9.0, None)]
    assert intervals.progress(1) == {"done": 3, "total": 3}
    assert [(span.min_price, span.max_price) for span, _ in intervals.walked_spans(1, [967])] == walked
    assert intervals.verdicts(1) == {"complete": 3}


def test_one_price_reached_through_its_parts_stays_one_interval_of_the_plan(database: Database) -> None:
    writer.write([changes.PlanMade(1, (Span(967, 4.0, 4.05),))])
    parts = tuple(Span(967, 4.0, 4.05, order, 1, True) for order in ("desc", "asc"))
    writer.write([changes.IntervalSplit(1, 1, parts, "one price", AT)])
    assert [span for span, _ in intervals.walked_spans(1, [967])] == [Span(967, 4.0, 4.05)]


def test_the_last_count_of_the_same_interval_is_that_of_the_latest_cycle_before(database: Database) -> None:
    span = Span(967, 0.0, None)
    for cycle, count in ((1, 500), (2, 700)):
        writer.write([changes.PlanMade(cycle, (span,))])
        writer.write([replace(page(row(1), interval_id=cycle, cycle=cycle), count=count)])
    assert intervals.last_count(span, 3) == 700
    assert intervals.last_count(span, 2) == 500
    assert intervals.last_count(Span(967, 0.0, 5.0), 3) is None
    assert intervals.last_count(span, 1) is None


# Calls, and the small things


def test_calls_add_up_per_endpoint_and_minute(database: Database) -> None:
    minute = NOW - NOW % 60
    usage.write([CallsMade("a", minute, 2, 90), CallsMade("b", minute, 1, None)])
    usage.write([CallsMade("a", minute, 3, 87), CallsMade("a", minute + 60, 1, 86)])
    told = rows(database, "SELECT service, endpoint, request_count, rate_limit_remaining FROM api_usage ORDER BY id")
    assert told == [("etsy", "a", 5, 87), ("etsy", "b", 1, None), ("etsy", "a", 1, 86)]
    assert usage.by_minute(minute) == [(minute, 6), (minute + 60, 1)]
    assert usage.by_minute(minute + 30) == [(minute + 60, 1)]
    assert usage.by_endpoint(minute) == {"a": 6, "b": 1}


def test_other_services_calls_are_not_counted_as_ours(database: Database) -> None:
    execute(database, "INSERT INTO api_usage (service, recorded_at) VALUES ('shopify', '2026-11-06 21:20:00')")
    assert usage.by_minute(0) == []


def test_any_json_value_is_kept_under_its_key(database: Database) -> None:
    for value in ({"é": [1, None]}, 5, None, "text"):
        state.save("x", value)
        assert state.load("x") == value
    assert state.load("y") is None


def test_known_prices_are_those_in_dollars_within_the_range_and_the_categories(database: Database) -> None:
    told = [
        (1, 100, "USD", 967),
        (2, 300, "USD", 968),
        (3, 500, "USD", 967),
        (4, 300, "EUR", 967),
        (5, None, "USD", 967),
    ]
    writer.write([page(*(SearchRow(i, 9, None, node, Money(amount, 100, unit)) for i, amount, unit, node in told))])
    assert index.known_prices([], 0.0, None) == [1.0, 3.0, 5.0]
    assert index.known_prices([], 1.0, 3.0) == [1.0, 3.0]
    assert index.known_prices([967], 0.0, None) == [1.0, 5.0]
