"""A market that moves as time passes, and a computer that crawls it: in this process, in a time of their own."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Any, NamedTuple

from crawler.outcome import Outcome, Position
from runtime.clock import DAY_SECONDS, parse_iso
from sandbox import Sandbox, SandboxSettings
from tests.rig import START, Rig, SandboxWire, VirtualClock
from tests.simulation.truths import Truths

MARKET: dict[str, Any] = {"listings": 160, "shops": 9, "reviews_per_shop": 25.0, "cap": 100}


class Begun(NamedTuple):
    """The true moment at which a cycle was first seen to have begun."""

    at: float
    cycle: int


class World:
    """One market, one computer, one crawl; `moves_per_day` things happen in the market by day, 0 for none.

    `rig.start` is a new process on the same home. The same seed gives the same world.
    """

    def __init__(self, home: Path, seed: int, moves_per_day: float = 0.0, **market: Any) -> None:
        self.clock = VirtualClock()
        self.lost_calls = 0
        """How many calls nobody has written down, since the process died that had made them."""
        self._seconds = DAY_SECONDS / moves_per_day if moves_per_day else float("inf")
        self._next_move_at = START + self._seconds
        move_seconds = int(self._seconds) if moves_per_day else 60
        settings = {**MARKET, **market, "seed": seed, "epoch": int(START), "move_seconds": move_seconds}
        self.sandbox = Sandbox(SandboxSettings(**settings), clock=self.clock.true)
        self.rig = Rig(home, self.sandbox, self.clock)
        self.wire = self.rig.wire = SandboxWire(self.sandbox, self.clock)
        self.truths = Truths(self.sandbox)
        self.cycles: list[Begun] = [Begun(START, 1)]
        self.clock.true.passed = self._pass

    def move(self, times: int = 1) -> None:
        """Let so many things happen in the market now."""
        for _ in range(times):
            self.sandbox.move()
        self.truths.note(self.clock.true.now())

    def stand_still(self) -> None:
        """Let nothing happen any more."""
        self._next_move_at = float("inf")

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
        while self.clock.true.now() >= self._next_move_at:
            self._next_move_at += self._seconds
            self.move()
