"""Dies at every point of a crawl, or of the downloads, and has a new life go on from each, to the end.

    the run → a point → what lies on the disk → a forked process begins a life there → the end → compared
        → the next point → …

A new life has what a killed one leaves it: the files, as they were for the system at that moment, and the world
outside (server, clock), which a fork keeps. What is the same in both, to the byte, was tried already and is not tried
again: a life begins with nothing else. `python -m tests.simulation.crashes --help` tells how it is run.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import NoReturn, Protocol

from tests.simulation.crash_points import Hooks, Remains, Verdict, inside
from tests.simulation.inline import PLANTS, CrawlScene, DownloadScene

MEMORY = Path("/dev/shm")  # where an fsync costs nothing; what it guards against is no matter of a kill
LONGEST_LIFE_SECONDS = 60
MOST_TOLD, LONGEST_WORDS = 10, 2_000


class Scene(Protocol):
    """What is run, and the world around it."""

    log_pages: int
    """After so many pages the dying run checkpoints its database."""

    def begin(self) -> None:
        """Make the world anew, as it was before the first run."""

    def prepare(self, home: Path) -> None:
        """Put into a new home what lies there before the first run."""

    def run(self, home: Path) -> None:
        """Run to the end on this home, from wherever its files say."""

    def judge(self, home: Path, deaths: int) -> Verdict:
        """Hold the end against that of the run that never died, which is the first that is judged."""

    def moment(self) -> Hashable:
        """Tell one moment of the world outside from another."""

    def also(self, kind: str, remains: Remains) -> Iterator[tuple[str, Remains]]:
        """Return what else than a kill can leave at this point."""


@dataclass
class Tally:
    """What a run of deaths found; `lives` is how many points left something that no other had left."""

    points: int = 0
    lives: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    failed: list[str] = field(default_factory=list)
    most_extra: int = 0
    second_deaths: int = 0


class Killer:
    """Has a run die at each of its points, while the run itself goes on.

    The first `skip` points are passed over, and after `limit` more none is tried. With a `seed`, each life dies once
    more, at a point drawn by chance.
    """

    def __init__(
        self,
        scene: Scene,
        hooks: Hooks,
        folder: Path,
        skip: int = 0,
        limit: int | None = None,
        seed: str = "",
        jobs: int = 1,
    ) -> None:
        self.tally = Tally()
        self._scene = scene
        self._hooks = hooks
        self._folder = folder
        self._skip = skip
        self._limit = limit
        self._seed = seed
        self._jobs = jobs
        self._passed = self._all = 0
        self._tried: set[Hashable] = set()
        self._lives: list[tuple[int, int, str]] = []  # process, descriptor of its answer, where it had died

    def count_points(self, home: Path) -> None:
        """Do a run that never dies, which is what the others are held against."""

        def count(_: str) -> None:
            self._all += 1

        self._begin(home)
        with self._hooks.watching(home, count, self._scene.log_pages):
            self._scene.run(home)
        wrong = self._scene.judge(home, deaths=0)
        assert not wrong.differences, wrong.differences

    def kill_at_each_point(self, home: Path) -> None:
        """Do the run, dying all along."""
        self._begin(home)
        self._home, self._last = home, Remains.of(home)
        with self._hooks.watching(home, self._reached, self._scene.log_pages):
            self._scene.run(home)
        while self._lives:
            self._hear()
        assert self._passed == self._all, f"one run has {self._all} points, the next {self._passed}"
        self._note("the run itself", self._scene.judge(home, deaths=0))

    def _begin(self, home: Path) -> None:
        self._scene.begin()
        home.mkdir()
        self._scene.prepare(home)

    def _reached(self, kind: str) -> None:
        self._passed += 1
        if self._passed < self._skip or (self._limit is not None and self.tally.points >= self._limit):
            return
        now = Remains.of(self._home, self._last)
        if self._passed == self._skip:
            self._last = now
        for name, remains in chain(inside(self._last, now), [(kind, now)], self._scene.also(kind, now)):
            self._die(name, remains)
        self._last = now

    def _die(self, kind: str, remains: Remains) -> None:
        self.tally.points += 1
        self.tally.by_kind[kind] = self.tally.by_kind.get(kind, 0) + 1
        key = (remains.key(), self._scene.moment())
        if key in self._tried:
            return
        self._tried.add(key)
        self.tally.lives += 1
        while len(self._lives) >= self._jobs:
            self._hear()
        answer, tell = os.pipe()
        process = os.fork()
        if not process:
            os.close(answer)
            self._live_on(remains, tell)
        os.close(tell)
        self._lives.append((process, answer, f"{kind} (point {self.tally.points})"))

    def _live_on(self, remains: Remains, tell: int) -> NoReturn:
        """Be the next life, in a process of its own; nothing that this one inherits may be closed or cleared away."""
        signal.alarm(LONGEST_LIFE_SECONDS)
        gc.disable()
        self._hooks.stop()
        home = self._folder / f"life-{self.tally.lives}"

        def end(deaths: int, where: Path) -> NoReturn:
            try:
                if deaths == 1 and self._seed:
                    self._die_again(where, end)
                self._scene.run(where)
                verdict = self._scene.judge(where, deaths)
            except BaseException:
                verdict = Verdict([traceback.format_exc()[-LONGEST_WORDS:]])
            os.write(tell, json.dumps(asdict(replace(verdict, deaths=deaths))).encode())
            shutil.rmtree(home, ignore_errors=True)
            shutil.rmtree(where, ignore_errors=True)
            os._exit(0)

        remains.put(home)
        end(1, home)

    def _die_again(self, home: Path, end: Callable[[int, Path], NoReturn]) -> None:
        """Run, and die at a point on the way; return where the end came first."""
        chance = random.Random(f"{self._seed}:{self.tally.lives}")
        left, last = chance.randrange(1, max(2, self._all - self._passed)), Remains.of(home)

        def reached(_: str) -> None:
            nonlocal left, last
            left -= 1
            if left > 1:
                return
            now = Remains.of(home)
            if left == 0:
                self._hooks.stop()
                again = chance.choice([now, *(remains for _, remains in inside(last, now))])
                where = home.with_name(f"{home.name}-again")
                again.put(where)
                end(2, where)
            last = now

        with self._hooks.watching(home, reached):
            self._scene.run(home)

    def _hear(self) -> None:
        """Wait for the oldest life's end and take down how it was."""
        process, answer, where = self._lives.pop(0)
        with os.fdopen(answer, "rb") as pipe:
            told = pipe.read()
        _, status = os.waitpid(process, 0)
        self._note(where, Verdict(**json.loads(told)) if told else Verdict([f"the life ended with status {status}"]))

    def _note(self, where: str, verdict: Verdict) -> None:
        self.tally.most_extra = max(self.tally.most_extra, verdict.extra)
        self.tally.second_deaths += verdict.deaths == 2
        if verdict.differences:
            self.tally.failures += 1
            if self.tally.failures <= MOST_TOLD:
                self.tally.failed.append(f"{where}: {'; '.join(verdict.differences)}"[:LONGEST_WORDS])


SCENES: dict[str, Callable[[Callable[[str], None]], Scene]] = {"crawl": CrawlScene, "downloads": DownloadScene}


def main() -> int:
    """Run one scene to its deaths; print what came of it as one line of JSON, return 1 where a life ended differently.

    A bug that was put in is meant to be found: that returns 0.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.crashes", description=__doc__)
    parser.add_argument("scene", choices=list(SCENES))
    parser.add_argument("--skip", type=int, default=0, help="pass over the first so many points")
    parser.add_argument("--limit", type=int, help="die at so many points alone")
    parser.add_argument("--pairs", metavar="SEED", default="", help="let each life die once more, at a point of chance")
    parser.add_argument("--plant", choices=list(PLANTS), help="put a bug into the run that must be found")
    parser.add_argument("--jobs", type=int, default=1, help="how many lives may be under way at once")
    told = parser.parse_args()
    # A fork takes along the thread that forks, and no other.
    assert threading.active_count() == 1
    began = time.monotonic()
    hooks = Hooks()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        if told.plant:
            PLANTS[told.plant]()
        scene = SCENES[told.scene](hooks.note)
        killer = Killer(scene, hooks, Path(folder), told.skip, told.limit, told.pairs, told.jobs)
        killer.count_points(Path(folder) / "calm")
        gc.freeze()  # or each life's first collection would copy all memory
        killer.kill_at_each_point(Path(folder) / "home")
    print(json.dumps({"name": told.scene, **asdict(killer.tally), "seconds": round(time.monotonic() - began, 1)}))
    return int(killer.tally.failures > 0 and told.plant is None)


if __name__ == "__main__":
    sys.exit(main())
