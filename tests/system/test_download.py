"""Pictures as a person meets them: `run.py` and `run.py download` as processes, killed, stopped, and in bad company."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from imaging.outcomes import pause_seconds
from runtime.clock import iso
from sandbox import Fault
from tests.pictures import CHEAP, asked_twice, broken, draw_ahead, files, troubles
from tests.system.conftest import Build
from tests.system.data_sets import NOT_YET
from tests.system.process import START_SECONDS, STOP_SECONDS, Crawler
from tests.truth import differences

KILLS = int(os.environ.get("TORTURE_KILLS", "3"))
WORKERS = 4
UNDER_WAY = WORKERS + 2  # pictures that a kill may cost; D14: no more than WORKERS
HANGING_STOP_SECONDS = 6.0  # a stop leaves a host that never answers after 3 s; the rest is for a busy machine
LATE = {"picture_latency_seconds": 0.1}  # with four workers forty pictures a second: time to meddle
QUEUED = "SELECT COUNT(*) FROM image_status WHERE download_done = 0 AND to_download = 1"


@pytest.fixture
def home(build: Build) -> Callable[..., Crawler]:
    """Give a home whose sandbox serves cheap pictures; `market` are further fields of SandboxSettings."""

    def make(market: dict[str, Any] | None = None, **settings: str) -> Crawler:
        crawler = build(market={**CHEAP, **(market or {})})
        crawler.environment |= {"MIN_FREE_GB": "0", "DOWNLOAD_WORKERS": str(WORKERS), **settings}
        draw_ahead(crawler.sandbox)
        return crawler

    return make


# The rig's crawler, told to download


@contextmanager
def download_beside(crawler: Crawler) -> Iterator[subprocess.Popen[bytes]]:
    """Have `run.py download` run beside what the crawler runs, for as long as the block lasts."""
    process = crawler.spawn("download")
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(STOP_SECONDS)


def last_line(crawler: Crawler) -> str:
    return crawler.output.strip().splitlines()[-1]


def store(crawler: Crawler) -> Path:
    return crawler.home / "images" / "imagedownload"


def asked(crawler: Crawler) -> int:
    """Return how many pictures the host was asked for."""
    return len(crawler.sandbox.picture_ids)


def wait_for_pictures(crawler: Crawler, number: int) -> None:
    crawler.wait_until(f"picture {number}", lambda: asked(crawler) >= number)


def done(crawler: Crawler) -> int:
    try:
        return int(crawler.rows("SELECT COUNT(*) FROM image_status WHERE download_done = 1")[0][0])
    except NOT_YET:
        return 0


def all_is_there(crawler: Crawler) -> bool:
    """Tell whether the queue is empty, of a home that has had pictures at all."""
    return done(crawler) > 0 and crawler.rows(QUEUED) == [(0,)]


def kill_files(crawler: Crawler) -> list[str]:
    return sorted(path.name for path in crawler.home.iterdir() if path.name.startswith("KILL"))


# Alone


def test_alone_it_brings_all_pictures_once_ends_by_itself_and_says_so(home: Callable[..., Crawler]) -> None:
    """While it runs, a second one says who runs; afterwards, a third one finds nothing to do."""
    crawler = home(LATE)
    pictures = crawler.fill(25)
    ids = {picture.image_id for picture in pictures}
    assert len(ids) < len(pictures), "no picture is shown twice here"
    process = crawler.start("download")
    wait_for_pictures(crawler, 1)
    second = crawler.run("download")
    assert second.returncode == 4
    assert f"process {process.pid}" in second.stderr and "KILL" in second.stderr
    assert crawler.wait_for_end(START_SECONDS) == 0, crawler.output
    assert last_line(crawler) == f"{len(ids)} pictures are there now. Nothing is left in the queue."
    assert troubles(store(crawler), crawler.rows, crawler.sandbox) == []
    assert sorted(crawler.sandbox.picture_ids) == sorted(ids)
    assert crawler.sandbox.picture_connections <= WORKERS
    assert crawler.sandbox.keys_sent_to_cdn == 0
    assert len(crawler.sandbox.calls) == 0
    third = crawler.run("download")
    assert (third.returncode, third.stdout.strip().splitlines()[-1]) == (
        0,
        "0 pictures are there now. Nothing is left in the queue.",
    )
    assert asked(crawler) == len(ids)


@pytest.mark.slow
def test_what_fails_is_kept_with_its_row_and_told_at_the_end(home: Callable[..., Crawler]) -> None:
    """One fault a picture, among them a host that answers nothing and one that stops in the middle: 20 s each."""
    crawler = home()
    ids = sorted({picture.image_id for picture in crawler.fill(20)})
    expected = {
        "timeout": "timeout",
        "drip": "timeout",
        "gone": "not_found",
        "placeholder": "placeholder",
        "bomb": "too_many_pixels",
        "endless": "too_large",
        "garbage": "not_a_picture",
        "truncated": "wrong_length",
        "redirect": "redirected",
    }
    struck = dict(zip(expected, ids[::5], strict=False))
    for name, image_id in struck.items():
        fault = Fault(name, endpoint="picture", match={"image_id": str(image_id)}, seconds=1_200.0)
        crawler.sandbox.faults.add(fault)
    crawler.start("download")
    assert crawler.wait_for_end(60.0) == 0, crawler.output
    for name, image_id in struck.items():
        rows = crawler.rows("SELECT DISTINCT outcome, attempts FROM image_status WHERE image_id = ?", image_id)
        assert rows == [(expected[name], 1)], name
    assert troubles(store(crawler), crawler.rows, crawler.sandbox) == []
    ((first,),) = crawler.rows("SELECT MIN(retry_at) FROM image_status WHERE retry_at > 0 AND to_download = 1")
    assert time.time() < first <= time.time() + pause_seconds(1)
    failed = "2 timeout, 1 not a picture, 1 not found, 1 placeholder, 1 redirected, 1 too large, 1 too many pixels"
    assert last_line(crawler) == (
        f"{len(ids) - 9} pictures are there now; without success: {failed}, 1 wrong length (4 of them for good). "
        f"5 are tried again later, the first at {iso(first)}."
    )


# Killed


def kill_at_random(crawler: Crawler, start: Callable[[], object], kills: int, seed: int, pictures: int) -> None:
    """Kill it so often, each a moment after a request for a picture that chance chose; what it leaves is whole."""
    chance = random.Random(seed)
    for moment in sorted(chance.randrange(1, pictures) for _ in range(kills)):
        start()
        wait_for_pictures(crawler, max(moment, asked(crawler) + 1))
        threading.Event().wait(chance.uniform(0.0, 0.05))
        crawler.kill()
        assert broken(store(crawler), crawler.rows, crawler.sandbox) == []


def test_killed_anywhere_and_started_again_no_picture_is_missing_twice_or_half_there(
    home: Callable[..., Crawler],
) -> None:
    """What is fetched again is at most what was in flight: one picture a worker and kill."""
    crawler = home({"picture_latency_seconds": 0.02})
    ids = {picture.image_id for picture in crawler.fill()}
    kill_at_random(crawler, lambda: crawler.start("download"), KILLS, seed=20261121, pictures=len(ids) - 60)
    crawler.start("download")
    assert crawler.wait_for_end(START_SECONDS) == 0, crawler.output
    assert crawler.lives == KILLS + 1
    assert troubles(store(crawler), crawler.rows, crawler.sandbox) == []
    assert crawler.rows(QUEUED) == [(0,)]
    assert set(files(store(crawler))) == ids == set(crawler.sandbox.picture_ids)
    assert asked_twice(crawler.sandbox) <= KILLS * UNDER_WAY


@pytest.mark.slow
def test_a_crawl_that_is_killed_while_it_downloads_ends_with_all_rows_and_all_pictures(
    home: Callable[..., Crawler],
) -> None:
    crawler = home({"picture_latency_seconds": 0.02})
    kills = min(KILLS, 3)
    kill_at_random(crawler, crawler.start, kills, seed=7, pictures=120)
    crawler.start()
    crawler.wait_for_state("SLEEP", reason="cycle")
    crawler.wait_until("all pictures are there", lambda: all_is_there(crawler))
    assert crawler.stop() == 0, crawler.output
    assert differences(crawler.rows, crawler.sandbox) == []
    assert troubles(store(crawler), crawler.rows, crawler.sandbox) == []
    assert asked_twice(crawler.sandbox) <= kills * UNDER_WAY
    assert crawler.sandbox.keys_sent_to_cdn == 0


# Stopped


def stop_by_file(crawler: Crawler, name: str) -> str:
    (crawler.home / name).touch()
    return f"the file {name}"


def stop_by_signal(crawler: Crawler, name: str) -> str:
    assert crawler.process is not None
    crawler.process.send_signal(signal.Signals[name])
    return name


@pytest.mark.slow
def test_alone_it_stops_each_way_within_seconds_and_goes_on_where_it_was(home: Callable[..., Crawler]) -> None:
    crawler = home(LATE)
    ids = {picture.image_id for picture in crawler.fill(40)}
    ways = [("KILL", stop_by_file), ("KILL_DL", stop_by_file), ("SIGTERM", stop_by_signal)]
    for name, stop in ways:
        crawler.start("download")
        wait_for_pictures(crawler, asked(crawler) + 15)
        began = time.monotonic()
        reason = stop(crawler, name)
        assert crawler.wait_for_end() == 0, crawler.output
        assert time.monotonic() - began < HANGING_STOP_SECONDS
        ((queued,),) = crawler.rows(QUEUED)
        assert last_line(crawler).endswith(f" Stopped by {reason}; {queued} are still queued.")
        assert kill_files(crawler) == []
        assert troubles(store(crawler), crawler.rows, crawler.sandbox) == []
    crawler.start("download")
    assert crawler.wait_for_end(START_SECONDS) == 0, crawler.output
    assert troubles(store(crawler), crawler.rows, crawler.sandbox) == []
    assert set(files(store(crawler))) == ids
    assert asked_twice(crawler.sandbox) <= len(ways) * UNDER_WAY


@pytest.mark.parametrize("command", ["download", "crawl"])
def test_while_the_host_never_answers_it_stops_as_soon(home: Callable[..., Crawler], command: str) -> None:
    crawler = home()
    crawler.sandbox.faults.add(Fault("timeout", endpoint="picture", seconds=600.0))
    if command == "download":
        crawler.fill(20)
        crawler.start("download")
    else:
        crawler.start()
    crawler.wait_until("every worker waits", lambda: asked(crawler) == WORKERS)
    if command == "crawl":
        crawler.wait_for_state("SLEEP", reason="cycle")
    began = time.monotonic()
    assert crawler.stop() == 0, crawler.output
    assert time.monotonic() - began < HANGING_STOP_SECONDS
    assert kill_files(crawler) == []
    assert "Stopped by the file KILL" in last_line(crawler)
    assert crawler.rows("SELECT COUNT(*) FROM image_status WHERE outcome IS NOT NULL") == [(0,)]


def test_a_kill_file_older_than_the_start_is_removed_with_a_line(home: Callable[..., Crawler]) -> None:
    crawler = home()
    crawler.fill(2)
    for name in ("KILL", "KILL_DL"):
        (crawler.home / name).touch()
    crawler.start("download")
    assert crawler.wait_for_end(START_SECONDS) == 0
    assert kill_files(crawler) == []
    assert all(f"Removed {name}: it is older than this start." in crawler.output for name in ("KILL", "KILL_DL"))
    assert troubles(store(crawler), crawler.rows, crawler.sandbox) == [] and all_is_there(crawler)


# Beside the crawl


@pytest.mark.slow
def test_beside_the_crawl_kill_dl_stops_the_downloads_alone_and_a_command_takes_them_up(
    home: Callable[..., Crawler],
) -> None:
    """Before, the command is refused: the crawl downloads. After it, KILL stops the crawl."""
    crawler = home(LATE)
    crawler.start()
    wait_for_pictures(crawler, 10)
    refused = crawler.run("download")
    assert refused.returncode == 4 and "Already running" in refused.stderr
    assert all(str(crawler.process.pid) in text for text in [refused.stderr] if crawler.process)
    (crawler.home / "KILL_DL").touch()
    crawler.wait_until("the downloads stop", lambda: kill_files(crawler) == [], HANGING_STOP_SECONDS)
    crawler.wait_until("words", lambda: "Downloads stopped by the file KILL_DL; the crawl goes on" in crawler.log)
    before = asked(crawler)
    crawler.wait_for_state("SLEEP", reason="cycle")
    assert asked(crawler) == before
    assert not all_is_there(crawler)
    told = crawler.run("download")
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip().endswith("Nothing is left in the queue.")
    assert crawler.stop() == 0
    assert troubles(store(crawler), crawler.rows, crawler.sandbox) == []
    assert differences(crawler.rows, crawler.sandbox) == []


def test_a_command_that_took_the_downloads_up_beside_a_crawl_is_stopped_by_kill_dl_too(
    home: Callable[..., Crawler],
) -> None:
    crawler = home(LATE)
    crawler.start()
    wait_for_pictures(crawler, 5)
    (crawler.home / "KILL_DL").touch()
    crawler.wait_until("the downloads stop", lambda: kill_files(crawler) == [], HANGING_STOP_SECONDS)
    before = asked(crawler)
    with download_beside(crawler) as command:
        wait_for_pictures(crawler, before + 10)
        (crawler.home / "KILL_DL").touch()
        assert command.wait(HANGING_STOP_SECONDS) == 0
    crawler.wait_until("the file is removed", lambda: kill_files(crawler) == [], HANGING_STOP_SECONDS)
    assert crawler.stop() == 0
    assert troubles(store(crawler), crawler.rows, crawler.sandbox) == []


def test_kill_stops_a_crawl_and_a_command_that_downloads_beside_it(home: Callable[..., Crawler]) -> None:
    crawler = home(LATE)
    crawler.start()
    wait_for_pictures(crawler, 5)
    (crawler.home / "KILL_DL").touch()
    crawler.wait_until("the downloads stop", lambda: kill_files(crawler) == [], HANGING_STOP_SECONDS)
    before = asked(crawler)
    with download_beside(crawler) as command:
        wait_for_pictures(crawler, before + 10)
        assert crawler.stop() == 0
        assert command.wait(HANGING_STOP_SECONDS) == 0
    assert kill_files(crawler) == []
    assert troubles(store(crawler), crawler.rows, crawler.sandbox) == []


@pytest.mark.slow
def test_a_crawl_beside_a_command_that_downloads_takes_the_downloads_over_when_it_ends(
    home: Callable[..., Crawler],
) -> None:
    """It looks now and then whether it may."""
    crawler = home({"picture_latency_seconds": 0.5})
    crawler.fill(20)
    with download_beside(crawler) as command:
        wait_for_pictures(crawler, 1)
        crawler.start()
        crawler.wait_for_state("SLEEP", reason="cycle")
        told = f"Pictures are downloaded by another process. Already running on this home: process {command.pid}"
        crawler.wait_until("it says who downloads", lambda: told in crawler.log)
        command.send_signal(signal.SIGTERM)
        assert command.wait(STOP_SECONDS) == 0
    before = asked(crawler)
    crawler.wait_until("the crawl downloads", lambda: asked(crawler) > before + WORKERS, 45.0)
    assert crawler.stop() == 0
    assert troubles(store(crawler), crawler.rows, crawler.sandbox) == []


@pytest.mark.sqlite_only("SQLite has one writer: it is about its lock")
def test_the_crawlers_writes_do_not_wait_for_the_downloads(home: Callable[..., Crawler]) -> None:
    """Whoever wants the database while pictures come gets it at once: their rows are written in short batches."""
    crawler = home()
    crawler.fill()
    waits: list[float] = []
    crawler.start("download")
    with closing(sqlite3.connect(crawler.database, timeout=30, isolation_level=None)) as connection:

        def write() -> bool:
            began = time.monotonic()
            connection.execute("BEGIN IMMEDIATE")
            waits.append(time.monotonic() - began)
            connection.execute("ROLLBACK")
            return done(crawler) > 200

        crawler.wait_until("two hundred rows are done", write)
    assert crawler.wait_for_end(START_SECONDS) == 0
    assert len(waits) > 20
    assert max(waits) < 1.0


def test_a_crawl_that_ends_in_an_error_does_not_say_that_it_goes_on(home: Callable[..., Crawler]) -> None:
    crawler = home(LATE)
    crawler.fill()
    crawler.allow(2)
    crawler.sandbox.faults.add(Fault("dead_key", after=3))
    crawler.start()
    assert crawler.wait_for_end(START_SECONDS) == 3
    assert asked(crawler) > 0
    assert "goes on" not in crawler.log
    assert broken(store(crawler), crawler.rows, crawler.sandbox) == []


# A bug of ours


@pytest.mark.sqlite_only("PostgreSQL takes no bytes for a text")
@pytest.mark.parametrize(("command", "log"), [("download", "downloads.log"), ("crawl", "crawler.log")])
def test_a_bug_in_the_downloads_ends_the_process_loudly(home: Callable[..., Crawler], command: str, log: str) -> None:
    """A row such as the program itself never writes: bytes where a text belongs."""
    crawler = home()
    crawler.fill(2)
    crawler.write("UPDATE image_status SET hex = x'ff00'")
    if command == "download":
        crawler.start("download")
    else:
        crawler.start()
    assert crawler.wait_for_end(START_SECONDS) == 1
    assert "This is a bug of the program (UnicodeDecodeError" in last_line(crawler)
    path = crawler.home / "logs" / log
    assert "Traceback" in path.read_text(encoding="utf-8")
    dumps = list((crawler.home / "checkpoints").glob("*.json"))
    assert str(path if command == "download" else dumps[0]) in last_line(crawler), "it says where to look"


# The disk


def test_with_too_little_free_no_picture_is_asked_for_and_the_crawl_goes_on(home: Callable[..., Crawler]) -> None:
    crawler = home()
    crawler.environment["MIN_FREE_GB"] = "1000000"
    crawler.crawl_to_sleep()
    assert "Downloads wait: " in crawler.log and "MIN_FREE_GB" in crawler.log
    crawler.start("download")
    crawler.wait_until("it says so", lambda: "Downloads wait: " in crawler.output)
    assert crawler.stop() == 0
    ((queued,),) = crawler.rows(QUEUED)
    expected = f"0 pictures are there now. Stopped by the file KILL; {queued} are still queued."
    assert queued > 100 and last_line(crawler) == expected
    assert asked(crawler) == 0 and files(store(crawler)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before the start", "in the middle"])
def test_images_on_a_disk_that_has_gone_are_waited_for_and_nothing_is_made_in_their_place(
    home: Callable[..., Crawler], when: str
) -> None:
    """It looks every 15 s; no row is changed meanwhile, and when the disk is back it goes on by itself."""
    crawler = home(LATE)
    ids = {picture.image_id for picture in crawler.fill()}
    images, away = crawler.home / "images", crawler.home / "elsewhere"
    crawler.start("download")
    crawler.wait_until("some rows are done", lambda: done(crawler) > 0)
    if when == "before the start":
        assert crawler.stop() == 0
        images.rename(away)
        crawler.start("download")
    else:
        images.rename(away)
    crawler.wait_until("it says so", lambda: f"Downloads wait: {store(crawler)}" in crawler.output)
    crawler.wait_until("it holds still", lambda: is_still(crawler))
    rows, requests = crawler.rows("SELECT * FROM image_status ORDER BY 1, 2"), asked(crawler)
    assert not images.exists()
    away.rename(images)
    crawler.wait_until("it goes on", lambda: asked(crawler) > requests)
    assert "Downloads go on." in crawler.output
    before = {row[:2] for row in rows}
    assert {row[:2] for row in crawler.rows("SELECT * FROM image_status")} == before
    assert crawler.wait_for_end(60.0) == 0, crawler.output
    assert troubles(store(crawler), crawler.rows, crawler.sandbox) == []
    assert set(files(store(crawler))) == ids


def is_still(crawler: Crawler) -> bool:
    """Tell whether for a while no picture is asked for."""
    before = asked(crawler)
    threading.Event().wait(5 * LATE["picture_latency_seconds"])
    return asked(crawler) == before
