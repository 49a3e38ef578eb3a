"""What the simulation and the state machine have found, each as small as it can be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import KeyRefused
from sandbox import Fault
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
