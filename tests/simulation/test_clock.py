"""A computer whose clock is wrong: what was written down meanwhile must not hold the crawl up for years."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from crawler.outcome import Outcome, Position
from runtime.clock import DAY_SECONDS, EARLIEST, iso, parse_iso
from runtime.errors import KeyRefused
from sandbox import Fault
from tests.rig import START, WEEK
from tests.simulation.ending import wrong_at_the_end
from tests.simulation.world import World

YEARS = 4 * 365 * DAY_SECONDS
STEPS = 400


def crawl_until(world: World, state: str, cycle: int, reason: str = "cycle") -> None:
    """Crawl until the machine is there; sleeps are slept as long as they last by the computer's clock."""
    engine = world.rig.start()
    left = STEPS

    def observe(position: Position, outcome: Outcome | None) -> None:
        nonlocal left
        left -= 1
        world.watch(position, outcome)
        if position.state == state and position.cycle >= cycle and position.cursor.get("reason", reason) == reason:
            world.rig.stop.ask("the test")
        elif position.state == "SLEEP":
            world.clock.advance_to(parse_iso(str(position.cursor["until"])) - 40.0)
        assert left, f"no end in sight: {position}"

    world.rig._observe_now = observe
    engine.run()
    world.rig._observe_now = None


def test_a_sleep_that_began_while_the_clock_was_years_ahead_ends_once_it_is_right(tmp_path: Path) -> None:
    world = World(tmp_path / "home", 1)
    world.clock.jump(YEARS)
    crawl_until(world, "SLEEP", 1)
    world.clock.set_right()
    crawl_until(world, "SLEEP", 2)
    assert world.clock.true.now() - START < DAY_SECONDS
    # What was due in years is due in a week, like everything else.
    late = world.rig.rows("SELECT COUNT(*) FROM indexed_listings WHERE detail_due_at > ?", iso(START + 2 * WEEK))
    assert late == [(0,)]
    rows = set(world.rig.rows("SELECT COUNT(*) FROM listings_dynamic GROUP BY listing_id"))
    assert rows == {(2,)}, "each listing was read in each cycle"


def test_a_day_that_was_spent_while_the_clock_was_years_ahead_is_no_reason_to_wait_for_years(tmp_path: Path) -> None:
    world = World(tmp_path / "home", 1, quota_per_day=9)
    world.clock.jump(YEARS)
    crawl_until(world, "SLEEP", 1, "quota")
    world.clock.set_right()
    crawl_until(world, "SLEEP", 1)
    assert world.clock.true.now() - START < 6 * DAY_SECONDS
    assert wrong_at_the_end(world) == []


def test_a_clock_that_falls_back_to_1970_is_waited_for_and_no_row_carries_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path / "home", 1)
    crawl_until(world, "REVIEWS", 1)
    calls = len(world.sandbox.calls)
    world.clock.jump(-world.clock.now())

    def mend() -> None:
        if world.clock.true.now() > START + 3_600.0:
            world.clock.set_right()

    world.clock.true.passed = mend
    with caplog.at_level(logging.WARNING):
        crawl_until(world, "SLEEP", 1)
    assert "1970-01-01T00:00" in caplog.text and "Set it" in caplog.text
    assert min(call.wall for call in world.sandbox.calls[calls:]) > START + 3_600.0
    assert world.rig.rows("SELECT MIN(snapshot_timestamp) FROM reviews") > [(iso(EARLIEST),)]
    assert wrong_at_the_end(world) == []


def test_the_calls_of_a_crawl_that_ends_with_a_refused_key_are_written_down(tmp_path: Path) -> None:
    world = World(tmp_path / "home", 1)
    crawl_until(world, "REVIEWS", 1)
    world.sandbox.faults.add(Fault("dead_key"))
    with pytest.raises(KeyRefused):
        world.rig.start().run()
    assert world.rig.rows("SELECT SUM(request_count) FROM api_usage") == [(len(world.sandbox.calls),)]
