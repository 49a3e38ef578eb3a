"""What a cycle costs: calls that bring nothing are those that cannot be told from others beforehand."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from sandbox import Sandbox, SandboxSettings
from sandbox.world import ACTIVE, REMOVED
from tests.rig import Rig, VirtualClock

DAY = 86_400.0
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


def a_day_before_the_visits(home: Path) -> Rig:
    """Return a crawl that stands before REVIEWS, with figures that a day has made old."""
    clock = VirtualClock()
    market = SandboxSettings(listings=300, shops=12, reviews_per_shop=20.0, wanted_share=1.0)
    rig = Rig(home, Sandbox(market, clock=clock.true), clock)
    rig.run_until("REVIEWS")
    clock.advance(DAY)
    return rig


def test_reviews_that_come_between_a_shop_s_figures_and_its_visit_bring_no_second_one(tmp_path: Path) -> None:
    """Where the day's calls end before the visits, one batch reads the figures of those that are next again."""
    rig = a_day_before_the_visits(tmp_path / "home")
    for (shop_id,) in rig.rows("SELECT shop_id FROM indexed_shops WHERE review_due"):
        add_review(rig, shop_id)
    calls = len(rig.sandbox.calls)
    rig.run_cycle()
    first, *others = [call.endpoint for call in rig.sandbox.calls_since(calls)]
    assert (first, set(others)) == (BATCH, {REVIEWS})
    assert visited(rig, 2) == []
    rig.close()


def test_a_dead_listing_among_those_that_bring_figures_anew_costs_one_call_and_holds_nothing_up(tmp_path: Path) -> None:
    rig = a_day_before_the_visits(tmp_path / "home")
    world = rig.sandbox.market
    dead = rig.rows("SELECT MIN(listing_id) FROM listings JOIN indexed_shops USING (shop_id) WHERE review_due")[0][0]
    listing = next(row for row in world.numbered if row.listing_id == dead)
    world.set_state(listing, REMOVED, int(rig.clock.now()))
    world.changed(listing, len(rig.sandbox.calls))
    calls = len(rig.sandbox.calls)
    rig.run_cycle()
    made = [(call.endpoint, call.status) for call in rig.sandbox.calls_since(calls)]
    assert made[:3] == [(BATCH, 404), (BATCH, 200), (REVIEWS, 200)]
    assert {endpoint for endpoint, _ in made[3:]} == {REVIEWS}
    assert rig.rows("SELECT state FROM listings_dynamic WHERE listing_id = ? ORDER BY snapshot_timestamp", dead)[
        -1
    ] == ("removed",)
    rig.close()


def test_a_shop_that_is_gone_with_all_its_listings_costs_two_calls_and_not_one_for_each_listing(tmp_path: Path) -> None:
    rig = a_day_before_the_visits(tmp_path / "home")
    world = rig.sandbox.market
    gone = rig.rows("SELECT MIN(shop_id) FROM indexed_shops WHERE review_due")[0][0]
    its = {row[0] for row in rig.rows("SELECT listing_id FROM listings WHERE shop_id = ?", gone)}
    assert len(its) > 3
    for listing in [row for row in world.numbered if row.listing_id in its]:
        world.set_state(listing, REMOVED, int(rig.clock.now()))
        world.changed(listing, len(rig.sandbox.calls))
    calls = len(rig.sandbox.calls)
    rig.run_cycle()
    made = [(call.endpoint, call.status) for call in rig.sandbox.calls_since(calls) if call.endpoint == BATCH]
    assert made == [(BATCH, 404), (BATCH, 200)]
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


def add_review(rig: Rig, shop_id: int) -> None:
    world = rig.sandbox.market
    shop = world.shops[shop_id]
    world.add_review(shop, world.render.fresh_review(Random(1), shop, world.next_transaction_id, int(rig.clock.now())))
    world.next_transaction_id += 1


def visited(rig: Rig, cycle: int) -> list[str]:
    """Crawl a cycle and return the shops whose reviews were read in it."""
    calls = len(rig.sandbox.calls)
    rig.run_cycle(cycle)
    return [call.params["shop_id"] for call in rig.sandbox.calls_since(calls) if call.endpoint == REVIEWS]
