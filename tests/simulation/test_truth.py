"""Held against the sandbox's truth: what a crawl collects is so, or was so while it crawled."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.world import ACTIVE
from tests.rig import WEEK
from tests.simulation.truths import Truths, untrue
from tests.simulation.world import World
from tests.truth import differences


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_of_a_market_that_stands_still_the_data_set_is_the_truth_exactly(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path / "home", seed, listings=420, shops=30)
    world.crawl_until("SLEEP", 1)
    assert differences(world.rig.rows, world.sandbox) == []


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_of_a_moving_market_every_row_was_true_at_some_moment_of_its_cycle(tmp_path: Path, seed: int) -> None:
    """Every second or so something happens while it crawls, and much more between two cycles."""
    world = World(tmp_path / "home", seed, listings=420, shops=30)
    moved = world.wire.after = lambda: world.move(2)
    for cycle in (1, 2, 3):
        world.crawl_until("SLEEP", cycle)
        wrong = untrue(world.rig.rows, world.truths, world.window)
        assert wrong == []
        world.wire.after = lambda: None
        world.move(150)
        world.wire.after = moved
    rows = world.rig.rows("SELECT COUNT(*), COUNT(DISTINCT listing_id) FROM listings_dynamic")
    assert rows[0][0] > rows[0][1] > 200


def test_a_row_that_was_true_only_before_the_cycle_is_told_apart(tmp_path: Path) -> None:
    """The check can fail: of a listing that was sold before the cycle began, a row may not say that it is active."""
    world = World(tmp_path / "home", 1)
    world.crawl_until("SLEEP", 1)
    listing_id = world.rig.rows("SELECT MIN(listing_id) FROM listings_dynamic WHERE state = 'active'")[0][0]
    listing = world.sandbox.market.listings[listing_id]
    world.clock.advance(WEEK / 2)
    world.sandbox.market.set_state(listing, "sold_out", int(world.clock.now()))
    world.sandbox.market.changed(listing, 0)
    world.truths.note(world.clock.now())
    world.clock.advance(WEEK / 2)
    world.crawl_until("SLEEP", 2)
    assert untrue(world.rig.rows, world.truths, world.window) == []
    world.rig.rows("UPDATE listings_dynamic SET state = 'active' WHERE listing_id = ?", listing_id)
    assert [words.split(" at ")[0] for words in untrue(world.rig.rows, world.truths, world.window)] == [
        f"listings_dynamic {listing_id}"
    ]


def test_the_history_knows_what_was_and_what_is(tmp_path: Path) -> None:
    world = World(tmp_path / "home", 2)
    listing = next(row for row in world.sandbox.market.numbered if row.state == ACTIVE)
    before = world.truths.dynamics[listing.listing_id][-1].values
    listing.amount += 100
    world.truths.note(world.clock.now())
    after = world.truths.dynamics[listing.listing_id][-1].values
    assert before != after and Truths(world.sandbox).dynamics[listing.listing_id][-1].values == after
