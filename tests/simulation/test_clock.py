"""A computer whose clock is wrong: what was written down meanwhile must not hold the crawl up for years."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from runtime.clock import DAY_SECONDS, EARLIEST, iso
from tests.rig import START, WEEK
from tests.simulation.ending import wrong_at_the_end
from tests.simulation.world import World

YEARS = 4 * 365 * DAY_SECONDS


def test_a_sleep_that_began_while_the_clock_was_years_ahead_ends_once_it_is_right(tmp_path: Path) -> None:
    world = World(tmp_path / "home", 1)
    world.clock.jump(YEARS)
    world.crawl_until("SLEEP", 1)
    world.clock.set_right()
    world.crawl_until("SLEEP", 2)
    assert world.clock.true.now() - START < DAY_SECONDS
    # What was due in years is due in a week, like everything else.
    late = world.rig.rows("SELECT COUNT(*) FROM indexed_listings WHERE detail_due_at > ?", iso(START + 2 * WEEK))
    assert late == [(0,)]
    rows = set(world.rig.rows("SELECT COUNT(*) FROM listings_dynamic GROUP BY listing_id"))
    assert rows == {(2,)}, "each listing was read in each cycle"


def test_a_day_that_was_spent_while_the_clock_was_years_ahead_is_no_reason_to_wait_for_years(tmp_path: Path) -> None:
    world = World(tmp_path / "home", 1, quota_per_day=9)
    world.clock.jump(YEARS)
    world.crawl_until("SLEEP", 1, "quota")
    world.clock.set_right()
    world.crawl_until("SLEEP", 1)
    assert world.clock.true.now() - START < 6 * DAY_SECONDS
    assert wrong_at_the_end(world) == []


def test_a_clock_that_falls_back_to_1970_is_waited_for_and_no_row_carries_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path / "home", 1)
    world.crawl_until("REVIEWS", 1)
    calls = len(world.sandbox.calls)
    world.clock.jump(-world.clock.now())

    def mend() -> None:
        if world.clock.true.now() > START + 3_600.0:
            world.clock.set_right()

    world.clock.true.passed = mend
    with caplog.at_level(logging.WARNING):
        world.crawl_until("SLEEP", 1)
    assert "1970-01-01T00:00" in caplog.text and "Set it" in caplog.text
    assert min(call.wall for call in world.sandbox.calls[calls:]) > START + 3_600.0
    assert world.rig.rows("SELECT MIN(snapshot_timestamp) FROM reviews") > [(iso(EARLIEST),)]
    assert wrong_at_the_end(world) == []
