"""What a cycle costs: calls that bring nothing are those that cannot be told from others beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest

from sandbox import Sandbox, SandboxSettings
from sandbox.world import ACTIVE, REMOVED
from tests.rig import Rig, VirtualClock

HOUR, DAY = 3_600.0, 86_400.0
BATCH, REVIEWS = "getListingsByListingIds", "getReviewsByShop"


def test_what_survived_a_call_that_named_the_dead_is_asked_for_with_its_like(tmp_path: Path) -> None:
    """Of 260 listings that no search shows half are gone: three calls name these, two bring the others."""
    clock = VirtualClock()
    market = SandboxSettings(listings=900, shops=20, wanted_share=1.0, reviews_per_shop=1.0)
    rig = Rig(tmp_path / "home", Sandbox(market, clock=clock.true), clock)
    rig.run_cycle()
    world = rig.sandbox.market
    known = {row[0] for row in rig.rows("SELECT listing_id FROM listings")}
    active = [row for row in world.numbered if row.state == ACTIVE and row.listing_id in known]
    lost = Random(3).sample(active, 260)
    for number, listing in enumerate(lost):
        world.set_state(listing, REMOVED if number % 2 else "expired", int(clock.now()))
        world.changed(listing, len(rig.sandbox.calls))
    calls = len(rig.sandbox.calls)
    rig.run_cycle(2)
    ids = {listing.listing_id for listing in lost}
    asked = [
        call.status
        for call in rig.sandbox.calls_since(calls)
        if call.endpoint == BATCH and int(call.params["listing_ids"].split(",")[0]) in ids
    ]
    assert asked == [404, 404, 404, 200, 200]
    latest = dict(rig.rows("SELECT listing_id, state FROM listings_dynamic ORDER BY snapshot_timestamp"))
    assert {listing_id: latest[listing_id] for listing_id in ids} == {row.listing_id: row.state for row in lost}
    rig.close()


def test_a_sale_alone_brings_nobody_to_a_shop_s_reviews_and_a_review_does(tmp_path: Path) -> None:
    clock = VirtualClock()
    market = SandboxSettings(listings=300, shops=12, reviews_per_shop=20.0)
    rig = Rig(tmp_path / "home", Sandbox(market, clock=clock.true), clock)
    rig.run_cycle()
    world = rig.sandbox.market
    sold, reviewed = [shop for shop in world.shops.values() if world.reviews(shop)][:2]
    sold.sold += 3
    reviewed.sold += 1
    add_review(rig, reviewed.shop_id)
    review = world.reviews(reviewed)[0]
    visits = visited(rig, 2)
    assert visits == [str(reviewed.shop_id)]
    assert rig.rows("SELECT COUNT(*) FROM reviews WHERE transaction_id = ?", review.transaction_id) == [(1,)]
    rig.close()


def before_the_visits(home: Path) -> Rig:
    """Return a crawl that stands before REVIEWS, with figures that a day has made old."""
    clock = VirtualClock()
    market = SandboxSettings(listings=300, shops=12, reviews_per_shop=20.0, wanted_share=1.0)
    rig = Rig(home, Sandbox(market, clock=clock.true), clock)
    rig.run_until("REVIEWS")
    clock.advance(DAY)
    return rig


@pytest.mark.parametrize("clock_ahead", [0.0, 600.0, -600.0])
def test_reviews_that_come_between_a_shop_s_figures_and_its_visit_bring_no_second_one(
    tmp_path: Path, clock_ahead: float
) -> None:
    """The visit counts them in, by the server's clock, however wrong the computer's own is."""
    rig = before_the_visits(tmp_path / "home")
    due = [row[0] for row in rig.rows("SELECT shop_id FROM indexed_shops WHERE review_due")]
    for shop_id in due:
        add_review(rig, shop_id)
    rig.clock.jump(clock_ahead)
    assert len(due) > 5 and set(visited(rig, 1)) == {str(shop_id) for shop_id in due}
    assert visited(rig, 2) == []
    add_review(rig, due[0])
    assert visited(rig, 3) == [str(due[0])]
    rig.close()


def test_a_review_that_comes_once_its_shop_s_reviews_were_read_brings_the_next_visit(tmp_path: Path) -> None:
    rig = before_the_visits(tmp_path / "home")
    due = [row[0] for row in rig.rows("SELECT shop_id FROM indexed_shops WHERE review_due")]
    add_review(rig, due[0])
    visited(rig, 1)
    add_review(rig, due[0])
    assert visited(rig, 2) == [str(due[0])]
    assert visited(rig, 3) == []
    rig.close()


def test_a_review_that_is_dated_ahead_is_counted_once_and_hides_no_other(tmp_path: Path) -> None:
    """What the figures counted already, the visit must not count again because its date is later than theirs."""
    clock = VirtualClock()
    market = SandboxSettings(listings=300, shops=12, reviews_per_shop=20.0, wanted_share=1.0)
    rig = Rig(tmp_path / "home", Sandbox(market, clock=clock.true), clock)
    shop_id, *others = rig.sandbox.market.shops
    add_review(rig, shop_id, ahead=6 * HOUR)
    add_review(rig, others[0], ahead=6 * HOUR)
    rig.run_cycle()
    clock.advance(7 * HOUR)
    add_review(rig, shop_id)
    assert visited(rig, 2) == [str(shop_id)]
    rig.close()


def shops_without_wanted_listings(home: Path, shops: int) -> tuple[Rig, set[int]]:
    """Return a crawl before its second cycle, in which so many shops have only listings left that are not wanted."""
    clock = VirtualClock()
    market = SandboxSettings(listings=900, shops=30, wanted_share=0.5, reviews_per_shop=1.0)
    rig = Rig(home, Sandbox(market, clock=clock.true), clock)
    rig.run_cycle()
    world = rig.sandbox.market
    wanted = {row[0] for row in rig.rows("SELECT listing_id FROM listings")}
    others = Counter(row.shop_id for row in world.numbered if row.state == ACTIVE and row.listing_id not in wanted)
    left = set(sorted(set(others) & {row[0] for row in rig.rows("SELECT shop_id FROM shops")})[:shops])
    for listing in world.numbered:
        if listing.listing_id in wanted and listing.shop_id in left:
            world.set_state(listing, REMOVED, int(clock.now()))
            world.changed(listing, len(rig.sandbox.calls))
    return rig, left


def test_the_figures_of_shops_whose_wanted_listings_are_gone_cost_one_call(tmp_path: Path) -> None:
    rig, left = shops_without_wanted_listings(tmp_path / "home", 8)
    calls = len(rig.sandbox.calls)
    rig.run_cycle(2)
    assert not any(call.endpoint == "getShop" for call in rig.sandbox.calls_since(calls))
    told = rig.rows("SELECT shop_id, COUNT(*) FROM shops_dynamic GROUP BY 1")
    assert len(left) == 8 and {shop_id: count for shop_id, count in told if shop_id in left} == dict.fromkeys(left, 2)
    assert not rig.rows(
        "SELECT l.listing_id FROM listings AS l JOIN indexed_listings AS i USING (listing_id) WHERE NOT i.wanted"
    )
    rig.close()


def test_a_shop_whose_listing_has_gone_meanwhile_is_asked_for_by_itself(tmp_path: Path) -> None:
    rig, left = shops_without_wanted_listings(tmp_path / "home", 8)
    world = rig.sandbox.market
    gone = min(left)

    def take_away(path: str, params: Mapping[str, str]) -> None:
        """Once its searches are over, nothing of the shop is left."""
        if path != "/listings/batch":
            return
        for listing in world.numbered:
            if listing.shop_id == gone and listing.state == ACTIVE:
                world.set_state(listing, REMOVED, int(rig.clock.now()))
                world.changed(listing, len(rig.sandbox.calls))

    calls = len(rig.sandbox.calls)
    rig.run_until("BACKFILL", cycle=2)
    rig.wire.before = take_away
    rig.run_cycle(2)
    asked = [call.params["shop_id"] for call in rig.sandbox.calls_since(calls) if call.endpoint == "getShop"]
    assert asked == [str(gone)]
    assert rig.rows("SELECT COUNT(*) FROM indexed_listings WHERE NOT wanted AND detail_due_at IS NOT NULL") == [(0,)]
    assert rig.rows("SELECT COUNT(*) FROM indexed_listings WHERE NOT wanted AND idle_count") == [(1,)]
    assert rig.rows("SELECT COUNT(*) FROM shops_dynamic WHERE shop_id = ?", gone) == [(2,)]
    rig.close()


def test_where_a_cycle_cannot_fit_new_listings_come_before_known_ones_and_it_is_said_early(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock()
    market = SandboxSettings(listings=2_000, shops=40, reviews_per_shop=2.0, quota_per_day=4)
    rig = Rig(tmp_path / "home", Sandbox(market, clock=clock.true), clock)
    rig.run_cycle()
    known = {row[0] for row in rig.rows("SELECT listing_id FROM listings")}
    calls = len(rig.sandbox.calls)
    rig.steps.clear()
    rig.sandbox.move(300)
    rig.run_cycle(2)
    new = [
        len({int(listing_id) for listing_id in call.params["listing_ids"].split(",")} - known)
        for call in rig.sandbox.calls_since(calls)
        if call.endpoint == BATCH
    ]
    seen = new[:12]  # what no search showed comes last
    assert seen[0] > 0 == seen[-1] and seen == sorted(seen, reverse=True)
    assert not any(
        outcome and outcome.counts.get("updated") for where, outcome in rig.steps if where.state == "TAXONOMY"
    )
    said = [record.message for record in caplog.records if "after the next one is to begin" in record.message]
    assert len(said) == 1
    rig.close()


def test_a_cycle_that_fits_reads_known_listings_as_searches_show_them(tmp_path: Path) -> None:
    clock = VirtualClock()
    rig = Rig(tmp_path / "home", Sandbox(SandboxSettings(listings=900, shops=20), clock=clock.true), clock)
    rig.run_cycle()
    rig.steps.clear()
    rig.run_cycle(2)
    assert any(outcome and outcome.counts.get("updated") for where, outcome in rig.steps if where.state == "TAXONOMY")
    rig.close()


def add_review(rig: Rig, shop_id: int, ahead: float = 0.0) -> None:
    world = rig.sandbox.market
    shop = world.shops[shop_id]
    world.add_review(
        shop, world.render.fresh_review(Random(1), shop, world.next_transaction_id, int(rig.clock.true.now() + ahead))
    )
    world.next_transaction_id += 1


def visited(rig: Rig, cycle: int) -> list[str]:
    """Crawl a cycle and return the shops whose reviews were read in it."""
    calls = len(rig.sandbox.calls)
    rig.run_cycle(cycle)
    return [call.params["shop_id"] for call in rig.sandbox.calls_since(calls) if call.endpoint == REVIEWS]
