"""Lets one crawl die again and again, each time at a moment that chance chose, and counts how it went.

a start → a moment: after a call, in a state, while it opens, at any time … → an end: a kill or a stop
the next start must go on at exactly the position that the database holds
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from runtime.logs import FILE_BYTES
from sandbox.settings import Clock
from tests.pictures import CHEAP, asked_twice, broken, draw_ahead, troubles
from tests.simulation.counts import note_count
from tests.system.conftest import AHEAD, Build
from tests.system.process import START_SECONDS, Crawler, assert_same_end, assert_sound
from tests.system.test_cycle import ShiftedClock, pass_days
from tests.system.test_stop import WAYS, in_words, words

DEATHS = int(os.environ.get("TORTURE_KILLS", "8"))
SEED = int(os.environ.get("TORTURE_SEED", "20261120"))
TORTURE = DEATHS >= 100
"""Whether this is `make torture`: many deaths, on a market that is large enough for them."""
MARKET: dict[str, Any] = {**CHEAP, "listings": 300, "shops": 8, "reviews_per_shop": 60.0, "cap": 100}
LARGE: dict[str, Any] = {**CHEAP, "listings": 2400, "shops": 80, "reviews_per_shop": 300.0, "cap": 200}
"""Each state makes several calls; the low cap makes it split intervals; shops have several pages of reviews."""
LATE = {"picture_latency_seconds": 0.02}
WORKERS = 4
UNDER_WAY = WORKERS + 2  # pictures that a death may cost: those being fetched and those being stored
LONGEST_DELAY = 0.03  # about three steps: so a death comes before, in and after the transaction
PLACES = ("VERIFY", "quota", "cycle", *(("BACKFILL",) if TORTURE else ("TAXONOMY", "REVIEWS")))
"""The states, and reasons to sleep, in which it has to die: those that chance may miss."""
PLACE_SECONDS = {"BACKFILL": 0.03, "VERIFY": 0.1, "TAXONOMY": 0.2, "REVIEWS": 0.2, "quota": 0.5, "cycle": 0.5}
"""How long it is left alive in them at most."""
OPENING_SECONDS, STOPPING_SECONDS = 0.15, 0.4
QUOTA_SHARE = 0.4  # of the calls of a whole crawl: then the day's quota is spent
LOOKS = 6  # how often all that is there is looked at on the way
UNTRIED = "SELECT COUNT(*) FROM image_status WHERE download_done = 0"


def where(position: Any) -> str:
    """Return the place that a position is in: a state, or why it sleeps."""
    if position is None:
        return "no state yet"
    return str(position["cursor"]["reason"] if position["state"] == "SLEEP" else position["state"])


@contextmanager
def chance(name: str) -> Iterator[Random]:
    """Give a source of chance; a failure names the seed that brings it back."""
    try:
        yield Random(f"{SEED}:{name}")
    except BaseException as error:
        error.add_note(f"TORTURE_SEED={SEED}")
        raise


def store(crawler: Crawler) -> Path:
    """Return the folder of the downloaded pictures."""
    return crawler.home / "images" / "imagedownload"


def holds_lock(crawler: Crawler, lock: str) -> bool:
    """Tell whether the process that was started last holds the lock of this kind of work."""
    try:
        owner = json.loads((crawler.data / f"{lock}.owner.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return crawler.process is not None and owner["pid"] == crawler.process.pid


def wait_for_more_calls(crawler: Crawler, number: int) -> None:
    """Wait until the sandbox has got so many calls more, or the crawl sleeps until the next cycle."""
    target = len(crawler.sandbox.calls) + number
    crawler.wait_until(
        f"call {target}", lambda: len(crawler.sandbox.calls) >= target or where(crawler.position()) == "cycle"
    )


class Reaper:
    """Ends the lives of one crawl; `ways` says how often which kind of moment is met.

    `end` ends a life that has come to its moment, and answers whether it has not ended by itself before.

    `calls` is how many calls a crawl left alone makes, `start_seconds` how long it takes until it goes on.
    """

    def __init__(
        self,
        crawler: Crawler,
        clock: ShiftedClock,
        rng: Random,
        deaths: int,
        calls: int,
        start_seconds: float,
        ways: Mapping[str, int],
        end: Callable[[], bool],
    ) -> None:
        self.crawler = crawler
        self.rng = rng
        self.left = deaths
        self.met: Counter[str] = Counter()
        """Where it died."""
        self.how: Counter[str] = Counter()
        """At which kind of moment it died."""
        self.stops = 0
        """How often it had stopped in order before the kill came."""
        self.moments: list[float] = []
        self._clock = clock
        self._end = end
        self._start_seconds = start_seconds
        self._owed = Counter({place: max(1, deaths // 20) for place in PLACES})
        walking = deaths - self._owed.total()
        self._targets = sorted(rng.randrange(1, calls - 5) for _ in range(walking))
        self._ways = shuffled(ways, walking, rng)
        self._look_every = max(1, deaths // LOOKS)

    def run(self) -> None:
        """Let it die until it has died often enough."""
        while self.left:
            self._wake_up()
            before = self.crawler.position()
            place, way = where(before), ""
            if self._has_to_die(place) or not self._ways:
                place, way = self._dwell(place)
            else:
                way = self._ways.pop(0)
                place = getattr(self, f"_{way}")(self._targets.pop(0)) or where(self.crawler.position())
            self._die(place, way)
            self._look(before)

    # Moments

    def _dwell(self, place: str) -> tuple[str, str]:
        """Wait until it is in a place in which it has to die, and for a moment there."""
        self.crawler.start()
        if self._has_to_die(place):
            self.crawler.wait_until("it goes on", lambda: "Going on at" in self.crawler.output)
        else:
            place = self._reach(lambda: False) or place
        self._linger(PLACE_SECONDS.get(place, LONGEST_DELAY))
        return place, "in a state"

    def _after_a_call(self, target: int) -> str:
        """Wait until a call has come to the sandbox, and for a moment; or until it is where it has to die."""
        self.crawler.start()
        seen = len(self.crawler.sandbox.calls)
        place = self._reach(lambda: len(self.crawler.sandbox.calls) >= max(target, seen + 1))
        self._linger(PLACE_SECONDS.get(place, LONGEST_DELAY))
        return place

    def _in_a_stop(self, target: int) -> str:
        """Ask it to stop after a call, and wait until it has, or for a part of the time that it takes."""
        place = self._after_a_call(target)
        WAYS[self.rng.choice(list(WAYS))](self.crawler)
        self._linger(STOPPING_SECONDS)
        return place

    def _at_any_time(self, target: int) -> str:
        """Wait for a time that ends before, in or soon after the start; or until it is where it has to die."""
        self.crawler.start()
        end = time.monotonic() + self.rng.uniform(0.0, 1.3 * self._start_seconds)
        return self._reach(lambda: time.monotonic() >= end)

    def _while_opening(self, target: int) -> str:
        """Wait until it holds the lock, and for a part of the time that it takes to open the database."""
        self.crawler.start()
        self.crawler.wait_until("it holds the lock", lambda: holds_lock(self.crawler, "crawler"))
        self._linger(OPENING_SECONDS)
        return ""

    def _after_clearing(self, target: int) -> str:
        """Wait until it has removed an old KILL file, which is when it begins to hear of new ones, and for a moment."""
        old = self.crawler.home / "KILL_SD"
        old.touch()
        self.crawler.start()
        self.crawler.wait_until("the old file is gone", lambda: not old.exists())
        self._linger(OPENING_SECONDS, least=0.02)
        return ""

    def _in_a_rotation(self, target: int) -> str:
        """Have a log that is all but full, and wait until it is put aside."""
        path = self.crawler.home / "logs" / "crawler.log"
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as log:
            log.write(b"\n" * (FILE_BYTES - 10 - log.tell()))
        before = path.stat().st_ino
        process = self.crawler.start()
        deadline = time.monotonic() + START_SECONDS
        # Not with `wait_until`, which looks only now and then.
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if path.stat().st_ino != before:
                    break
            except FileNotFoundError:
                break
        return ""

    def _has_to_die(self, place: str) -> bool:
        return self._owed[place] > 0 or place == "cycle"

    def _reach(self, moment: Callable[[], bool]) -> str:
        """Wait for the moment; return the place in which it has to die where it is there first, else nothing."""
        found = [""]

        def is_over() -> bool:
            place = where(self.crawler.position())
            if self._has_to_die(place):
                found[0] = place
            return bool(found[0]) or moment()

        self.crawler.wait_until("the moment to die", is_over, 2 * START_SECONDS)
        return found[0]

    def _linger(self, most: float, least: float = 0.0) -> None:
        threading.Event().wait(self.rng.uniform(least, most))

    # Ends

    def _die(self, place: str, way: str) -> None:
        if not self._end():
            # Asked to stop, it may have come to its end before the kill.
            process = self.crawler.process
            assert process is not None and process.returncode == 0 and way == "in_a_stop", self.crawler.output
            self.stops += 1
            return
        self.left -= 1
        self.moments.append(time.monotonic())
        self.how[way] += 1
        self.met[place] += 1
        self._owed[place] -= self._owed[place] > 0

    def _look(self, before: Any) -> None:
        """Hold what this life said and left against what must be."""
        output = words(self.crawler.output)
        if before is not None and "Going on at" in output:
            assert f"Going on at {in_words(before)}" in output, f"the database says {before}, and it says {output}"
        assert "Traceback" not in output, self.crawler.output
        if self.left % self._look_every == 0 and self.crawler.position() is not None:
            assert_sound(self.crawler)
            wrong = broken(store(self.crawler), self.crawler.rows, self.crawler.sandbox)
            assert wrong == [], wrong[:3]

    def _wake_up(self) -> None:
        """Where it has died asleep often enough: let the day pass, once, and give it enough calls from now on."""
        if self._clock.shift or self._owed["quota"] or where(self.crawler.position()) != "quota":
            return
        self._clock.shift += 1.01 * 86_400.0
        pass_days(self.crawler, 1.01)
        self.crawler.sandbox.limits.set_quota(per_day=5000)


def shuffled(shares: Mapping[str, int], number: int, rng: Random) -> list[str]:
    """Return so many names in random order, each as often as its share says; the first one where shares do not go up.

    Drawn one by one, few would leave some of them out.
    """
    whole = sum(shares.values())
    found = [name for name, share in shares.items() for _ in range(round(number * share / whole))]
    found = (found + number * [next(iter(shares))])[:number]
    rng.shuffle(found)
    return found


def crawl_beside(build: Build, name: str, clock: Clock | None = None, **market: Any) -> Crawler:
    """Return a crawler on the market of these tests that downloads its cheap pictures beside the crawl."""
    crawler = build(name, {**(LARGE if TORTURE else MARKET), **AHEAD, **LATE, **market}, clock=clock)
    crawler.environment |= {"MIN_FREE_GB": "0", "DOWNLOAD_WORKERS": str(WORKERS)}
    draw_ahead(crawler.sandbox)
    return crawler


def finish(crawler: Crawler) -> None:
    """Crawl on to the sleep, have all pictures downloaded, and stop."""
    crawler.environment["DOWNLOAD_WORKERS"] = str(4 * WORKERS)
    crawler.start()
    crawler.wait_for_state("SLEEP", reason="cycle")
    crawler.wait_until("all pictures are there", lambda: crawler.rows(UNTRIED) == [(0,)], 20 * START_SECONDS)
    assert crawler.stop() == 0, crawler.output
    wrong = troubles(store(crawler), crawler.rows, crawler.sandbox)
    assert wrong == [], wrong[:3]


def crawl_and_die(
    build: Build, rng: Random, deaths: int, ways: Mapping[str, int], end: Callable[[Crawler], bool]
) -> tuple[Crawler, Crawler, Reaper]:
    """Crawl the same market twice, once left alone and once dying so often; return both once they are asleep."""
    whole = crawl_beside(build, "whole")
    whole.environment["MIN_FREE_GB"] = "1000000"  # its pictures say nothing that the sandbox does not
    began = time.monotonic()
    whole.start()
    whole.wait_until("it goes on", lambda: "Going on at" in whole.output)
    start_seconds = time.monotonic() - began
    whole.crawl_to_sleep()
    clock, calls = ShiftedClock(), len(whole.sandbox.calls)
    died = crawl_beside(build, "died", clock, quota_per_day=int(QUOTA_SHARE * calls))
    reaper = Reaper(died, clock, rng, deaths, calls, start_seconds, ways, lambda: end(died))
    reaper.run()
    finish(died)
    return whole, died, reaper


def assert_nothing_lost(whole: Crawler, died: Crawler, reaper: Reaper, deaths: int) -> None:
    """Hold both crawls against each other: the rows, the calls, the calls counted, the pictures asked for."""
    assert_same_end(whole, died)
    assert died.lives == deaths + reaper.stops + 1, f"{died.lives} lives"
    # In the small market VERIFY and BACKFILL may be over before anybody has looked.
    missed = PLACE_SECONDS.keys() - (set() if TORTURE else {"BACKFILL", "VERIFY"}) - reaper.met.keys()
    assert not missed, f"it never died in {missed}"
    cost = deaths + reaper.stops  # each may cost the call at hand
    calls, needed = len(died.sandbox.calls), len(whole.sandbox.calls)
    assert calls <= needed + cost, f"{calls} calls where {needed} are needed"
    ((counted,),) = died.rows("SELECT SUM(request_count) FROM api_usage")
    assert calls - cost <= counted <= calls, f"{counted} calls counted of {calls}"
    again = asked_twice(died.sandbox)
    assert again <= cost * UNDER_WAY, f"{again} pictures were fetched again"
    assert died.sandbox.keys_sent_to_cdn == 0


def note(name: str, whole: Crawler, died: Crawler, reaper: Reaper) -> None:
    """Have it told what was counted."""
    ((counted,),) = died.rows("SELECT SUM(request_count) FROM api_usage")
    close = sum(later - sooner < 1.0 for sooner, later in pairwise(reaper.moments))
    told = [
        f"{sum(reaper.met.values())} deaths in {died.lives} lives ({close} within a second of the one before, "
        f"{reaper.stops} stopped in order first)",
        f"in {_numbers(reaper.met)}",
        f"met {_numbers(reaper.how)}",
        f"{len(died.sandbox.calls)} calls where {len(whole.sandbox.calls)} were needed, {counted} counted",
        f"{len(died.sandbox.picture_ids)} pictures asked for, {asked_twice(died.sandbox)} of them again",
        f"seed {SEED}",
    ]
    note_count(name, "; ".join(told))


def _numbers(counts: Counter[str]) -> str:
    return ", ".join(f"{name.replace('_', ' ').strip()} {number}" for name, number in counts.most_common())
