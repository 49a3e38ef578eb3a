"""A whole crawl in this process: real engine, states, store and SQLite file; the sandbox; a virtual clock."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from peewee import Database
from rich.console import Console

from crawler.api.limiter import SlotFile
from crawler.api.wire import WireAnswer, WireError
from crawler.engine import Engine
from crawler.outcome import Outcome, Position
from crawler.parts import Parts, open_for_writing
from crawler.wiring import Calling, build_calling, build_engine
from runtime.clock import parse_iso
from runtime.files import make_folders
from runtime.settings import Home, Settings, load_settings
from runtime.stop import Stop
from runtime.work import STOP_NAMES
from sandbox import Sandbox, SandboxSettings

KEY = "sandbox-key:sandbox-secret"
START = 1_794_000_000.0
WEEK = 7 * 86_400.0
LEAST_SECONDS = 1e-6  # a wait that is lost in the rounding would never end


class VirtualClock:
    """The computer's clocks, in a time that passes only when somebody waits.

    `jump` sets the wall clock wrong, `suspend` shuts the lid: the monotonic clock stands still, as a Mac's does.
    `true` is the time that the rest of the world has.
    """

    def __init__(self, now: float = START) -> None:
        self.true = TrueTime(now)
        self._ahead = 0.0
        self._suspended = 0.0

    def now(self) -> float:
        return self.true.now() + self._ahead

    def monotonic(self) -> float:
        return self.true.monotonic() - self._suspended

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if not event.is_set():
            self.advance(max(LEAST_SECONDS, seconds))
        return event.is_set()

    def advance_to(self, moment: float) -> None:
        self.advance(max(0.0, moment - self.now()))

    def advance(self, seconds: float) -> None:
        self.true.advance(seconds)

    def jump(self, seconds: float) -> None:
        self._ahead += seconds

    def set_right(self) -> None:
        self._ahead = 0.0

    def suspend(self, seconds: float) -> None:
        self._suspended += seconds
        self.true.advance(seconds)


class TrueTime:
    """What time it is at the server, whatever the computer believes; `passed` is called after each piece of it."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._monotonic = 1000.0
        self.passed: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds
        self.passed()


class SandboxWire:
    """Carries requests to a sandbox in this process; `before` is called with each one, `after` once it is answered."""

    def __init__(self, sandbox: Sandbox, clock: VirtualClock) -> None:
        self.sandbox = sandbox
        self.before: Callable[[str, Mapping[str, str]], None] = lambda path, params: None
        self.after: Callable[[], None] = lambda: None
        self._clock = clock

    def get(self, path: str, params: Mapping[str, str]) -> WireAnswer:
        self.before(path, params)
        answer = self.sandbox.handle("GET", f"/v3/application{path}", dict(params), {"x-api-key": KEY})
        self._clock.advance(min(answer.delay_seconds, 60.0) + 0.001)
        self.after()
        if answer.wire != "whole":
            raise WireError(answer.wire)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return WireAnswer(answer.status, headers, answer.body)


class Rig:
    """One home, one sandbox, one clock; `start` builds a new engine on them, as a new process would."""

    workers = 0  # of calls made ahead; without them one thread does everything, and a seed gives one history

    def __init__(
        self, home: Path, sandbox: Sandbox | None = None, clock: VirtualClock | None = None, **settings: str
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.clock = clock or VirtualClock()
        self.sandbox = sandbox or Sandbox(SandboxSettings(listings=400, shops=20), clock=self.clock.true)
        self.wire = SandboxWire(self.sandbox, self.clock)
        self.settings: Settings = load_settings(home, {"ETSY_API_KEY": KEY, **settings})
        self.home = Home(home)
        self.slots = SlotFile(None)
        self.database: Database | None = None
        self.steps: list[tuple[Position, Outcome | None]] = []

    def start(self) -> Engine:
        """Return an engine standing where the database says."""
        self.close()
        stop = Stop(self.clock, self.home.kill_files(*STOP_NAMES))
        parts = Parts(self.settings, self.home, self.clock, stop, Console(quiet=True))
        self.stop = stop
        make_folders(self.home.data, self.home.root)  # a process makes them when it takes the lock
        self.database = open_for_writing(parts)
        self.calling: Calling = build_calling(parts, self.wire, self.slots, workers=self.workers)
        return build_engine(parts, self.database, self.calling, self._observe)

    def close(self) -> None:
        if self.database is not None and not self.database.is_closed():
            self.database.close()

    def run_until(self, *states: str, cycle: int = 1, most_steps: int = 20_000) -> Engine:
        """Run until the machine stands in one of the states, in that cycle or later."""
        return self.run_to(lambda position: position.cycle >= cycle and position.state in states, most_steps)

    def run_to(self, is_there: Callable[[Position], bool], most_steps: int = 20_000) -> Engine:
        """Run until, after a step, the machine stands at such a position."""
        engine = self.start()
        numbers = itertools.count()

        def observe(position: Position, outcome: Outcome | None) -> None:
            self.steps.append((position, outcome))
            if is_there(position):
                self.stop.ask("the test")
            assert next(numbers) < most_steps, f"no end in sight: {position}"

        self._observe_now = observe
        engine.run()
        self._observe_now = None
        return engine

    def run_cycle(self, cycle: int = 1) -> Engine:
        """Run until this cycle's sleep; sleeps for quota on the way are slept."""
        engine = self.start()

        def observe(position: Position, outcome: Outcome | None) -> None:
            self.steps.append((position, outcome))
            if position.state == "SLEEP":
                self.clock.advance_to(parse_iso(position.cursor["until"]) - 40.0)
            asleep = position.state == "SLEEP" and position.cursor.get("reason") == "cycle"
            if asleep and position.cycle >= cycle:
                self.stop.ask("the test")

        self._observe_now = observe
        engine.run()
        self._observe_now = None
        return engine

    def pending_calls(self) -> int:
        """Return how many calls the process has made that no commit has written down yet."""
        calls = self.calling.ledger.drain()
        self.calling.ledger.restore(calls)
        return sum(made.count for made in calls)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return what the database answers to a query."""
        assert self.database is not None
        database: Any = self.database
        return list(database.execute_sql(query, values).fetchall())

    _observe_now: Callable[[Position, Outcome | None], None] | None = None

    def _observe(self, position: Position, outcome: Outcome | None) -> None:
        if self._observe_now is not None:
            self._observe_now(position, outcome)
