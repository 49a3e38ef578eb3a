"""What a cycle costs: calls that bring nothing are those that cannot be told from others beforehand."""

from __future__ import annotations

from pathlib import Path
from random import Random

from sandbox import Sandbox, SandboxSettings
from sandbox.world import ACTIVE, REMOVED
from tests.rig import Rig, VirtualClock

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
