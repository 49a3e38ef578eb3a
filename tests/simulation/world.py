"""A market that moves as time passes, and a computer that crawls it: in this process, in a time of their own."""

from __future__ import annotations

import itertools
import sqlite3
from bisect import bisect_right
from pathlib import Path
from typing import Any, NamedTuple

from crawler.outcome import Outcome, Position
from runtime.clock import DAY_SECONDS, parse_iso
from sandbox import Sandbox, SandboxSettings
from tests.rig import START, Rig, SandboxWire, VirtualClock
from tests.simulation.truths import Truths

WAKE_SECONDS = 40.0  # a sleep looks at the clock every 30 s
MOST_STEPS = 1_000
MARKET: dict[str, Any] = {"listings": 160, "shops": 9, "reviews_per_shop": 25.0, "cap": 100}


class Begun(NamedTuple):
    """The true moment at which a cycle was first seen to have begun."""

    at: float
    cycle: int


class Limit(NamedTuple):
    """The calls that a day allows from a moment on."""

    at: float
    per_day: int


class World:
    """One market, one computer, one crawl; `moves_per_day` things happen in the market by day, 0 for none.

    `rig.start` is a new process on the same home. The same seed gives the same world.
    """

    def __init__(self, home: Path, seed: int, moves_per_day: float = 0.0, **market: Any) -> None:
        self.clock = VirtualClock()
        self.limits: list[Limit] = []
        """The day's limits, and from which moment of the monotonic time on each was in force."""
        self.doubts: list[float] = []
        """Moments at which the crawl lost what it knew of the day."""
        self.misdated_until = float("-inf")
        """Up to when calls that were dated by a wrong clock may seem to come back."""
        self.lost_calls = 0
        """How many calls nobody has written down, since the process died that had made them."""
        self._lock: sqlite3.Connection | None = None
        self._unlock_at = 0.0
        self._seconds = DAY_SECONDS / moves_per_day if moves_per_day else float("inf")
        self._next_move_at = START + self._seconds
        move_seconds = int(self._seconds) if moves_per_day else 60
        settings = {**MARKET, **market, "seed": seed, "epoch": int(START), "move_seconds": move_seconds}
        self.sandbox = Sandbox(SandboxSettings(**settings), clock=self.clock.true)
        self.rig = Rig(home, self.sandbox, self.clock)
        self.wire = self.rig.wire = SandboxWire(self.sandbox, self.clock)
        self.set_quota(self.sandbox.settings.quota_per_day)
        self.truths = Truths(self.sandbox)
        self.cycles: list[Begun] = [Begun(START, 1)]
        self.clock.true.passed = self._pass

    def move(self, times: int = 1) -> None:
        """Let so many things happen in the market now."""
        for _ in range(times):
            self.sandbox.move()
        self.truths.note(self.clock.true.now())

    def set_quota(self, per_day: int) -> None:
        """Change the day's limit."""
        self.sandbox.limits.set_quota(per_day=per_day)
        self.limits.append(Limit(self.clock.true.monotonic(), per_day))

    def doubt(self) -> None:
        """Note that the crawl has just lost what it knew of the day."""
        self.doubts.append(self.clock.true.monotonic())

    def jump(self, seconds: float) -> None:
        """Set the computer's clock wrong."""
        self._misdate()
        self.clock.jump(seconds)
        self._misdate()
        self.doubt()

    def set_clock_right(self) -> None:
        """Set the computer's clock right."""
        self._misdate()
        self.clock.set_right()
        self.doubt()

    def _misdate(self) -> None:
        """Note until when calls that are dated by a wrong clock seem to leave the day's window."""
        wrong = abs(self.clock.now() - self.clock.true.now())
        if wrong:
            until = self.clock.true.monotonic() + wrong + DAY_SECONDS
            self.misdated_until = max(self.misdated_until, until)

    def lock(self, seconds: float) -> bool:
        """Hold the database as another program would, for so long; return False where that is so already."""
        if self._lock is not None:
            return False
        self._lock = sqlite3.connect(self.rig.home.data / "etsy_data.db", isolation_level=None)
        self._lock.execute("BEGIN IMMEDIATE")
        self._unlock_at = self.clock.true.now() + seconds
        return True

    @property
    def is_locked(self) -> bool:
        """Whether another program holds the database."""
        return self._lock is not None

    def stand_still(self) -> None:
        """Let nothing happen any more."""
        self._next_move_at = float("inf")

    def crawl_until(self, state: str, cycle: int, reason: str = "cycle") -> None:
        """Be one process until the machine is there; sleeps are slept as long as they last by the computer's clock."""
        engine = self.rig.start()
        steps = itertools.count()

        def observe(position: Position, outcome: Outcome | None) -> None:
            self.watch(position, outcome)
            if position.state == state and position.cycle >= cycle and position.cursor.get("reason", reason) == reason:
                self.rig.stop.ask("the test")
            elif position.state == "SLEEP":
                self.clock.advance_to(parse_iso(str(position.cursor["until"])) - WAKE_SECONDS)
            assert next(steps) < MOST_STEPS, f"no end in sight: {position}"

        self.rig._observe_now = observe
        engine.run()
        self.rig._observe_now = None

    def watch(self, position: Position, _: Outcome | None) -> None:
        """Note when a cycle begins."""
        if position.cycle > self.cycles[-1].cycle:
            self.cycles.append(Begun(self.clock.true.now(), position.cycle))

    def window(self, at: str) -> tuple[float, float]:
        """Return the true start of the cycle that a row's time lies in, and that time's last moment.

        Good for a computer whose clock was always right.
        """
        moment = parse_iso(at)
        starts = [begun.at for begun in self.cycles]
        # A cycle's first row may carry the second in which the cycle began.
        return starts[max(0, bisect_right(starts, moment + 1.0) - 1)], moment + 1.0

    def _pass(self) -> None:
        if self._lock is not None and self.clock.true.now() >= self._unlock_at:
            self._lock.close()
            self._lock = None
        moves = 0
        while self.clock.true.now() >= self._next_move_at:
            self._next_move_at += self._seconds
            moves += 1
        if moves:  # nobody has looked between two of them
            self.move(moves)
