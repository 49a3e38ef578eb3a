"""Other ends than a kill: asked to stop at any moment, suspended, its terminal closed, its reader gone.

And the commands beside the crawl: killed at any moment and given again, they end as if nothing had happened.
"""

from __future__ import annotations

import os
import pty
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sandbox.taxonomy import DESCENDANTS, FURNITURE
from tests.pictures import CHEAP, asked_twice, troubles
from tests.simulation.counts import note_count
from tests.system.conftest import AHEAD, TINY, Build
from tests.system.process import FAST, LOOK_SECONDS, STOP_SECONDS, UNHURRIED, Crawler, content, snapshot
from tests.system.reaper import (
    DEATHS,
    TORTURE,
    UNDER_WAY,
    WORKERS,
    assert_nothing_lost,
    chance,
    crawl_and_die,
    crawl_beside,
    finish,
    holds_lock,
    note,
    store,
    wait_for_more_calls,
)
from tests.system.test_stop import WAYS, by_signal, in_words, repeated
from tests.truth import differences, is_wanted

STOPS = {**WAYS, "SIGHUP": by_signal(signal.SIGHUP)}
STOPS_MET = {"after_a_call": 70, "after_clearing": 30}
SUSPENSIONS = 10 if TORTURE else 2
SUSPENDED_SECONDS = (1.2, 2.0)  # more than a second: all that it has called by then is forgotten by the server
COMMAND_KILLS = 12
WORKING_SECONDS = 0.15
LOCKS = {"download": "downloads", "archive": "archive", "primary": "primary", "sync": "crawler", "restore": "crawler"}


# Asked to stop


def stop_in_order(crawler: Crawler, way: str) -> bool:
    """Ask it to stop in this way, hold what it does against the contract, and answer that it has ended."""
    began = time.monotonic()
    reason = STOPS[way](crawler)
    assert crawler.wait_for_end() == 0, crawler.output
    assert time.monotonic() - began < STOP_SECONDS
    last_line = crawler.output.strip().splitlines()[-1]
    assert last_line.startswith(f"Stopped by {reason} at {in_words(crawler.position())}"), crawler.output
    assert kill_files(crawler) == []
    return True


def kill_files(crawler: Crawler) -> list[str]:
    return [path.name for path in crawler.home.iterdir() if path.name.startswith("KILL")]


@pytest.mark.slow
def test_stopped_at_random_moments_it_ends_with_the_rows_of_a_crawl_left_alone(build: Build) -> None:
    """By both files and the signals in turn: in every state, while it starts, asleep; each time within ten seconds."""
    with chance("stops") as rng:
        ways = [*STOPS, *rng.choices(list(STOPS), k=DEATHS)]
        whole, stopped, reaper = crawl_and_die(
            build, rng, DEATHS, STOPS_MET, lambda crawler: stop_in_order(crawler, ways.pop(0))
        )
        note(", ".join(STOPS), whole, stopped, reaper)
        assert_nothing_lost(whole, stopped, reaper, DEATHS)


# Suspended


@pytest.mark.slow
@pytest.mark.parametrize(("latency", "seconds"), [(0.0, 1.0), (0.6, 0.8)], ids=["quick server", "slow server"])
def test_suspended_like_a_laptop_it_goes_on_without_a_burst_and_without_a_call_twice(
    build: Build, latency: float, seconds: float
) -> None:
    """Also where several calls were under way when it was suspended.

    Slow answers do not tell when a call arrived, which on a busy machine is up to 0.2 s later than meant.
    """
    size = {"listings": 1500, "shops": 20} if TORTURE else {"listings": 250, "shops": 5}
    crawler = build(market={**size, **AHEAD, "latency_seconds": latency}, rate=None)
    with chance("suspended") as rng:
        crawler.start()
        for _ in range(SUSPENSIONS):
            wait_for_more_calls(crawler, rng.randrange(1, 4))
            threading.Event().wait(rng.uniform(0.0, 0.4))
            crawler.send(signal.SIGSTOP)
            threading.Event().wait(rng.uniform(*SUSPENDED_SECONDS))
            crawler.send(signal.SIGCONT)
        crawler.crawl_to_sleep()
        moments = sorted(call.at for call in crawler.calls())
        shortest = min(sixth - first for first, sixth in zip(moments, moments[5:], strict=False))
        assert shortest > seconds, f"six calls within {shortest:.3f} s"
        assert differences(crawler.rows, crawler.sandbox) == []
        assert repeated(crawler) == []
        told = f"{SUSPENSIONS} suspensions, {len(moments)} calls, six of them never within {shortest:.2f} s"
        note_count(f"SIGSTOP, {latency:g} s of latency", told)


# Nobody looks any more


def test_a_closed_terminal_stops_it_in_order_and_under_nohup_it_goes_on(build: Build) -> None:
    crawler = build(rate=UNHURRIED)
    crawler.start()
    crawler.wait_for_calls(6)
    stop_in_order(crawler, "SIGHUP")
    crawler.program = ["nohup", *crawler.program]
    crawler.start()
    crawler.wait_for_calls(len(crawler.sandbox.calls) + 4)
    crawler.send(signal.SIGHUP)
    crawler.allow(FAST)
    crawler.crawl_to_sleep()
    assert differences(crawler.rows, crawler.sandbox) == []
    assert len(repeated(crawler)) <= 1


def open_pipe() -> tuple[int, int]:
    return os.pipe()


@contextmanager
def read_for_a_while(crawler: Crawler, open_ends: Callable[[], tuple[int, int]]) -> Iterator[None]:
    """Start to crawl, and read what it prints until it has made a call and for as long as the block lasts."""
    reads, writes = open_ends()
    crawler.process = crawler.spawn(shown=writes)
    os.close(writes)
    reader = threading.Thread(target=_read_all, args=(reads,), daemon=True)
    reader.start()
    try:
        crawler.wait_for_calls(4)
        yield
    finally:
        os.close(reads)


def _read_all(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except OSError:  # closed meanwhile, or the terminal is gone
        return


@pytest.mark.parametrize("open_ends", [open_pipe, pty.openpty], ids=["pipe", "terminal"])
def test_when_nobody_reads_what_it_prints_any_more_it_crawls_on_and_stops_as_asked(
    build: Build, open_ends: Callable[[], tuple[int, int]]
) -> None:
    """As in `run.py | head -1`, and where the terminal of a process that was disowned is closed."""
    crawler = build(rate=20)
    crawler.environment["TERM"] = "xterm"
    with read_for_a_while(crawler, open_ends):
        calls = len(crawler.sandbox.calls)
    crawler.wait_for_calls(calls + 8)
    crawler.allow(FAST)
    crawler.wait_for_state("SLEEP")
    assert crawler.stop() == 0
    assert kill_files(crawler) == []
    assert "Traceback" not in crawler.log
    assert list((crawler.home / "checkpoints").glob("state-*.json")) == [], "it wrote a dump, as for a crash"
    assert differences(crawler.rows, crawler.sandbox) == []
    assert repeated(crawler) == []


def test_started_with_its_output_closed_it_crawls_all_the_same(build: Build) -> None:
    crawler = build(market=TINY)
    crawler.program = ["sh", "-c", 'exec "$0" "$@" >&- 2>&-', *crawler.program]
    crawler.crawl_to_sleep()
    assert differences(crawler.rows, crawler.sandbox) == []


# The commands beside the crawl, in `make torture` only

torture = pytest.mark.skipif(not TORTURE, reason="make torture")


def copy_home(build: Build, base: Crawler, name: str) -> Crawler:
    other = build(name, like=base)
    other.environment |= {name: base.environment[name] for name in ("MIN_FREE_GB", "DOWNLOAD_WORKERS")}
    return other


def files_of(crawler: Crawler) -> dict[str, bytes]:
    root = crawler.home / "images"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def rows_of(crawler: Crawler) -> dict[str, list[Any]]:
    """Return all rows but those that tell how a run went."""
    found = snapshot(crawler)
    found["sync_state"] = [row for row in found["sync_state"] if row[0] in ("position", "cycle", "audit")]
    return found


def kill_and_give_again(
    crawler: Crawler, name: str, seconds: float, *arguments: str, look: Callable[[], None] = lambda: None
) -> int:
    """Kill this command soon after it has begun to work, then at any moment of so many seconds; then let it end.

    `look` is called after each death. Returns how often it was killed.
    """
    kills = 0
    with chance(name) as rng:
        for number in range(COMMAND_KILLS):
            process = crawler.start(name, *arguments)
            soon = number < COMMAND_KILLS // 2
            if soon:
                while not holds_lock(crawler, LOCKS[name]) and process.poll() is None:
                    time.sleep(LOOK_SECONDS)
            threading.Event().wait(rng.uniform(0.0, WORKING_SECONDS if soon else seconds))
            status = crawler.kill_if_alive(group=rng.random() < 0.5)
            assert status in (0, -signal.SIGKILL), crawler.output
            kills += status != 0
            look()
    done = crawler.run(name, *arguments)
    assert done.returncode == 0, done.stderr
    note_count(f"run.py {name}", f"{kills} kills")
    return kills


def timed(crawler: Crawler, *arguments: str) -> float:
    began = time.monotonic()
    done = crawler.run(*arguments)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - began


@torture
def test_archive_and_primary_killed_and_given_again_leave_the_files_and_rows_of_a_run_left_alone(build: Build) -> None:
    base = crawl_beside(build, "base", **{**CHEAP, "listings": 500})
    finish(base)
    whole, killed = copy_home(build, base, "whole"), copy_home(build, base, "killed")
    for crawler in (whole, killed):
        crawler.environment |= {"ARCHIVE_RAW": "1", "SHARD_PICTURES": "10"}
    for command in ("archive", "primary"):
        kill_and_give_again(killed, command, timed(whole, command))
        assert files_of(killed) == files_of(whole)
        assert rows_of(killed) == rows_of(whole)
    assert "in sync" in killed.run("verify").stdout


@torture
def test_download_killed_and_given_again_brings_every_picture_once(build: Build) -> None:
    """What is fetched again is at most what was in flight."""
    crawler = crawl_beside(build, "killed", **{**CHEAP, "listings": 300})
    ids = {picture.image_id for picture in crawler.fill()}
    seconds = len(ids) * crawler.sandbox.settings.picture_latency_seconds / WORKERS
    kills = kill_and_give_again(crawler, "download", 1.0 + seconds / COMMAND_KILLS)
    assert troubles(store(crawler), crawler.rows, crawler.sandbox) == []
    assert set(crawler.sandbox.picture_ids) == ids
    assert asked_twice(crawler.sandbox) <= kills * UNDER_WAY


@torture
def test_sync_killed_and_given_again_leaves_a_data_set_that_the_crawl_completes(build: Build) -> None:
    """A listing has a row more for each time that it was fetched, and otherwise the rows of a run left alone."""
    whole, killed = (crawl_beside(build, name) for name in ("whole", "killed"))
    ids = killed.folder / "ids.txt"
    listings = killed.sandbox.truth().listings.items()
    wanted = [(key, row) for key, row in listings if row["state"] == "active" and is_wanted(row["when_made"])]
    asked = [key for key, row in wanted if row["taxonomy_id"] in DESCENDANTS[FURNITURE]][:1000]
    ids.write_text("\n".join(map(str, asked)), encoding="utf-8")
    kills = kill_and_give_again(killed, "sync", timed(whole, "sync", str(ids)), str(ids))
    assert len(killed.sandbox.calls) <= (kills + 1) * len(whole.sandbox.calls)
    got, expected = content(killed), content(whole)
    for table, rows in expected.items():
        assert (set(got[table]) if table.endswith("_dynamic") else got[table]) == (
            set(rows) if table.endswith("_dynamic") else rows
        ), table
    finish(killed)
    assert differences(killed.rows, killed.sandbox) == []


@torture
def test_restore_killed_and_given_again_leaves_the_position_before_or_after_it(build: Build) -> None:
    crawler = build(rate=20)
    crawler.start()
    crawler.wait_for_calls(6)
    assert crawler.stop() == 0
    before, path = crawler.position(), crawler.run("dump").stdout.strip()
    crawler.allow(FAST)
    crawler.crawl_to_sleep()
    after = crawler.position()

    def is_one_of_both() -> None:
        position = crawler.position()
        assert position in (before, after)
        crawler.save_state("position", after)

    seconds = timed(crawler, "restore", path)
    crawler.save_state("position", after)
    kill_and_give_again(crawler, "restore", seconds, path, look=is_one_of_both)
    assert crawler.position() == before
    crawler.crawl_to_sleep()
    assert differences(crawler.rows, crawler.sandbox) == []
