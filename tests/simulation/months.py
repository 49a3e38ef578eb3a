"""Months of a crawl in seconds: one seed gives one history, byte for byte.

market, server and computer on one virtual time → incidents, as the seed says → after every step the invariants
  → at last two calm cycles: no row may hold what was never true, and the data set must be what is true then
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from peewee import PeeweeException

from crawler.outcome import Outcome, Position
from runtime.clock import parse_iso
from runtime.database import in_words
from runtime.errors import CrawlError, KeyRefused, OperatorNeeded, UserMistake
from tests.rig import START
from tests.simulation import incidents
from tests.simulation.ending import wrong_at_the_end
from tests.simulation.invariants import broken, unstored
from tests.simulation.life import DEATHS, Died, Life
from tests.simulation.world import WAKE_SECONDS, World

MEAN_HOURS_BETWEEN = 5.0
DEATH_SHARE = 0.1  # of the steps
HOUR = 3600.0
MOST_STEPS = 200_000


class Broken(AssertionError):
    """Something does not hold that must; the message says what, where and with which seed."""


class Months:
    """One crawl over months; `history` tells everything that happened, in lines of JSON."""

    def __init__(self, home: Path, seed: int, moves_per_day: float = 60.0, **market: Any) -> None:
        self.seed = seed
        self.world = World(home, seed, moves_per_day, **{"listings": 260, "shops": 14, **market})
        self.history: list[str] = []
        self.counts: Counter[str] = Counter()
        self._chance = Random(f"{seed}:months")
        self._life = Life(self.world, self._happen)
        self._calls_told = self._steps = 0
        self._calm = False
        self._until = 1
        self._next_at = START
        self._draw_next()

    def run(self, cycles: int) -> None:
        """Crawl so many cycles with whatever happens, then two in peace; raises Broken."""
        self._until = cycles
        while not self._is_at_end():
            self._live()
        incidents.calm(self.world)
        # Two: what the last eventful cycle read at its end is still fresh in the first calm one.
        self._calm, self._until = True, cycles + 2
        while not self._is_at_end():
            self._live()
        self._require(wrong_at_the_end(self.world), "at the end")
        self._tell("end", **self._contents())

    def digest(self) -> str:
        """Return what stands for the whole history."""
        return _digest("\n".join(self.history))

    # A life

    def _live(self) -> None:
        """Be one process, from its start to its end, whichever way it comes; then let some time pass."""
        self.counts["lives"] += 1
        rig = self.world.rig
        try:
            self._life.start(self._observe).run()
            self._tell("stopped", reason=rig.stop.reason)
            rig.stop.obeyed()
            if self.world.is_locked:
                self._life.bury()  # a stop does not wait for another program: the last calls are not written down
        except Died:
            self.counts["deaths"] += 1
            self._tell("died", place=self._life.death)
            wrong = self._life.bury()
            self._require([wrong] if wrong else [], "in a death")
        except (UserMistake, OperatorNeeded, KeyRefused) as error:
            self._tell("refused", words=error.words().replace(str(rig.home.root), "HOME"))
            self._tell("mended", files=incidents.mend(self.world))
        except PeeweeException as error:
            words = in_words(error, None)
            self._require([] if words and "is full" in str(words) else [repr(error)], "in a life")
            self.counts["full disks"] += 1
            self._tell("full disk", words=str(words))
            self._life.bury()
        except CrawlError as error:
            raise Broken(self._words([f"{type(error).__name__}: {error}"], "in a life")) from error
        self.world.clock.advance(self._chance.choice((1.0, 30.0, 600.0, 4 * HOUR)))

    # What goes on in it

    def _observe(self, position: Position, outcome: Outcome | None) -> None:
        """Look at everything after a step, then let happen what is due."""
        world = self.world
        world.watch(position, outcome)
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise Broken(self._words([f"no end in sight: {position}"], "after many steps"))
        if outcome is not None:
            self.counts[f"{position.state} steps"] += 1
            self._tell("step", event=outcome.event, state=position.state, cursor=dict(position.cursor))
        self._require([*broken(world), *unstored(world, outcome)], f"after {outcome.event if outcome else 'a pause'}")
        if self._is_at_end():
            world.rig.stop.ask("the end of the simulation")
            return
        self._happen()
        if position.state == "SLEEP":
            self._sleep(position)
        elif not self._calm and self._chance.random() < DEATH_SHARE:
            self._life.death = self._chance.choice(DEATHS)

    def _sleep(self, position: Position) -> None:
        """Let the time pass until the sleep is nearly over, or something happens."""
        left = parse_iso(str(position.cursor["until"])) - WAKE_SECONDS - self.world.clock.now()
        if not self._calm:
            left = min(left, self._next_at - self.world.clock.true.now())
        self.world.clock.advance(max(0.0, left))

    def _happen(self) -> None:
        """Let happen whatever is due by now."""
        while not self._calm and self.world.clock.true.now() >= self._next_at:
            self._draw_next()
            names = list(incidents.INCIDENTS)
            name = self._chance.choices(names, [weight for weight, _ in incidents.INCIDENTS.values()])[0]
            self.counts[name] += 1
            self._tell(name, how=incidents.INCIDENTS[name][1](self.world, self._chance))

    def _draw_next(self) -> None:
        self._next_at += self._chance.expovariate(1.0 / (MEAN_HOURS_BETWEEN * HOUR))

    def _is_at_end(self) -> bool:
        database = self.world.rig.database
        if database is None or database.is_closed():
            return False
        found = self.world.rig.rows("SELECT value FROM sync_state WHERE key = 'position'")
        if not found:
            return False
        position = json.loads(found[0][0])
        is_asleep = position["state"] == "SLEEP" and position["cursor"]["reason"] == "cycle"
        return bool(is_asleep and position["cycle"] >= self._until)

    # The history

    def _tell(self, what: str, **told: Any) -> None:
        """Add a line to the history; the calls that were made before it come first."""
        for call in self.world.sandbox.calls[self._calls_told :]:
            params = _digest(json.dumps(call.params, sort_keys=True))[:12]
            fault = f" {call.fault}" if call.fault else ""
            self.history.append(f"{call.at:.3f} call {call.endpoint} {params} {call.status}{fault}")
        self._calls_told = len(self.world.sandbox.calls)
        self.history.append(f"{self.world.clock.true.monotonic():.3f} {what} {json.dumps(told, sort_keys=True)}")

    def _contents(self) -> dict[str, str]:
        """Return a digest of every table."""
        rig = self.world.rig
        names = [row[0] for row in rig.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        tables = {name: rig.rows(f"SELECT * FROM {name}") for name in names if name != "schema_migration"}
        return {name: _digest(repr(sorted(rows, key=repr))) for name, rows in tables.items()}

    def _require(self, wrong: list[str], when: str) -> None:
        if wrong:
            raise Broken(self._words(wrong, when))

    def _words(self, wrong: list[str], when: str) -> str:
        shown = "\n  ".join(wrong[:8])
        last = "\n  ".join(self.history[-12:])
        told = f"SEED={self.seed}: {when}, {len(wrong)} things do not hold:"
        return f"{told}\n  {shown}\nthe last that happened:\n  {last}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
