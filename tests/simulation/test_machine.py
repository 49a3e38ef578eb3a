"""A crawl under Hypothesis: whatever is done to it, in whatever order, the invariants hold after each thing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crawler.engine import Engine
from crawler.outcome import Outcome, Position
from runtime.clock import DAY_SECONDS, parse_iso
from runtime.errors import KeyRefused, OperatorNeeded, UserMistake
from sandbox import Fault
from tests.simulation import incidents
from tests.simulation.counts import note_count
from tests.simulation.ending import wrong_at_the_end
from tests.simulation.invariants import broken, unstored
from tests.simulation.life import DEATHS, Died, Life
from tests.simulation.world import WAKE_SECONDS, World

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "20"))
STEPS_OF_AN_EXAMPLE = 30
MOST_STEPS_TO_THE_END = 3_000
MARKET = {"listings": 110, "shops": 5, "reviews_per_shop": 30.0, "cap": 100}
SECONDS = st.sampled_from([0.5, 60.0, 3_600.0, DAY_SECONDS, 9 * DAY_SECONDS])


MEMORY = Path("/dev/shm")


class Enough(BaseException):
    """The process is left alone for a while, after a step and all that belongs to it."""


def require(wrong: list[str]) -> None:
    """Fail with the words where there are any."""
    assert not wrong, "\n".join(wrong[:8])


class CrawlMachine(RuleBasedStateMachine):
    """One world, one process at a time; rules are what the server, the computer and its owner do."""

    steps = 0
    examples = 0

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self._engine: Engine | None = None
        self._wrong: list[str] = []
        self._left = 0
        type(self).examples += 1

    @initialize(seed=st.integers(1, 5), quota=st.sampled_from([12, 40, 5_000]))
    def begin(self, seed: int, quota: int) -> None:
        self.world = World(self._folder / "home", seed, **MARKET, quota_per_day=quota)
        self._life = Life(self.world)
        self._start()

    # What the crawl does

    @rule(number=st.sampled_from([1, 1, 2, 5, 20]))
    def crawl(self, number: int) -> None:
        self._crawl(number)

    @precondition(lambda self: self._engine is not None)
    @rule()
    def stop_and_start(self) -> None:
        assert self._engine is not None
        self.world.rig.stop.ask("the machine")
        before = self._position()
        self._engine.run()
        assert self._position() == before, "a stop between two steps moves nothing"
        self._start()

    @precondition(lambda self: self._engine is not None)
    @rule(name=st.sampled_from(["KILL", "KILL_SD"]))
    def kill_file(self, name: str) -> None:
        assert self._engine is not None
        path = self.world.rig.home.root / name
        path.touch()
        self._left = 1
        self._engine.run()
        self.world.rig.stop.obeyed()
        assert not path.exists()
        self._start()

    @precondition(lambda self: self._engine is not None)
    @rule(place=st.sampled_from(DEATHS))
    def die(self, place: str) -> None:
        """Die at the next such place, unless a few steps do not come by one."""
        self._life.death = place
        self._crawl(6)
        self._life.death = None

    # What the server does

    @rule(
        name=st.sampled_from(incidents.FAULTS),
        endpoint=st.sampled_from(incidents.ENDPOINTS),
        count=st.sampled_from([1, 2, 5, 12]),
        after=st.integers(0, 3),
    )
    def fault(self, name: str, endpoint: str | None, count: int, after: int) -> None:
        self.world.sandbox.faults.add(Fault(name, endpoint=endpoint, count=count, after=after))

    @rule()
    def faults_end(self) -> None:
        self.world.sandbox.faults.clear()

    @rule(per_day=st.sampled_from([5, 30, 5_000]))
    def quota(self, per_day: int) -> None:
        self.world.set_quota(per_day)

    @rule(times=st.sampled_from([1, 5, 40]))
    def market_moves(self, times: int) -> None:
        self.world.move(times)

    # What the computer does

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @rule(seconds=SECONDS)
    def lid_is_shut(self, seconds: float) -> None:
        self.world.clock.suspend(seconds)

    @rule(seconds=SECONDS, back=st.booleans())
    def clock_jumps(self, seconds: float, back: bool) -> None:
        self.world.jump(-seconds if back else seconds)

    @rule()
    def clock_is_set_right(self) -> None:
        self.world.set_clock_right()

    # What the owner does

    @rule(text=st.sampled_from([*incidents.DAMAGE, '{"qps": 1}', '{"qps": 5}', '{"qps": 0.2}']))
    def rate_is_edited(self, text: str) -> None:
        (self.world.rig.home.data / "qps_config.json").write_text(text, encoding="utf-8")

    @rule(
        prices=st.none() | st.lists(st.floats(1.0, 900.0).map(lambda price: round(price, 2)), max_size=4, unique=True),
        damage=st.sampled_from(incidents.DAMAGE),
    )
    def breaks_are_edited(self, prices: list[float] | None, damage: str) -> None:
        entries = [{"id": 967, "name": "Furniture", "price_breaks": [0, *sorted(prices or ())]}]
        text = damage if prices is None else json.dumps({"taxonomies": entries})
        (self.world.rig.home.data / "furniture_taxonomy_config.json").write_text(text, encoding="utf-8")

    # What must hold

    @invariant()
    def all_holds(self) -> None:
        require([*self._wrong, *broken(self.world)])

    def teardown(self) -> None:
        """In peace the crawl comes to its end, and what it has is true."""
        try:
            incidents.calm(self.world)
            self._settle()
            require(wrong_at_the_end(self.world))
        finally:
            self.world.rig.close()
            shutil.rmtree(self._folder)

    # How

    def _start(self) -> None:
        """Start a process; an owner who is told to mend a file does so, and starts it again."""
        try:
            self._engine = self._life.start(self._observe)
        except (UserMistake, OperatorNeeded):
            incidents.mend(self.world)
            self._engine = self._life.start(self._observe)

    def _crawl(self, number: int) -> None:
        """Let the process make so many steps, or start another one where it ends on the way."""
        assert self._engine is not None
        self._left = number
        try:
            self._engine.run()
        except Enough:
            pass
        except Died:
            wrong = self._life.bury()
            self._wrong += [wrong] if wrong else []
            self._start()
        except (KeyRefused, UserMistake, OperatorNeeded):
            incidents.mend(self.world)
            self._start()

    def _settle(self) -> None:
        """Crawl to the end of the cycle under way and through two more: in the first, much may still be fresh."""
        last = self._position()["cycle"] + 2
        for _ in range(MOST_STEPS_TO_THE_END):
            position = self._position()
            if position["state"] == "SLEEP" and position["cycle"] >= last and position["cursor"]["reason"] == "cycle":
                return
            self._crawl(1)
        raise AssertionError(f"no end in sight: {self._position()}")

    def _observe(self, position: Position, outcome: Outcome | None) -> None:
        self.world.watch(position, outcome)
        self._wrong += unstored(self.world, outcome)
        if position.state == "SLEEP":
            left = parse_iso(str(position.cursor["until"])) - WAKE_SECONDS - self.world.clock.now()
            self.world.clock.advance(min(max(0.0, left), 8 * DAY_SECONDS))
        type(self).steps += 1
        self._left -= 1
        if self._left == 0:
            raise Enough

    def _position(self) -> Any:
        return json.loads(self.world.rig.rows("SELECT value FROM sync_state WHERE key = 'position'")[0][0])


@pytest.mark.slow
def test_whatever_is_done_to_it_the_invariants_hold_and_in_peace_it_comes_to_its_end() -> None:
    run_state_machine_as_test(
        CrawlMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS_OF_AN_EXAMPLE,
            deadline=None,
            derandomize="MACHINE_EXAMPLES" not in os.environ,
            database=None,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert CrawlMachine.steps > EXAMPLES * STEPS_OF_AN_EXAMPLE / 4, "hardly anything was crawled"
    note_count(
        "state machine",
        f"{CrawlMachine.examples} runs of up to {STEPS_OF_AN_EXAMPLE} rules, {CrawlMachine.steps} steps",
    )
