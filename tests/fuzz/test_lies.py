"""Answers that make sense and are wrong, again and again: the crawl leaves out what it cannot have, and ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from crawler.api.wire import WireAnswer
from sandbox import Sandbox, SandboxSettings
from tests.fuzz.test_crawl import crawl, is_consistent, is_up_to_date
from tests.rig import START, Rig, SandboxWire, VirtualClock

Lie = Callable[[str, Any], Any]
MOST_CALLS = 400
YEAR_3000 = 32_503_680_000


class LyingWire:
    """Passes on a sandbox's answers as the lie has them."""

    def __init__(self, wire: SandboxWire, lie: Lie) -> None:
        self._wire = wire
        self.lie: Lie | None = lie
        self.calls = 0

    def get(self, path: str, params: Mapping[str, str]) -> WireAnswer:
        self.calls += 1
        assert self.calls < MOST_CALLS, "no end in sight"
        answer = self._wire.get(path, params)
        if self.lie is None or answer.status != 200:
            return answer
        return WireAnswer(200, answer.headers, orjson.dumps(self.lie(path, orjson.loads(answer.body))))


def rows_of(ending: str, change: Callable[[dict[str, Any]], Any]) -> Lie:
    """Return the lie that changes each row of the answers under such a path."""

    def lie(path: str, payload: Any) -> Any:
        if path.endswith(ending):
            payload["results"] = [change(row) for row in payload["results"]]
        return payload

    return lie


def about_another(path: str, payload: Any) -> Any:
    """Batches without any shop, and every shop that is asked for is another one."""
    if path.endswith("/batch"):
        for row in payload["results"]:
            row["shop"] = None
    elif path.startswith("/shops/") and path.count("/") == 2:
        payload["shop_id"] += 10**9
    return payload


def another_listing(path: str, payload: Any) -> Any:
    """Batches of others, and each listing by itself is another one too."""
    if path.endswith("/batch"):
        return {"count": 1, "results": [{"listing_id": 7, "shop_id": 7, "state": "active"}]}
    if path.startswith("/listings/") and "listing_id" in payload:
        payload["listing_id"] += 10**9
    return payload


LIES: dict[str, Lie] = {
    "batches of others": rows_of("/batch", lambda row: {**row, "listing_id": row["listing_id"] + 10**9}),
    "a row that nobody asked for": another_listing,
    "batches of nobody": rows_of("/batch", lambda row: {**row, "listing_id": 0}),
    "another shop": about_another,
    "reviews that are none": rows_of("/reviews", lambda row: None),
}


def built(home: Path, lie: Lie) -> tuple[Rig, LyingWire]:
    clock = VirtualClock()
    market = SandboxSettings(seed=3, listings=40, shops=4, reviews_per_shop=6.0, epoch=int(START))
    rig = Rig(home, Sandbox(market, clock=clock.true), clock)
    wire = LyingWire(rig.wire, lie)
    rig.wire = wire  # type: ignore[assignment]
    return rig, wire


@pytest.mark.parametrize("what", LIES)
def test_a_lie_that_lasts_costs_what_it_is_about_and_no_call_more_than_that(tmp_path: Path, what: str) -> None:
    rig, wire = built(tmp_path / "home", LIES[what])
    crawl(rig, 1)
    is_consistent(rig)
    wire.lie = None
    crawl(rig, 2)
    is_consistent(rig)
    is_up_to_date(rig)
    rig.close()


@pytest.mark.parametrize("at", [YEAR_3000, -5, 2**60, 1])
def test_a_review_of_a_time_that_cannot_be_hides_no_later_one(tmp_path: Path, at: int) -> None:
    """The watermark is the newest review's time, and only what is newer is asked for the next time."""
    rig, wire = built(tmp_path / "home", rows_of("/reviews", lambda row: {**row, "create_timestamp": at}))
    crawl(rig, 1)
    wire.lie = None
    rig.sandbox.move(150)
    crawl(rig, 2)
    stored = {row[0] for row in rig.rows("SELECT transaction_id FROM reviews")}
    shops = {row[0] for row in rig.rows("SELECT shop_id FROM indexed_shops WHERE gone = 0 AND review_cycle = 2")}
    reviews = {key for key, review in rig.sandbox.truth().reviews.items() if review["shop_id"] in shops}
    assert reviews and reviews <= stored
    rig.close()


def test_reviews_of_which_a_row_was_garbled_once_are_asked_for_again(tmp_path: Path) -> None:
    garbled: set[str] = set()

    def once(path: str, payload: Any) -> Any:
        if path.endswith("/reviews") and path not in garbled and payload["results"]:
            garbled.add(path)
            payload["results"][0] = "x"
        return payload

    rig, _ = built(tmp_path / "home", once)
    crawl(rig, 1)
    stored = {row[0] for row in rig.rows("SELECT transaction_id FROM reviews")}
    shops = {row[0] for row in rig.rows("SELECT shop_id FROM shops")}
    assert garbled
    assert stored == {key for key, review in rig.sandbox.truth().reviews.items() if review["shop_id"] in shops}
    rig.close()


def test_a_category_tree_that_has_lost_ours_is_no_mistake_of_the_person(tmp_path: Path) -> None:
    """It had it before: when it is read again, 28 days later, the crawl goes on without the tree."""

    def lost(path: str, payload: Any) -> Any:
        return (
            payload if "taxonomy" not in path else {"count": 1, "results": [{"id": 1, "name": "Art", "children": []}]}
        )

    rig, wire = built(tmp_path / "home", lost)
    wire.lie = None
    crawl(rig, 1)
    wire.lie = lost
    rig.run_cycle(5)
    wire.lie = None
    rig.run_cycle(6)
    is_up_to_date(rig)
    rig.close()
