"""Whole crawls against the sandbox, in this process and on a virtual clock: what ends up in the database is true."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawler.api.wire import WireAnswer
from runtime.clock import parse_iso
from sandbox import Fault, Sandbox, SandboxSettings
from sandbox.faults import EFFECTS
from sandbox.taxonomy import DESCENDANTS, FURNITURE
from tests.rig import WEEK, Rig, SandboxWire, VirtualClock
from tests.truth import differences, is_wanted

SMALL: dict[str, Any] = {"seed": 11, "listings": 230, "shops": 12, "reviews_per_shop": 40.0}
DATA_ENDPOINTS = ("findAllListingsActive", "getListingsByListingIds", "getReviewsByShop", "getBuyerTaxonomyNodes")
MOST_CALLS = 1_500


class CountedWire(SandboxWire):
    """A crawl that goes round in circles ends here."""

    def get(self, path: str, params: Mapping[str, str]) -> WireAnswer:
        assert len(self.sandbox.calls) < MOST_CALLS, "no end in sight"
        return super().get(path, params)


def rig_on(home: Path, **settings: Any) -> Rig:
    """Return a rig whose sandbox has these settings and shares its clock."""
    clock = VirtualClock()
    sandbox = Sandbox(SandboxSettings(**{**SMALL, **settings}), clock=clock.true)
    rig = Rig(home, sandbox, clock)
    rig.wire = CountedWire(sandbox, clock)
    return rig


def calls_by_endpoint(rig: Rig, start: int = 0) -> Counter[str]:
    return Counter(call.endpoint for call in rig.sandbox.calls[start:])


def in_furniture(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return what a search for furniture finds."""
    return [
        listing
        for listing in sandbox.truth().listings.values()
        if listing["state"] == "active" and listing["taxonomy_id"] in DESCENDANTS[FURNITURE]
    ]


def wanted_in(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [listing for listing in in_furniture(sandbox) if is_wanted(listing["when_made"])]


def pages(rows: int) -> int:
    return math.ceil(rows / 100)


def review_pages(sandbox: Sandbox) -> int:
    """Return the fewest calls that read every review of every shop that has something wanted."""
    truth = sandbox.truth()
    written = Counter(review["shop_id"] for review in truth.reviews.values())
    shops = {listing["shop_id"] for listing in wanted_in(sandbox)}
    quiet = {i for i in shops if not truth.shops[i]["review_count"] and truth.shops[i]["transaction_sold_count"] == 0}
    return sum(max(1, pages(written[shop_id])) for shop_id in shops - quiet)


def known_listings(rig: Rig) -> set[int]:
    return {row[0] for row in rig.rows("SELECT listing_id FROM listings")}


def statuses(rig: Rig) -> Counter[int]:
    return Counter(call.status for call in rig.sandbox.calls)


# A market that stands still


def test_a_still_market_is_copied_exactly_and_the_next_cycle_costs_its_pages_and_batches_alone(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home", listings=730, shops=25)
    rig.run_cycle()
    assert differences(rig.rows, rig.sandbox) == []
    made = calls_by_endpoint(rig)
    expected = {
        "getBuyerTaxonomyNodes": 1,
        "findAllListingsActive": pages(len(in_furniture(rig.sandbox))),
        "getListingsByListingIds": pages(len(wanted_in(rig.sandbox))),
        "getReviewsByShop": review_pages(rig.sandbox),
    }
    assert made == expected
    rig.run_cycle(2)
    again = {name: expected[name] for name in ("findAllListingsActive", "getListingsByListingIds")}
    assert calls_by_endpoint(rig, made.total()) == again
    assert differences(rig.rows, rig.sandbox) == []
    assert set(rig.rows("SELECT COUNT(*) FROM listings_dynamic GROUP BY listing_id")) == {(2,)}
    assert set(statuses(rig)) == {200}


def test_every_call_is_written_down_in_api_usage(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home")
    rig.run_cycle()
    told = dict(rig.rows("SELECT endpoint, SUM(request_count) FROM api_usage GROUP BY endpoint"))
    assert told == calls_by_endpoint(rig)


def test_never_more_than_five_calls_arrive_in_any_second(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home")
    rig.run_cycle()
    assert rig.sandbox.stats()["max_calls_in_a_second"] <= 5


def test_reviews_of_a_shop_are_read_again_once_its_figures_move_and_only_the_new_ones(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home", reviews_per_shop=250.0)
    rig.run_cycle()
    moved = set()
    for _ in range(60):
        for move in rig.sandbox.move(1):
            if move.kind == "reviewed":
                moved.add(rig.sandbox.truth().reviews[move.id]["shop_id"])
    before = len(rig.sandbox.calls)
    rig.run_cycle(2)
    asked = [call for call in rig.sandbox.calls[before:] if call.endpoint == "getReviewsByShop"]
    assert moved <= {int(call.params["shop_id"]) for call in asked}
    assert max(Counter(call.params["shop_id"] for call in asked).values()) == 1
    stored = {row[0] for row in rig.rows("SELECT transaction_id FROM reviews")}
    true = {i for i, review in rig.sandbox.truth().reviews.items() if review["shop_id"] in moved}
    assert true <= stored


# A market that no single search can reach


def test_a_market_over_the_cap_is_found_whole_for_hardly_more_calls_and_the_next_cycle_knows_how(
    tmp_path: Path,
) -> None:
    rig = rig_on(tmp_path / "home", cap=500, listings=3000, shops=60, reviews_per_shop=5.0)
    rig.run_cycle()
    assert differences(rig.rows, rig.sandbox) == []
    fewest = pages(len(in_furniture(rig.sandbox))) + pages(len(wanted_in(rig.sandbox)))
    first = len(rig.sandbox.calls)
    assert first <= (fewest + review_pages(rig.sandbox) + 1) * 1.15
    rig.run_cycle(2)
    later = rig.sandbox.calls[first:]
    assert len(later) <= fewest * 1.15
    assert {call.status for call in later} == {200}
    assert differences(rig.rows, rig.sandbox) == []
    assert set(rig.rows("SELECT verdict FROM intervals WHERE status = 'done'")) == {("complete",)}


def at_one_price(rig: Rig, share: float = 1.0) -> None:
    """Let (that share of) all listings ask the same price."""
    market = rig.sandbox.market
    for listing in market.numbered[: int(len(market.numbered) * share)]:
        listing.amount, listing.currency = 4_200, "USD"
        market.changed(listing, 0)


def test_one_price_with_more_listings_than_the_cap_is_reached_through_child_categories(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home", cap=300, listings=900)
    at_one_price(rig)
    rig.run_cycle()
    assert differences(rig.rows, rig.sandbox) == []
    notes = [row[0] for row in rig.rows("SELECT note FROM intervals WHERE note IS NOT NULL")]
    assert any("one price" in note for note in notes)


def test_one_price_without_child_categories_is_walked_in_both_orders(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home", cap=300, listings=700)
    at_one_price(rig)
    for listing in rig.sandbox.market.numbered:
        listing.taxonomy_id = 1001 if listing.taxonomy_id in DESCENDANTS[FURNITURE] else listing.taxonomy_id
        rig.sandbox.market.changed(listing, 0)
    rig.run_cycle()
    assert differences(rig.rows, rig.sandbox) == []
    done = rig.rows("SELECT sort_order, verdict FROM intervals WHERE status = 'done'")
    assert {("desc", "complete"), ("asc", "complete")} <= set(done)


# A market that moves


class Watcher:
    """Notes before every call which listings are active, and which of them jumped to the front or in price."""

    def __init__(self, rig: Rig) -> None:
        self._market = rig.sandbox.market
        first = [row for row in self._market.numbered if row.state == "active"]
        self._there = {row.listing_id: (row.created, row.amount) for row in first}
        rig.wire.before = self.look

    def look(self, path: str, params: Mapping[str, str]) -> None:
        now = {row.listing_id: (row.created, row.amount) for row in self._market.numbered if row.state == "active"}
        self._there = {i: told for i, told in self._there.items() if now.get(i) == told}

    def throughout(self) -> set[int]:
        """Return who was active, at one price and one place in the order, at every call."""
        self.look("", {})
        return set(self._there)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_of_a_moving_market_everything_that_stayed_is_found_and_nothing_is_made_up(tmp_path: Path, seed: int) -> None:
    rig = rig_on(tmp_path / "home", seed=seed, listings=900, shops=40, reviews_per_shop=30.0, move_every=3)
    watcher = Watcher(rig)
    rig.run_cycle()
    truth = rig.sandbox.truth()
    wanted = {listing["listing_id"] for listing in wanted_in(rig.sandbox)}
    assert wanted & watcher.throughout() <= known_listings(rig)
    assert known_listings(rig) <= set(rig.sandbox.market.listings)
    assert {row[0] for row in rig.rows("SELECT shop_id FROM shops")} <= set(rig.sandbox.market.shops)
    stored = {row[0] for row in rig.rows("SELECT transaction_id FROM reviews")}
    closed = rig.sandbox.market.closed_shops
    gone = {row[0] for row in rig.rows("SELECT transaction_id, shop_id FROM reviews") if row[1] in closed}
    assert stored - gone <= set(truth.reviews)
    assert rig.rows("SELECT COUNT(*) FROM failed_items") == [(0,)]


def test_what_a_moving_market_hid_is_found_by_the_next_cycle(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home", listings=900, shops=40, reviews_per_shop=30.0, move_every=2)
    rig.run_cycle()
    rig.sandbox.settings = replace(rig.sandbox.settings, move_every=0)
    rig.run_cycle(2)
    assert {listing["listing_id"] for listing in wanted_in(rig.sandbox)} <= known_listings(rig)
    states = dict(rig.rows("SELECT listing_id, state FROM listings_dynamic ORDER BY snapshot_timestamp"))
    told = rig.sandbox.truth().listings
    true = {i: told[i]["state"] if i in told else "removed" for i in states}
    assert states == true


def test_a_lagging_index_and_inexact_counts_lose_nothing(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home", listings=900, shops=40, count_jitter=0.03, index_lag_calls=9, move_every=5)
    watcher = Watcher(rig)
    rig.run_cycle()
    rig.run_cycle(2)
    wanted = {listing["listing_id"] for listing in wanted_in(rig.sandbox)}
    assert wanted & watcher.throughout() <= known_listings(rig)


def test_a_listing_that_is_gone_gets_a_removed_row_and_is_asked_for_less_and_less_often(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home")
    rig.run_cycle()
    gone = sorted(known_listings(rig))[:3]
    for listing_id in gone:
        market = rig.sandbox.market
        market.set_state(market.listings[listing_id], "removed", market.settings.epoch + 60)
        market.changed(market.listings[listing_id], 0)
    asked = []
    for cycle in range(2, 7):
        before = len(rig.sandbox.calls)
        rig.run_cycle(cycle)
        batches = [c for c in rig.sandbox.calls[before:] if c.endpoint == "getListingsByListingIds"]
        asked.append(any(str(gone[0]) in call.params["listing_ids"].split(",") for call in batches))
    removed = rig.rows("SELECT listing_id FROM listings_dynamic WHERE state = 'removed'")
    assert {row[0] for row in removed} == set(gone)
    assert asked == [True, False, True, False, False]


# Faults


@pytest.mark.parametrize("name", sorted(set(EFFECTS) - {"missing_keys", "nulls", "dead_key", "daily_429"}))
def test_the_end_is_the_same_whatever_fault_strikes_now_and_then(tmp_path: Path, name: str) -> None:
    rig = rig_on(tmp_path / "home")
    rig.sandbox.faults.add(Fault(name, share=0.1))
    rig.run_cycle()
    assert rig.sandbox.faults.struck()[name] > 0
    assert differences(rig.rows, rig.sandbox) == []
    assert rig.rows("SELECT kind, item_id, error FROM failed_items") == []


@pytest.mark.parametrize("endpoint", DATA_ENDPOINTS)
@pytest.mark.parametrize("name", ["zero_count", "poison", "html", "cut_body", "dead_key", "server_error"])
def test_the_end_is_the_same_where_the_first_answer_of_an_endpoint_is_bad(
    tmp_path: Path, name: str, endpoint: str
) -> None:
    rig = rig_on(tmp_path / "home", listings=130, shops=5)
    rig.sandbox.faults.add(Fault(name, endpoint=endpoint, count=1))
    rig.run_cycle()
    assert rig.sandbox.faults.struck()[name] == 1
    assert differences(rig.rows, rig.sandbox) == []
    assert rig.rows("SELECT kind, item_id, error FROM failed_items") == []


def test_a_daily_429_out_of_nowhere_is_slept_off(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home")
    rig.sandbox.faults.add(Fault("daily_429", after=7, every=8, count=2))
    rig.run_cycle()
    assert rig.sandbox.faults.struck() == {"daily_429": 2}
    assert differences(rig.rows, rig.sandbox) == []
    at = [call.wall for call in rig.sandbox.calls if call.status == 429]
    after = [next(call.wall for call in rig.sandbox.calls if call.wall > moment) for moment in at]
    assert all(later - moment >= 86_400 for moment, later in zip(at, after, strict=True))


@pytest.mark.parametrize("name", ["missing_keys", "nulls"])
def test_rows_with_holes_are_kept_and_hold_nothing_false(tmp_path: Path, name: str) -> None:
    rig = rig_on(tmp_path / "home")
    rig.sandbox.faults.add(Fault(name, share=0.5))
    rig.run_cycle()
    assert rig.sandbox.faults.struck()[name] > 5
    listings = rig.sandbox.truth().listings
    assert {listing["listing_id"] for listing in wanted_in(rig.sandbox)} <= known_listings(rig)
    for listing_id, *told in rig.rows("SELECT listing_id, title, url, when_made, shop_id FROM listings"):
        true = [listings[listing_id][key] for key in ("title", "url", "when_made", "shop_id")]
        assert all(got is None or got == right for got, right in zip(told, true, strict=True))


def test_answers_with_holes_are_mended_by_a_good_cycle(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home")
    rig.sandbox.faults.add(Fault("nulls", share=0.5))
    rig.run_cycle()
    rig.sandbox.faults.clear()
    rig.run_cycle(2)
    found = [
        line for line in differences(rig.rows, rig.sandbox) if not line.startswith(("listing ", "shop ", "review "))
    ]
    assert found == []


def test_reviews_of_a_shop_that_can_never_be_parsed_are_put_aside_and_the_walk_goes_on(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home")
    bad = wanted_in(rig.sandbox)[0]["shop_id"]
    rig.sandbox.faults.add(Fault("poison", endpoint="getReviewsByShop", match={"shop_id": str(bad)}))
    rig.run_cycle()
    assert rig.rows("SELECT kind, item_id FROM failed_items") == [("reviews", str(bad))]
    reviews = rig.sandbox.truth().reviews
    lost = {f"review {i} is missing" for i, review in reviews.items() if review["shop_id"] == bad}
    assert lost and set(differences(rig.rows, rig.sandbox)) == lost
    rig.sandbox.faults.clear()
    rig.run_cycle(2)
    assert differences(rig.rows, rig.sandbox) == []
    assert rig.rows("SELECT kind, item_id FROM failed_items") == []


def test_a_listing_that_can_never_be_parsed_is_put_aside_and_the_walk_goes_on(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home")
    bad = wanted_in(rig.sandbox)[40]["listing_id"]
    rig.sandbox.faults.add(Fault("poison", match={"listing_id": str(bad)}))
    rig.run_cycle()
    assert rig.rows("SELECT kind, item_id FROM failed_items") == [("listing", str(bad))]
    missing = {f"listing {bad} is missing", f"listing's latest row {bad} is missing"}
    missing |= {line for line in differences(rig.rows, rig.sandbox) if line.startswith(f"image ({bad},")}
    assert set(differences(rig.rows, rig.sandbox)) == missing
    rig.sandbox.faults.clear()
    rig.run_cycle(2)
    assert differences(rig.rows, rig.sandbox) == []
    assert rig.rows("SELECT kind, item_id FROM failed_items") == []


def test_a_search_that_suddenly_lists_nothing_is_waited_for_not_believed(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home", listings=900)
    rig.sandbox.faults.add(Fault("zero_count", endpoint="findAllListingsActive", after=3, count=12))
    rig.run_cycle()
    assert rig.sandbox.faults.struck() == {"zero_count": 12}
    assert differences(rig.rows, rig.sandbox) == []


def test_a_search_that_lists_nothing_all_through_the_second_cycle_removes_nothing(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home")
    rig.run_cycle()
    rig.sandbox.faults.add(Fault("zero_count", endpoint="findAllListingsActive"))
    rig.run_cycle(2)
    assert rig.rows("SELECT COUNT(*) FROM listings_dynamic WHERE state != 'active'") == [(0,)]
    assert {row[0] for row in rig.rows("SELECT verdict FROM intervals WHERE cycle = 2")} == {"unreachable"}


# The day's quota


@pytest.mark.parametrize("refused_calls_count", [False, True])
def test_a_small_quota_is_slept_for_and_never_overdrawn(tmp_path: Path, refused_calls_count: bool) -> None:
    rig = rig_on(tmp_path / "home", quota_per_day=9, refused_calls_count=refused_calls_count)
    rig.run_cycle()
    assert 429 not in statuses(rig)
    assert differences(rig.rows, rig.sandbox) == []
    slept = [position for position, _ in rig.steps if position.cursor.get("reason") == "quota"]
    assert {position.state for position in slept} == {"SLEEP"}
    assert {position.cursor["resume"]["state"] for position in slept} >= {"REVIEWS"}


def test_a_quota_that_is_cut_while_crawling_is_kept_to(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home", quota_per_day=100_000)
    limits = rig.sandbox.limits
    rig.wire.before = lambda path, params: limits.set_quota(per_day=12) if len(rig.sandbox.calls) == 6 else None
    rig.run_cycle()
    assert 429 not in statuses(rig)
    assert differences(rig.rows, rig.sandbox) == []


def test_the_next_cycle_begins_a_week_after_the_last_one_began(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home", listings=60, shops=3)
    began = rig.clock.now()
    rig.run_cycle(3)
    walked = [position for position, _ in rig.steps if position.cycle == 3 and position.state == "TAXONOMY"]
    started = rig.rows("SELECT MIN(started_at) FROM intervals WHERE cycle = 3")[0][0]
    assert walked
    assert abs(parse_iso(started) - (began + 2 * WEEK)) < 60
