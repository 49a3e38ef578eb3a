"""What the simulation and the state machine have found, each as small as it can be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.store import state
from runtime.errors import KeyRefused
from sandbox import Fault
from tests.simulation.ending import wrong_at_the_end
from tests.simulation.world import World


def test_the_calls_of_a_crawl_that_ends_with_a_refused_key_are_written_down(tmp_path: Path) -> None:
    """Months, seeds 12 and 13: started again every half minute, such a crawl spent calls that nobody counted."""
    world = World(tmp_path / "home", 1)
    world.crawl_until("REVIEWS", 1)
    world.sandbox.faults.add(Fault("dead_key"))
    with pytest.raises(KeyRefused):
        world.rig.start().run()
    assert world.rig.rows("SELECT SUM(request_count) FROM api_usage") == [(len(world.sandbox.calls),)]


def test_a_stop_while_another_program_holds_the_database_is_an_orderly_end(tmp_path: Path) -> None:
    """Months, seed 1 with locks: the last calls waited for the database, and the stop came out as an error."""
    world = World(tmp_path / "home", 1)
    world.crawl_until("REVIEWS", 1)
    world.sandbox.faults.add(Fault("server_error"))
    engine = world.rig.start()
    before = engine.position
    world.rig.rows("PRAGMA busy_timeout = 0")

    def lock_and_stop() -> None:
        world.lock(3_600.0)
        world.rig.stop.ask("the test")

    world.wire.after = lock_and_stop
    assert engine.run() == before


def test_a_cap_that_an_overlapping_page_taught_hides_no_page(tmp_path: Path) -> None:
    """Months, seed 15: a cap of 98 was learned at the offset 198; from then on no second page was asked for."""
    world = World(tmp_path / "home", 1)
    world.crawl_until("BACKFILL", 1)
    with world.rig.database.atomic():  # type: ignore[union-attr]
        state.save("search_cap", 98)
    world.crawl_until("SLEEP", 2)
    verdicts = world.rig.rows("SELECT verdict, COUNT(*) FROM intervals WHERE cycle = 2 AND status = 'done' GROUP BY 1")
    assert [verdict for verdict, _ in verdicts] == ["complete"]
    assert wrong_at_the_end(world) == []


def test_a_shop_whose_visit_was_told_of_nothing_again_and_again_is_due_again_in_the_next_cycle(tmp_path: Path) -> None:
    """Months, seed 14: an empty page was believed at the third time, and a counted review was missing for weeks."""
    world = World(tmp_path / "home", 1)
    world.crawl_until("REVIEWS", 1)
    visits = "getReviewsByShop"
    world.sandbox.faults.add(Fault("zero_count", endpoint=visits, count=3))
    world.crawl_until("SLEEP", 1)
    assert wrong_at_the_end(world) != [], "the fault hid nothing"
    world.crawl_until("SLEEP", 2)
    assert wrong_at_the_end(world) == []
