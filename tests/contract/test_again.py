"""Trying again what could not be read: in whole crawls against the sandbox, in this process and on a virtual clock."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from crawler.again import Item, Taken, in_words, take_up
from crawler.api import lookahead
from crawler.outcome import Position
from runtime.clock import iso
from runtime.database import write_briefly
from sandbox import Fault
from tests.contract.test_ahead import AheadRig
from tests.contract.test_crawl_truth import rig_on, wanted_in
from tests.rig import Rig
from tests.truth import differences

INDEX = ("indexed_listings", "indexed_shops", "failed_items", "intervals")


def failed(rig: Rig) -> list[Item]:
    return [(kind, int(number)) for kind, number in rig.rows("SELECT kind, item_id FROM failed_items ORDER BY 1, 2")]


def attempts(rig: Rig) -> list[tuple[int, ...]]:
    return rig.rows("SELECT attempts FROM failed_items")


def again(rig: Rig, *item: str | int) -> Taken:
    """Do what the sub-command does, in a transaction of its own."""
    assert rig.database is not None
    kind, number = map(str, item) if item else (None, None)
    freshness, now = rig.calling.context.freshness, rig.clock.now()
    return write_briefly(rig.database, partial(take_up, kind, number, freshness, now))


def content(rig: Rig) -> dict[str, list[Any]]:
    return {table: rig.rows(f"SELECT * FROM {table} ORDER BY 1") for table in INDEX}


def run_to_failure(rig: Rig, *item: str | int) -> Position:
    """Run until this has failed, and return where."""
    return rig.run_to(lambda _: item in failed(rig)).position


def run_to_the_end_of_listings(rig: Rig) -> None:
    """Run BACKFILL until all listings are read, and stop before it notices."""
    left = "SELECT COUNT(*) FROM indexed_listings WHERE wanted = 1 AND detail_cycle = 0"
    rig.run_to(lambda position: position.state == "BACKFILL" and rig.rows(left) == [(0,)])


@pytest.mark.parametrize(("place", "state"), [(0, "TAXONOMY"), (-1, "BACKFILL")])
def test_a_listing_is_read_before_the_audit_that_would_have_tried_it_again(
    tmp_path: Path, place: int, state: str
) -> None:
    rig = rig_on(tmp_path / "home")
    bad = sorted(listing["listing_id"] for listing in wanted_in(rig.sandbox))[place]
    rig.sandbox.faults.add(Fault("poison", match={"listing_id": str(bad)}))
    assert run_to_failure(rig, "listing", bad).state == state
    rig.sandbox.faults.clear()
    taken = again(rig, "listing", bad)
    assert taken.due == [("listing", bad)]
    assert (failed(rig), attempts(rig)) == ([("listing", bad)], [(1,)]), "it stays until it was read"
    rig.run_until("VERIFY")
    assert failed(rig) == []
    rig.run_cycle()
    assert differences(rig.rows, rig.sandbox) == []


@pytest.mark.parametrize(
    ("kind", "endpoint", "key", "left_out"),
    [
        (
            "shop",
            "getShop",
            "shop_id",
            "UPDATE indexed_shops SET detail_cycle = 0, detail_due_at = '' WHERE shop_id = ?",
        ),
        (
            "images",
            "getListingImages",
            "listing_id",
            "UPDATE indexed_listings SET images_missing = 1 WHERE listing_id = ?",
        ),
    ],
)
def test_a_shop_and_images_are_read_in_the_same_backfill(
    tmp_path: Path, kind: str, endpoint: str, key: str, left_out: str
) -> None:
    """Both are what a batch's answer has left out."""
    rig = rig_on(tmp_path / "home")
    bad = wanted_in(rig.sandbox)[40][key]
    rig.sandbox.faults.add(Fault("poison", endpoint=endpoint, match={key: str(bad)}))
    run_to_the_end_of_listings(rig)
    rig.rows(left_out, bad)  # by hand
    assert run_to_failure(rig, kind, bad).state == "BACKFILL"
    rig.sandbox.faults.clear()
    assert again(rig).due == [(kind, bad)]
    rig.run_until("VERIFY")
    assert failed(rig) == []
    rig.run_cycle()
    assert differences(rig.rows, rig.sandbox) == []


@pytest.mark.parametrize("moment", ["between two steps", "in the middle of a step"])
def test_reviews_are_read_before_the_second_chance_that_all_get_at_the_end(tmp_path: Path, moment: str) -> None:
    rig = rig_on(tmp_path / "home")
    bad = min(listing["shop_id"] for listing in wanted_in(rig.sandbox))
    rig.sandbox.faults.add(Fault("poison", endpoint="getReviewsByShop", match={"shop_id": str(bad)}))
    found: list[Taken] = []

    def take(*_: Any) -> None:
        if ("reviews", bad) in failed(rig) and not found:
            rig.sandbox.faults.clear()
            found.append(again(rig, "reviews", bad))

    if moment == "in the middle of a step":
        rig.wire.before = take
    else:
        assert run_to_failure(rig, "reviews", bad).cursor.get("retry_after") is None
        take()
    rig.run_to(lambda position: position.cursor.get("retry_after") is not None)
    assert [taken.due for taken in found] == [[("reviews", bad)]]
    assert failed(rig) == []
    rig.run_cycle()
    assert differences(rig.rows, rig.sandbox) == []


@pytest.mark.parametrize(("kind", "key"), [("listing", "listing_id"), ("reviews", "shop_id")])
def test_a_crawl_that_calls_ahead_reads_what_is_taken_up_while_it_runs_before_all_that_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, key: str
) -> None:
    monkeypatch.setattr(lookahead, "STALE_SECONDS", 1e9)  # as in test_ahead
    rig = rig_on(tmp_path / "home", latency_seconds=1.0)
    rig.workers = AheadRig.workers
    bad = min(listing[key] for listing in wanted_in(rig.sandbox))
    endpoint = "getReviewsByShop" if kind == "reviews" else None
    rig.sandbox.faults.add(Fault("poison", endpoint=endpoint, match={key: str(bad)}))
    found: list[Taken] = []

    def take(position: Position) -> bool:
        if (kind, bad) in failed(rig) and not found:
            rig.sandbox.faults.clear()
            found.append(again(rig, kind, bad))
        return position.state == "VERIFY" if kind == "listing" else position.cursor.get("retry_after") is not None

    rig.run_to(take)
    assert [taken.due for taken in found] == [[(kind, bad)]]
    assert failed(rig) == []
    rig.run_cycle()
    assert differences(rig.rows, rig.sandbox) == []


def test_an_audit_whose_last_look_is_behind_it_sends_the_crawl_back_for_what_was_taken_up(tmp_path: Path) -> None:
    """By then it has tried by itself, in its first round, and left what failed once more for the next cycle."""
    rig = rig_on(tmp_path / "home")
    bad = wanted_in(rig.sandbox)[40]["listing_id"]
    rig.sandbox.faults.add(Fault("poison", match={"listing_id": str(bad)}))
    rig.run_to(lambda place: place.cursor.get("check") == "report" and place.cursor.get("repairs") == 1)
    assert attempts(rig) == [(2,)]
    rig.sandbox.faults.clear()
    assert again(rig, "listing", bad).due == [("listing", bad)]
    engine = rig.run_until("REVIEWS")
    assert (failed(rig), engine.position.cycle) == ([], 1)
    rig.run_cycle()
    assert differences(rig.rows, rig.sandbox) == []


def test_what_fails_once_more_is_put_aside_once_more_and_the_cycle_ends(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home")
    bad = wanted_in(rig.sandbox)[40]["listing_id"]
    rig.sandbox.faults.add(Fault("poison", match={"listing_id": str(bad)}))
    run_to_failure(rig, "listing", bad)
    again(rig)
    rig.run_cycle()
    assert (failed(rig), attempts(rig)) == ([("listing", bad)], [(3,)]), "the crawl's own second try is one of them"
    assert rig.rows("SELECT detail_cycle FROM indexed_listings WHERE listing_id = ?", bad) == [(1,)]


@pytest.mark.parametrize("kind", ["listing", "reviews"])
def test_in_the_cycles_sleep_it_is_left_to_the_next_cycle_which_is_named(tmp_path: Path, kind: str) -> None:
    rig = rig_on(tmp_path / "home")
    chosen = wanted_in(rig.sandbox)[40]
    name, endpoint = ("listing_id", None) if kind == "listing" else ("shop_id", "getReviewsByShop")
    rig.sandbox.faults.add(Fault("poison", endpoint=endpoint, match={name: str(chosen[name])}))
    until = rig.run_cycle().position.cursor["until"]
    before = content(rig)
    taken = again(rig)
    assert (taken.due, taken.later) == ([], [(kind, chosen[name])])
    (words,) = in_words(taken)
    assert f"in the next cycle, which begins at {until}," in words
    assert content(rig) == before
    rig.sandbox.faults.clear()
    rig.run_cycle(2)
    assert failed(rig) == []
    assert differences(rig.rows, rig.sandbox) == []


def test_reviews_that_have_had_their_second_chance_are_left_to_the_next_cycle(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home")
    shops = sorted({listing["shop_id"] for listing in wanted_in(rig.sandbox)})
    first, last = shops[0], shops[-1]
    for shop in (first, last):
        rig.sandbox.faults.add(Fault("poison", endpoint="getReviewsByShop", match={"shop_id": str(shop)}))
    position = rig.run_to(lambda place: (place.cursor.get("retry_after") or 0) >= first).position
    assert position.cursor["retry_after"] == first
    rig.sandbox.faults.clear()
    taken = again(rig)
    assert (taken.due, taken.later) == ([("reviews", last)], [("reviews", first)])
    (_, words) = in_words(taken)
    due_at = iso(rig.calling.context.freshness.next_cycle_at(rig.calling.context.cycle, rig.clock.now()))
    assert f"begins at {due_at}, or later where this one takes longer" in words
    rig.run_cycle()
    assert failed(rig) == [("reviews", first)]
    rig.run_cycle(2)
    assert failed(rig) == []
    assert differences(rig.rows, rig.sandbox) == []


@pytest.mark.parametrize("state", ["BACKFILL", "REVIEWS"])
def test_in_a_sleep_for_quota_counts_where_the_crawl_will_go_on(tmp_path: Path, state: str) -> None:
    rig = rig_on(tmp_path / "home")
    bad = min(listing["listing_id"] for listing in wanted_in(rig.sandbox))
    rig.sandbox.faults.add(Fault("poison", match={"listing_id": str(bad)}))
    run_to_failure(rig, "listing", bad)
    rig.run_until(state)
    rig.sandbox.limits.set_quota(per_day=len(rig.sandbox.calls) + 2)
    position = rig.run_until("SLEEP").position
    assert (position.cursor["reason"], position.cursor["resume"]["state"]) == ("quota", state)
    taken = again(rig)
    rig.sandbox.faults.clear()
    assert (taken.due if state == "BACKFILL" else taken.later) == [("listing", bad)]
    rig.sandbox.limits.set_quota(per_day=1000)
    if state == "BACKFILL":
        rig.run_until("VERIFY")
        assert failed(rig) == []
    else:
        rig.run_cycle()
        assert failed(rig) == [("listing", bad)]


def test_an_interval_stays_closed_and_the_next_plan_forgets_it(tmp_path: Path) -> None:
    rig = rig_on(tmp_path / "home")
    rig.run_cycle()
    rig.sandbox.faults.add(Fault("zero_count", endpoint="findAllListingsActive"))
    rig.run_to(lambda _: failed(rig) != [])
    rig.sandbox.faults.clear()
    ((kind, interval_id),) = failed(rig)
    assert kind == "interval"
    before = content(rig)
    taken = again(rig, kind, interval_id)
    assert (taken.due, taken.later, taken.closed) == ([], [], [(kind, interval_id)])
    assert "Closed for this cycle" in "".join(in_words(taken))
    assert content(rig) == before
    rig.run_cycle(2)
    assert failed(rig) == [(kind, interval_id)]
    rig.run_cycle(3)
    assert failed(rig) == []
    assert differences(rig.rows, rig.sandbox) == []
