"""What must be so once a cycle over a market that stood still has brought everything up to date."""

from __future__ import annotations

from collections.abc import Iterator

from crawler.store import counts
from sandbox.taxonomy import DESCENDANTS, FURNITURE
from sandbox.world import ACTIVE, Listing
from tests.simulation.truths import untrue
from tests.simulation.world import World
from tests.truth import is_wanted

EVER = (float("-inf"), float("inf"))


def wrong_at_the_end(world: World) -> list[str]:
    """Return in words what is missing, doubled, or was never true."""
    # The computer's clock was wrong now and then, so a row's time does not tell which cycle it is of; and
    # now and then an answer had left something out.
    found = untrue(world.rig.rows, world.truths, lambda at: EVER, holes=True)
    found += _wrong_counts(world)
    return [*found, *_missing_listings(world), *_stale_listings(world), *_missing_reviews(world), *_unsettled(world)]


def _wrong_counts(world: World) -> Iterator[str]:
    """What the database has counted as it was written must be what there is."""
    there = counts.counted()
    for name, number in world.rig.rows("SELECT name, number FROM row_counts"):
        if number != there.get(name):
            yield f"{name} is counted as {number}, and there are {there.get(name)}"


def _missing_listings(world: World) -> Iterator[str]:
    known = {row[0] for row in world.rig.rows("SELECT listing_id FROM listings")}
    for listing in _wanted(world):
        if listing.listing_id not in known:
            yield f"listing {listing.listing_id} is wanted, on sale, and unknown"


def _wanted(world: World) -> Iterator[Listing]:
    """Return what a search finds and is wanted."""
    for listing in world.sandbox.market.numbered:
        in_search = listing.state == ACTIVE and listing.taxonomy_id in DESCENDANTS[FURNITURE]
        if in_search and is_wanted(listing.when_made):
            yield listing


def _stale_listings(world: World) -> Iterator[str]:
    """What is on sale must be known as it is; what is not is looked at less and less often."""
    query = "SELECT listing_id, state, quantity, price_amount FROM listings_dynamic ORDER BY rowid"
    latest = {row[0]: row[1:] for row in world.rig.rows(query)}
    for listing_id, told in latest.items():
        listing = world.sandbox.market.listings[listing_id]
        true = (listing.state, listing.quantity, listing.amount)
        if listing.state == ACTIVE and told != true:
            yield f"listing {listing_id} is {true}, its latest row says {told}"
        if listing.state != ACTIVE and told[0] == ACTIVE:
            yield f"listing {listing_id} is {listing.state}, its latest row says that it is active"


def _missing_reviews(world: World) -> Iterator[str]:
    """Every review of a shop that has something wanted on sale is there; the others are visited now and then."""
    stored = {row[0] for row in world.rig.rows("SELECT transaction_id FROM reviews")}
    for shop_id in sorted({listing.shop_id for listing in _wanted(world)}):
        missing = world.truths.reviews_until(shop_id, int(world.clock.true.now())) - stored
        if missing:
            yield f"of shop {shop_id} these reviews are missing: {sorted(missing)[:5]}"


def _unsettled(world: World) -> Iterator[str]:
    yield from (f"failed: {row}" for row in world.rig.rows("SELECT kind, item_id, error FROM failed_items"))
    query = "SELECT id, verdict, note FROM intervals WHERE cycle = ? AND status = 'done' AND verdict <> 'complete'"
    yield from (f"interval: {row}" for row in world.rig.rows(query, world.cycles[-1].cycle))
