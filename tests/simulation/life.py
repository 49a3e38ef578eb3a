"""One process after another on a world's home; each can be made to die at one of four places of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crawler.engine import Engine
from crawler.outcome import Outcome, Position
from tests.simulation.world import World

DEATHS = ("before a request", "after an answer", "before a commit", "after a commit")


class Died(BaseException):
    """The process is gone, at this moment."""


class Life:
    """Starts processes and lets them die; `called` is told of each request before it is sent."""

    def __init__(self, world: World, called: Callable[[], None] = lambda: None) -> None:
        self.world = world
        self.death: str | None = None
        """Where the process is to die; None: nowhere."""
        self._called = called

    def start(self, observe: Callable[[Position, Outcome | None], None]) -> Engine:
        """Return the engine of a new process; it raises Died where `death` says so, with everything rolled back."""
        engine = self.world.rig.start()
        # SQLite would wait for a lock in real time; the crawl's own waiting comes after it, in the simulation's.
        self.world.rig.rows("PRAGMA busy_timeout = 0")
        transaction = engine._transaction

        @contextmanager
        def mortal() -> Iterator[None]:
            with transaction():
                yield
                self._die_where("before a commit")
            self._die_where("after a commit")

        engine._transaction = mortal
        self.world.wire.before = lambda path, params: self._before_call()
        self.world.wire.after = lambda: self._die_where("after an answer")
        self.world.rig._observe_now = observe
        return engine

    def bury(self) -> str | None:
        """Take down the calls that the dead process had made and nobody has written down; return what is wrong."""
        place, self.death = self.death, None
        pending = self.world.rig.pending_calls()
        written = self.world.rig.rows("SELECT COALESCE(SUM(request_count), 0) FROM api_usage")[0][0]
        lost = len(self.world.sandbox.calls) - written
        wrong = lost - self.world.lost_calls > pending
        self.world.lost_calls = lost
        self.world.doubt()
        return f"the death {place} lost the count of {lost} calls, {pending} were not stored" if wrong else None

    def _before_call(self) -> None:
        self._die_where("before a request")
        self._called()

    def _die_where(self, place: str) -> None:
        if self.death == place:
            raise Died
