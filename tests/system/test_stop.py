"""A stop by KILL file or signal: under ten seconds wherever it comes, with words, exit 0, and nothing lost."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from sandbox import Fault
from tests.system.conftest import TINY, Build
from tests.system.process import FAST, KEYSTRING, SEARCH, STOP_SECONDS, UNHURRIED, Crawler
from tests.truth import differences

WAIT_ENDS_SECONDS = 4.0  # a wait ends within a second of a stop; the rest is for a busy machine to end the process


def by_file(name: str) -> Callable[[Crawler], str]:
    def ask(crawler: Crawler) -> str:
        (crawler.home / name).touch()
        return f"the file {name}"

    return ask


def by_signal(number: signal.Signals) -> Callable[[Crawler], str]:
    def ask(crawler: Crawler) -> str:
        assert crawler.process is not None
        crawler.process.send_signal(number)
        return number.name

    return ask


WAYS: dict[str, Callable[[Crawler], str]] = {
    "KILL": by_file("KILL"),
    "KILL_SD": by_file("KILL_SD"),
    "SIGINT": by_signal(signal.SIGINT),
    "SIGTERM": by_signal(signal.SIGTERM),
}


def assert_stops(crawler: Crawler, way: str, seconds: float = STOP_SECONDS) -> None:
    """Ask it to stop and hold what it does against the contract."""
    asked_at = time.monotonic()
    reason = WAYS[way](crawler)
    status = crawler.wait_for_end()
    took = time.monotonic() - asked_at
    assert status == 0, crawler.output
    assert took < seconds
    assert words(crawler.output).endswith(f" Stopped by {reason} at {in_words(crawler.position())}.")
    assert not [path.name for path in crawler.home.iterdir() if path.name.startswith("KILL")]
    assert "Traceback" not in crawler.output


def words(text: str) -> str:
    """Return a text as one line."""
    return " ".join(text.split())


def in_words(position: dict[str, object]) -> str:
    """Say where a position is, in the words of the last line."""
    state, cursor = position["state"], position["cursor"]
    assert isinstance(cursor, dict)
    cycle = f"(cycle {position['cycle']})"
    if state == "SLEEP":
        return f"SLEEP until {cursor['until']}"
    if state == "TAXONOMY":
        upper = "and up" if cursor["max_price"] is None else f"to {cursor['max_price']}"
        price = f"price {cursor['min_price']} {upper}"
        return f"TAXONOMY, category {cursor['taxonomy_id']}, {price}, offset {cursor['offset']} {cycle}"
    if state == "REVIEWS" and cursor.get("shop_id"):
        return f"REVIEWS, shop {cursor['shop_id']}, offset {cursor['offset']} {cycle}"
    return f"{state} {cycle}"


def repeated(crawler: Crawler) -> list[tuple[str, str]]:
    """Return the calls that were made more than once."""
    asked = Counter((call.endpoint, json.dumps(call.params, sort_keys=True)) for call in crawler.calls())
    return [call for call, times in asked.items() for _ in range(times - 1)]


def test_while_it_walks_it_stops_each_way_and_goes_on_where_it_was(build: Build) -> None:
    """Stopped four times it ends with the whole market; each stop may cost the call at hand, no more."""
    crawler = build(market={"listings": 1200, "shops": 20}, rate=UNHURRIED)
    for way in WAYS:
        crawler.start()
        crawler.wait_for_calls(len(crawler.sandbox.calls) + 4)
        assert_stops(crawler, way)
        assert crawler.position()["state"] == "TAXONOMY"
    crawler.allow(FAST)
    crawler.crawl_to_sleep()
    assert differences(crawler.rows, crawler.sandbox) == []
    assert len(repeated(crawler)) <= len(WAYS)


def test_the_last_line_of_a_stop_is_one_line_also_where_nobody_watches(build: Build) -> None:
    """Where the output goes to a file, a person looks for the last line with `tail -1` or `grep`."""
    crawler = build(rate=20)
    crawler.start()
    crawler.wait_for_calls(4)
    assert crawler.stop() == 0
    last_line = crawler.output.strip().splitlines()[-1]
    assert last_line == f"Stopped by the file KILL at {in_words(crawler.position())}."


def test_while_it_reads_reviews_it_stops_and_goes_on_where_it_was(build: Build) -> None:
    crawler = build(market={"shops": 6, "reviews_per_shop": 400.0}, rate=UNHURRIED)
    crawler.start()

    def is_inside() -> bool:
        position = crawler.position()
        return position is not None and position["state"] == "REVIEWS" and position["cursor"].get("offset") == 200

    crawler.wait_until("page 2 of some shop's reviews", is_inside)
    assert_stops(crawler, "KILL")
    crawler.allow(FAST)
    crawler.crawl_to_sleep()
    assert differences(crawler.rows, crawler.sandbox) == []
    assert len(repeated(crawler)) <= 1


@pytest.mark.parametrize("way", ["KILL", "SIGTERM"])
def test_while_a_request_hangs_it_stops_without_waiting_for_it(build: Build, way: str) -> None:
    crawler = build()
    crawler.sandbox.faults.add(Fault("timeout", after=3, count=1, seconds=60))
    crawler.start()
    crawler.wait_until("a request hangs", lambda: bool(crawler.sandbox.faults.struck().get("timeout")))
    before = crawler.position()
    assert_stops(crawler, way)
    assert crawler.position() == before
    assert len(crawler.sandbox.calls) == 4


def test_between_two_tries_of_a_call_it_stops_without_another_try(build: Build) -> None:
    crawler = build()
    crawler.sandbox.faults.add(Fault("server_error", after=2))
    crawler.start()
    crawler.wait_until("the pause of 4 s", lambda: "trying again in 4.0 s" in crawler.log)
    calls = len(crawler.sandbox.calls)
    assert_stops(crawler, "SIGINT", WAIT_ENDS_SECONDS)
    assert len(crawler.sandbox.calls) == calls


def test_while_a_step_that_failed_waits_for_its_repetition_it_stops(build: Build) -> None:
    """The search lists nothing where 400 rows were: an incident, tried again after 5 s, 10 s, 20 s and so on."""
    crawler = build()
    crawler.sandbox.faults.add(Fault("zero_count", endpoint=SEARCH, after=2))
    crawler.start()
    crawler.wait_until("the first pause", lambda: (crawler.state("trouble") or {}).get("attempts") == 1)
    before = crawler.position()
    assert_stops(crawler, "KILL_SD", WAIT_ENDS_SECONDS)
    assert crawler.position() == before
    assert before["state"] == "TAXONOMY"
    crawler.sandbox.faults.clear()
    crawler.crawl_to_sleep()
    assert differences(crawler.rows, crawler.sandbox) == []


@pytest.mark.parametrize("way", ["KILL_SD", "SIGTERM"])
def test_asleep_it_stops_and_goes_on_waiting_for_the_same_moment(build: Build, way: str) -> None:
    crawler = build(market=TINY)
    crawler.start()
    crawler.wait_for_state("SLEEP")
    assert_stops(crawler, way, WAIT_ENDS_SECONDS)
    position, calls = crawler.position(), len(crawler.sandbox.calls)
    crawler.start()
    crawler.wait_until("it is at work again", lambda: f"SLEEP until {position['cursor']['until']}" in crawler.output)
    assert_stops(crawler, way, WAIT_ENDS_SECONDS)
    assert crawler.position() == position
    assert len(crawler.sandbox.calls) == calls


@pytest.mark.parametrize("name", ["KILL", "KILL_SD"])
def test_a_kill_file_older_than_the_start_is_removed_with_a_line_in_the_log(build: Build, name: str) -> None:
    crawler = build(market=TINY)
    (crawler.home / name).touch()
    crawler.start()
    crawler.wait_for_state("SLEEP")
    assert not (crawler.home / name).exists()
    assert f"Removed {name}: it is older than this start." in crawler.log
    assert crawler.stop() == 0


def test_the_kill_files_of_the_other_parts_do_not_stop_the_crawl(build: Build) -> None:
    crawler = build(rate=20)
    crawler.start()
    crawler.wait_for_calls(3)
    for name in ("KILL_DL", "KILL_ORCH", "KILL_EMBED", "KILL_BG"):
        (crawler.home / name).touch()
    crawler.wait_for_calls(10)
    crawler.allow(FAST)
    crawler.crawl_to_sleep()
    assert differences(crawler.rows, crawler.sandbox) == []


def dumps(crawler: Crawler) -> list[Path]:
    return sorted((crawler.home / "checkpoints").glob("state-*.json"))


def has_dumps(crawler: Crawler, number: int) -> bool:
    return len(dumps(crawler)) == number


def test_sigusr1_writes_a_dump_and_the_crawl_goes_on(build: Build) -> None:
    crawler = build(rate=20)
    process = crawler.start()
    crawler.wait_for_calls(4)
    process.send_signal(signal.SIGUSR1)
    crawler.wait_until("a dump", lambda: bool(dumps(crawler)))
    told = json.loads(dumps(crawler)[0].read_text(encoding="utf-8"))
    assert told["position"]["state"] == "TAXONOMY"
    assert told["intervals"]["plan"]
    assert KEYSTRING not in json.dumps(told)
    crawler.allow(FAST)
    crawler.crawl_to_sleep()
    assert differences(crawler.rows, crawler.sandbox) == []
    assert f"Dump written to {dumps(crawler)[0]}" in crawler.log


@pytest.mark.parametrize("fault", [Fault("timeout", after=3, seconds=60), Fault("server_error", after=3), None])
def test_sigusr1_is_answered_at_once_whatever_it_waits_for(build: Build, fault: Fault | None) -> None:
    """Also while a request hangs, between two tries of a call, and in SLEEP."""
    crawler = build(market=TINY if fault is None else None)
    if fault is not None:
        crawler.sandbox.faults.add(fault)
    process = crawler.start()
    if fault is None:
        crawler.wait_for_state("SLEEP")
    else:
        crawler.wait_until("the fault strikes", lambda: bool(crawler.sandbox.faults.struck()[fault.name]))
    for number in (1, 2):
        process.send_signal(signal.SIGUSR1)
        there = partial(has_dumps, crawler, number)
        crawler.wait_until(f"dump {number}", there, WAIT_ENDS_SECONDS)
    for path in dumps(crawler):
        assert json.loads(path.read_text(encoding="utf-8"))["position"] == crawler.position()
    assert crawler.stop() == 0
