"""Killed at any moment and started again, the crawl ends as if nothing had happened, and asks for little twice."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
import time
from itertools import pairwise

import pytest

from tests.simulation.counts import note_count
from tests.system.conftest import AHEAD, TINY, Build
from tests.system.process import BATCH, SEARCH, START_SECONDS, Crawler, assert_same_end, assert_sound, place, place_of
from tests.system.reaper import DEATHS, TORTURE, assert_nothing_lost, chance, crawl_and_die, note, wait_for_more_calls
from tests.truth import differences

SLOW_DEATHS = 12 if TORTURE else 2
WINDOW = 6  # calls under way at most
KILLS_MET = {"after_a_call": 50, "at_any_time": 20, "while_opening": 15, "in_a_stop": 12, "in_a_rotation": 3}


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_rows_of_an_unkilled_crawl(build: Build) -> None:
    """In every state, while it starts, sleeps and stops; the pictures that come beside it are all there, once."""
    with chance("kills") as rng:

        def kill(crawler: Crawler) -> bool:
            return crawler.kill_if_alive(group=rng.random() < 0.5) == -signal.SIGKILL

        whole, killed, reaper = crawl_and_die(build, rng, DEATHS, KILLS_MET, kill)
        note("SIGKILL", whole, killed, reaper)
        assert_nothing_lost(whole, killed, reaper, DEATHS)


@pytest.mark.slow
def test_a_slow_server_is_called_ahead_and_a_kill_or_stop_costs_at_most_the_window(build: Build) -> None:
    """At 0.4 s of latency up to six calls are under way; a death loses no more than these and the one at hand."""
    market = {"listings": 2500 if TORTURE else 300, "shops": 20 if TORTURE else 5, "latency_seconds": 0.4, **AHEAD}
    whole, died = build("whole", {**market, "latency_seconds": 0.0}), build("died", market)
    whole.crawl_to_sleep()
    with chance("slow server") as rng:
        for number in range(SLOW_DEATHS):
            died.start()
            wait_for_more_calls(died, rng.randrange(1, 10))
            threading.Event().wait(rng.uniform(0.0, 0.4))
            if number % 2:
                died.send(signal.SIGTERM)
                assert died.wait_for_end() == 0, died.output
            else:
                died.kill()
        died.crawl_to_sleep()
        assert_same_end(whole, died)
        lost = len(died.sandbox.calls) - len(whole.sandbox.calls)
        assert lost <= (WINDOW + 1) * SLOW_DEATHS
        note_count("slow server", f"{SLOW_DEATHS} deaths, {lost} calls lost of {len(died.sandbox.calls)}")


@pytest.mark.sqlite_only("it is about the database's file")
def test_killed_while_it_sets_up_the_database_it_sets_it_up_at_the_next_start(build: Build) -> None:
    crawler = build(market=TINY)
    for moment in (
        lambda: crawler.database.exists(),
        lambda: crawler.database.with_name("etsy_data.db-wal").exists(),
        lambda: crawler.position() is not None,
    ):
        crawler.start()
        crawler.wait_until("the database is being set up", moment)
        crawler.kill()
    crawler.crawl_to_sleep()
    assert differences(crawler.rows, crawler.sandbox) == []
    assert_sound(crawler)


def write_breaks(crawler: Crawler, *breaks: float) -> None:
    entries = [{"id": 967, "name": "Furniture", "price_breaks": breaks}]
    (crawler.data / "furniture_taxonomy_config.json").write_text(json.dumps({"taxonomies": entries}), encoding="utf-8")


@pytest.mark.parametrize("lowest", [100.0, 300.0], ids=["middle", "last"])
def test_killed_inside_an_interval_the_next_search_asks_for_exactly_the_cursors_page(
    build: Build, lowest: float
) -> None:
    crawler = build(market={"listings": 1200, "shops": 60}, rate=30)
    write_breaks(crawler, 0, 100, 300)
    crawler.start()

    def is_inside() -> bool:
        cursor = (crawler.position() or {"cursor": {}})["cursor"]
        return bool(cursor.get("min_price") == lowest and cursor.get("interval_id") and cursor["offset"] >= 100)

    crawler.wait_until(f"it is inside the interval from {lowest:g}", is_inside)
    crawler.kill()
    position, seen = crawler.position(), len(crawler.sandbox.calls)
    assert position["state"] == "TAXONOMY"
    assert position["cursor"]["offset"] >= 100
    crawler.start()
    crawler.wait_until("a search", lambda: bool(crawler.calls(SEARCH, since=seen)))
    assert place_of(crawler.calls(SEARCH, since=seen)[0]) == place(position["cursor"])
    assert {call.endpoint for call in crawler.calls(since=seen)} <= {SEARCH, BATCH}


# The limit of calls in any second, by the moments at which they arrive at the sandbox


def assert_never_more_in_a_second(crawler: Crawler, most: int) -> None:
    moments = sorted(call.at for call in crawler.calls())
    spans = [moments[i + most] - moments[i] for i in range(len(moments) - most)]
    assert min(spans) > 1.0, f"{most + 1} calls within {min(spans):.3f} s"
    assert {call.status for call in crawler.calls()} == {200}, "a call was refused"


PATIENCE_SECONDS = 0.5  # how long a start waits for the lock before it says who runs
SLOW = 0.2  # calls a second: far apart, so that a process starts well between two of them on a busy machine too
CLOSE_SECONDS = 4.6  # a process that forgot its predecessor's calls would call sooner than it may


def succeed(crawler: Crawler, start_seconds: float) -> float:
    """Kill this process while the next waits at the lock; return how long after its last call that one is ready."""
    old = crawler.process
    assert old is not None
    new = crawler.spawn()
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            new.wait(start_seconds - 1.2 * PATIENCE_SECONDS)  # a refused start also takes a moment to end
    finally:
        old.send_signal(signal.SIGKILL)
        old.wait(START_SECONDS)
        crawler.process = new
    last = crawler.sandbox.calls[-1].at
    crawler.wait_until("the next process is ready", lambda: new.poll() == 4 or "Going on at" in crawler.output)
    if new.poll() == 4:  # it came to the lock too early and gave up
        crawler.start()
        crawler.wait_until("the one after it is ready", lambda: "Going on at" in crawler.output)
    return time.monotonic() - last


@pytest.mark.slow
def test_a_process_that_takes_over_at_once_after_a_kill_keeps_its_distance_to_the_calls_before(build: Build) -> None:
    """At a call in 5 s a successor that is ready sooner still waits until they are over."""
    crawler = build(rate=SLOW)
    crawler.start()
    crawler.wait_for_calls(1)
    began = time.monotonic()
    assert crawler.run().returncode == 4
    start_seconds = time.monotonic() - began
    ready: list[float] = []
    while len([after for after in ready if after < CLOSE_SECONDS]) < 2 and len(ready) < 6:
        ready.append(succeed(crawler, start_seconds))
        crawler.wait_for_calls(len(crawler.sandbox.calls) + 1)
    assert crawler.stop() == 0
    assert min(ready) < CLOSE_SECONDS, f"the processes came too far apart to prove anything: {ready}"
    at = [call.at for call in crawler.sandbox.calls]
    assert min(later - sooner for sooner, later in pairwise(at)) > 0.98 / SLOW


@pytest.mark.slow
def test_two_crawlers_with_one_key_share_the_five_calls_a_second_though_one_is_killed(build: Build) -> None:
    """Two homes, one key, one server; one of them is killed and started again meanwhile."""
    market = {"listings": 300, "shops": 10, "reviews_per_shop": 5.0, "calls_per_second": 5}
    first, second = build("first", market, None), build("second", market, None)
    for name in ("ETSY_API_URL", "ETSY_CDN_URL", "XDG_STATE_HOME", "HOME"):
        second.environment[name] = first.environment[name]
    second.sandbox = first.sandbox
    first.start()
    second.start()
    for number in (6, 16):
        first.wait_for_calls(number)
        first.kill()
        first.start()
    first.crawl_to_sleep()
    second.crawl_to_sleep()
    assert differences(first.rows, first.sandbox) == []
    assert differences(second.rows, first.sandbox) == []
    assert json.loads((first.data / "qps_config.json").read_text(encoding="utf-8")) == {"qps": 5}
    assert_never_more_in_a_second(first, 5)
