"""A full disk, at each write in turn: words, nothing lost, memory not ahead of the database; with room it goes on."""

from __future__ import annotations

import errno
import itertools
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crawler.checkpoint import position_as_json
from crawler.engine import Engine
from crawler.outcome import Outcome, Position
from runtime.database import PRAGMAS, in_words
from runtime.errors import CrawlError, OperatorNeeded
from sandbox import Sandbox, SandboxSettings
from tests.pictures import CHEAP, draw_ahead, files, troubles
from tests.rig import Rig, VirtualClock
from tests.simulation.counts import note_count
from tests.system.conftest import Build
from tests.system.disks import assert_goes_on_to_a_true_end, mounted, told
from tests.system.process import FAST, TABLES, is_moment
from tests.truth import differences

PAGE_BYTES = 4_096
LARGE = {"listings": 600, "shops": 15, "reviews_per_shop": 60.0}
Rows = dict[str, list[tuple[Any, ...]]]


@pytest.mark.sqlite_only("the database is on the disk that is full")
@pytest.mark.parametrize("size", ["1m", "2m"])
def test_a_full_disk_ends_with_2_and_words_and_with_room_again_the_crawl_goes_on(build: Build, size: str) -> None:
    crawler = build(market=LARGE)
    with mounted(crawler.home, size) as small:
        crawler.data.mkdir(parents=True)
        crawler.allow(FAST)
        crawler.start()
        assert crawler.wait_for_end(60) == 2, crawler.output
        assert "Free some space" in told(crawler)
        calls, before = len(crawler.sandbox.calls), crawler.position()
        for command in ((), ("dump",)):
            crawler.start(*command)
            assert crawler.wait_for_end(60) == 2, "started on a disk that is still full"
            assert "Free some space" in told(crawler)
        assert crawler.position() == before
        small.change("size=64m")
        assert_goes_on_to_a_true_end(crawler)
        assert calls > 0


@pytest.mark.sqlite_only("the database is on the disk that is full")
def test_pictures_that_fill_the_disk_of_the_database_lose_nothing(build: Build) -> None:
    """MIN_FREE_GB is there so that this does not happen."""
    crawler = build(market=CHEAP, MIN_FREE_GB="0")
    draw_ahead(crawler.sandbox)
    with mounted(crawler.home, "1m") as small:
        crawler.data.mkdir(parents=True)
        ids = {picture.image_id for picture in crawler.fill()}
        crawler.start("download")
        assert crawler.wait_for_end(60) == 2, crawler.output
        assert "Free some space" in told(crawler)
        small.change("size=64m")
        crawler.start("download")
        assert crawler.wait_for_end(60) == 0, crawler.output
        store = crawler.home / "images" / "imagedownload"
        assert troubles(store, crawler.rows, crawler.sandbox) == []
        assert set(files(store)) == ids


# In this process, on a virtual clock


class WatchedRig(Rig):
    """A rig that keeps its engine, and how many rows each step left, for a look at them after its death."""

    engine: Engine | None = None
    left: Any = None

    def start(self) -> Engine:
        self.engine = None
        self.engine = super().start()
        self.left = self._numbers()
        return self.engine

    def _observe(self, position: Position, outcome: Outcome | None) -> None:
        self.left = self._numbers()
        super()._observe(position, outcome)

    def _numbers(self) -> list[tuple[Any, ...]]:
        counts = ", ".join(f"(SELECT COUNT(*) FROM {table})" for table in TABLES)
        return self._look(
            f"SELECT {counts}, (SELECT SUM(pages) FROM intervals), (SELECT SUM(watermark) FROM indexed_shops)"
        )

    def death(self) -> OperatorNeeded | None:
        """Run to the cycle's end, or to where it cannot go on; return why, in the words that a person gets."""
        before, calls = self._counted(), len(self.sandbox.calls)
        try:
            self.run_cycle()
        except Exception as error:
            ours = error if isinstance(error, CrawlError) else in_words(error, self.path)
            assert isinstance(ours, OperatorNeeded), f"this passes for a bug: {error!r}"
            if self.engine is not None:
                assert self._position() == position_as_json(self.engine.position), "memory and database differ"
                assert self._numbers() == self.left, "a step that was not finished has left something"
                made = len(self.sandbox.calls) - calls
                assert self._counted() + self.pending_calls() == before + made, "calls were lost"
            return ours
        return None

    @property
    def path(self) -> Path:
        return self.home.data / "etsy_data.db"

    def _position(self) -> Any:
        found = self._look("SELECT value FROM sync_state WHERE key = 'position'")
        return json.loads(found[0][0])

    def _counted(self) -> int:
        """Return how many calls are written down, 0 while there is no table."""
        try:
            return int(self._look("SELECT COALESCE(SUM(request_count), 0) FROM api_usage")[0][0])
        except sqlite3.OperationalError:
            return 0

    def _look(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(query).fetchall()


def tight_rig(home: Path) -> WatchedRig:
    """Return a rig with a market that fills some hundred pages of a database, in steps that each move the position."""
    clock = VirtualClock()
    market = SandboxSettings(seed=5, listings=120, shops=3, reviews_per_shop=60.0)
    return WatchedRig(home, Sandbox(market, clock=clock.true), clock)


def collected(rig: Rig) -> Rows:
    """Return what was collected, and the certificates of the intervals, without the moments."""
    found = {}
    for table in TABLES:
        names = [row[1] for row in rig.rows(f"PRAGMA table_info({table})")]
        kept = [name for name in names if not is_moment(name)]
        found[table] = sorted(rig.rows(f"SELECT {', '.join(kept)} FROM {table}"), key=repr)
    return found


@pytest.fixture
def calm(tmp_path: Path) -> Rows:
    """What a crawl that had room collects of the market of `tight_rig`."""
    rig = tight_rig(tmp_path / "calm")
    assert rig.death() is None
    assert differences(rig.rows, rig.sandbox) == []
    found = collected(rig)
    rig.close()
    return found


def assert_ends_as(calm: Rows, rig: Rig) -> None:
    assert differences(rig.rows, rig.sandbox) == []
    assert collected(rig) == calm
    assert rig.rows("PRAGMA integrity_check") == [("ok",)]
    rig.close()


@pytest.mark.slow
@pytest.mark.sqlite_only("the database is on the disk that is full")
def test_full_at_every_page_that_is_written_a_crawl_ends_in_words_and_goes_on(
    tmp_path: Path, calm: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that grows by a page of 4 KB after each death: database, its log and index, files, checkpoints."""
    monkeypatch.setitem(PRAGMAS, "wal_autocheckpoint", 40)  # pages; so that it is full in checkpoints too
    pages = 1
    with mounted(tmp_path / "home", str(PAGE_BYTES)) as small:
        rig = tight_rig(small.path)
        while (death := rig.death()) is not None:
            rig.close()
            assert "Free some space" in death.words()
            pages += 1
            small.change(f"size={pages * PAGE_BYTES}")
        assert_ends_as(calm, rig)
    assert pages > 100
    note_count("disks", f"{pages - 1} deaths on a disk that is full, a page later each time")


@pytest.mark.sqlite_only("the database is on the disk that is full")
def test_full_at_every_page_of_the_database_a_crawl_ends_in_words_and_goes_on(
    tmp_path: Path, calm: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same by SQLite's own limit, where no disk can be mounted."""
    rig, pages = tight_rig(tmp_path / "home"), 1
    monkeypatch.setitem(PRAGMAS, "max_page_count", pages)
    while (death := rig.death()) is not None:
        rig.close()
        assert f"The disk of {rig.path} is full" in str(death)
        pages += 1
        monkeypatch.setitem(PRAGMAS, "max_page_count", pages)
    assert pages > 50
    note_count("disks", f"{pages - 1} deaths at a page that the database cannot have")
    assert_ends_as(calm, rig)


@pytest.mark.sqlite_only("the database is on the disk that is full")
@pytest.mark.parametrize("stage", ["tempfile.mkstemp", "os.fsync", "pathlib.Path.replace"])
def test_full_at_each_file_that_is_written_a_crawl_ends_in_words_and_goes_on(
    tmp_path: Path, calm: Rows, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """A file fails when it is opened, brought to the disk or named; each does so once, in a crawl of its own."""
    module, _, name = stage.rpartition(".")
    real = getattr(Path if module == "pathlib.Path" else sys.modules[module], name)
    left = 0

    def failing(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left == -1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **named)

    monkeypatch.setattr(stage, failing)
    for number in itertools.count():
        rig, left = tight_rig(tmp_path / str(number)), number
        death = rig.death()
        if death is None:
            break
        assert "Free some space" in death.words()
        assert rig.death() is None
        assert not [path for path in rig.home.root.rglob(".*") if path.is_file()], "something was left lying about"
        assert_ends_as(calm, rig)
    rig.close()
    assert number == 5, "the rate, two lists of categories, the plan, the audit's report"
    note_count("disks", f"{number} deaths at a file that has no room: {stage}")
