"""The second cycle costs what it must and no more; the day's quota is kept, slept off and heard of."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox import Fault
from sandbox.settings import RealClock
from tests.system.conftest import TINY, Build
from tests.system.process import BATCH, SEARCH, Crawler, place, place_of
from tests.truth import differences

DAY_SECONDS = 86_400.0
FURNITURE = 967


class ShiftedClock(RealClock):
    """The machine's own clock, on another day."""

    def __init__(self) -> None:
        self.shift = 0.0

    def now(self) -> float:
        return super().now() + self.shift


def moment(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def in_iso(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# The second cycle


def test_a_second_cycle_of_a_market_that_stood_still_makes_only_the_searches_and_the_batches(build: Build) -> None:
    """ceil(N/100) searches for N listings and ceil(W/100) batches for the W wanted ones: no other call at all."""
    crawler = build()
    crawler.crawl_to_sleep()
    first = len(crawler.sandbox.calls)
    pass_days(crawler, 7.01)
    crawler.crawl_to_sleep(cycle=2)
    second = crawler.calls(since=first)
    listed = crawler.rows("SELECT COUNT(*), SUM(wanted) FROM indexed_listings")[0]
    assert Counter(call.endpoint for call in second) == {
        SEARCH: math.ceil(listed[0] / 100),
        BATCH: math.ceil(listed[1] / 100),
    }
    assert differences(crawler.rows, crawler.sandbox) == []
    assert crawler.rows("SELECT DISTINCT n FROM (SELECT COUNT(*) n FROM listings_dynamic GROUP BY listing_id) t") == [
        (2,)
    ]
    assert crawler.rows("SELECT DISTINCT n FROM (SELECT COUNT(*) n FROM shops_dynamic GROUP BY shop_id) t") == [(2,)]


def test_a_restart_in_sleep_waits_for_the_same_moment_and_then_begins_the_next_cycle(build: Build) -> None:
    days = str(5 / DAY_SECONDS)
    crawler = build(market=TINY, CYCLE_DAYS=days, DYNAMIC_MAX_AGE_DAYS=days)
    crawler.start()
    crawler.wait_for_state("SLEEP")
    crawler.kill()
    until, calls = moment(crawler.position()["cursor"]["until"]), len(crawler.sandbox.calls)
    crawler.start()
    crawler.wait_for_calls(calls + 1)
    assert crawler.sandbox.calls[calls].wall >= until
    assert crawler.sandbox.calls[calls].wall < until + 3
    crawler.wait_for_state("SLEEP", cycle=2)
    assert crawler.stop() == 0
    assert crawler.position()["cycle"] >= 2


def test_the_next_cycle_brings_what_has_changed_and_what_is_gone(build: Build) -> None:
    """New, repriced, sold and removed listings: the latest rows are the market's truth, the older ones stay."""
    crawler = build(market={"listings": 200, "shops": 10, "reviews_per_shop": 5.0})
    crawler.crawl_to_sleep()
    before = crawler.rows("SELECT * FROM listings_dynamic ORDER BY listing_id")
    moves = Counter(move.kind for move in crawler.sandbox.move(150))
    assert {"new", "repriced", "removed"} <= moves.keys()
    pass_days(crawler, 7.5)
    crawler.start()
    crawler.wait_for_state("SLEEP", cycle=2)
    assert crawler.stop() == 0
    after = set(map(repr, crawler.rows("SELECT * FROM listings_dynamic")))
    assert len(after) > len(before)
    latest = dict(crawler.rows("SELECT listing_id, state FROM listings_dynamic ORDER BY snapshot_timestamp"))
    truth = crawler.sandbox.truth().listings
    gone = [key for key, state in latest.items() if state == "removed"]
    assert gone
    assert not [key for key in gone if key in truth and truth[key]["state"] == "active"]
    wrong = [key for key, row in truth.items() if key in latest and latest[key] not in (row["state"], "removed")]
    assert wrong == []


def pass_days(crawler: Crawler, days: float) -> None:
    """Let so much time pass for a crawler that is stopped: every moment that it has written lies earlier."""
    shift = days * DAY_SECONDS
    counted = crawler.rows("SELECT id, recorded_at FROM api_usage")
    for number, at in counted:
        earlier = datetime.fromisoformat(str(at)) - timedelta(seconds=shift)
        crawler.write("UPDATE api_usage SET recorded_at = ? WHERE id = ?", str(earlier), number)
    for table, columns in MOMENTS.items():
        for column in columns:
            made = crawler.data_set.earlier(column)
            crawler.write(f"UPDATE {table} SET {column} = {made} WHERE {column} IS NOT NULL", shift)
    quota, cycle, position = crawler.state("quota"), crawler.state("cycle"), crawler.position()
    for name in ("heard_at", "not_before", "cut_at"):
        quota[name] = max(0.0, quota[name] - shift)
    cycle["started_at"] = in_iso(moment(cycle["started_at"]) - shift)
    if "until" in position["cursor"]:
        position["cursor"]["until"] = in_iso(moment(position["cursor"]["until"]) - shift)
    crawler.save_state("quota", quota)
    crawler.save_state("cycle", cycle)
    crawler.save_state("position", position)


MOMENTS = {
    "listings": ["snapshot_timestamp"],
    "listings_dynamic": ["snapshot_timestamp"],
    "shops": ["snapshot_timestamp"],
    "shops_dynamic": ["snapshot_timestamp"],
    "reviews": ["snapshot_timestamp"],
    "indexed_listings": ["first_seen_at", "last_seen_at", "detail_due_at"],
    "indexed_shops": ["detail_due_at", "visited_at"],
}


# The day's quota


@pytest.mark.parametrize(
    ("quota", "state", "latency"), [(6, "TAXONOMY", 0.0), (14, "REVIEWS", 0.0), (14, "REVIEWS", 0.3)]
)
def test_a_spent_quota_is_slept_off_without_one_refused_call_and_work_goes_on_exactly_there(
    build: Build, quota: int, state: str, latency: float
) -> None:
    """It never finds out by failing: it leaves 1 % of the limit (here: one call), and sleeps for about a day.

    Nor where answers are slow enough for calls to be made ahead.
    """
    clock = ShiftedClock()
    crawler = build(market={"quota_per_day": quota, "latency_seconds": latency}, clock=clock)
    crawler.start()
    crawler.wait_for_state("SLEEP", reason="quota")
    assert crawler.stop() == 0
    asleep, seen = crawler.position(), len(crawler.sandbox.calls)
    resume = asleep["cursor"]["resume"]
    assert seen == quota - 1
    assert {call.status for call in crawler.calls()} == {200}
    assert resume["state"] == state
    left = moment(asleep["cursor"]["until"]) - time.time()
    assert DAY_SECONDS - 120 < left <= DAY_SECONDS + 60
    crawler.start()
    crawler.wait_until("it says that it sleeps", lambda: "for quota, then" in crawler.output)
    assert crawler.stop() == 0
    assert crawler.position() == asleep
    assert len(crawler.sandbox.calls) == seen

    clock.shift += 1.01 * DAY_SECONDS
    pass_days(crawler, 1.01)
    crawler.sandbox.limits.set_quota(per_day=100)
    crawler.crawl_to_sleep()
    assert {call.status for call in crawler.calls()} == {200}
    if state == "TAXONOMY":
        assert place_of(crawler.calls(SEARCH, since=seen)[0]) == place(resume["cursor"])
    assert differences(crawler.rows, crawler.sandbox) == []
    asked = Counter((call.endpoint, json.dumps(call.params, sort_keys=True)) for call in crawler.calls())
    assert set(asked.values()) == {1}, "a call was made twice"


def test_a_day_that_the_server_says_is_spent_is_slept_off_after_one_refusal(build: Build) -> None:
    """Another program used up the key's quota: retry-after says for how long."""
    crawler = build()
    crawler.sandbox.faults.add(Fault("daily_429", after=5))
    crawler.start()
    crawler.wait_for_state("SLEEP", reason="quota")
    at = time.time()
    until = moment(crawler.position()["cursor"]["until"])
    assert at + DAY_SECONDS - 30 < until <= at + DAY_SECONDS + 2
    assert crawler.stop() == 0
    assert [call.status for call in crawler.calls()] == [200] * 5 + [429]
    assert [call.fault for call in crawler.calls()][5:] == ["daily_429"]
    assert "The server says that the day's calls are spent." in crawler.log
    assert status(crawler)["quota"]["not_before"] == pytest.approx(until, abs=2)


def test_a_cut_of_the_quota_is_noticed_at_the_next_answer_and_reported(build: Build) -> None:
    crawler = build(rate=20)
    crawler.start()
    crawler.wait_for_calls(4)
    crawler.sandbox.limits.set_quota(per_day=60)
    crawler.wait_for_calls(len(crawler.sandbox.calls) + 2)
    assert "The key's daily limit was cut from 100 to 60 calls." in crawler.log
    crawler.wait_until("the cut is stored", lambda: crawler.state("quota")["limit"] == 60)
    told = status(crawler)["quota"]
    assert (told["limit"], told["cut_from"]) == (60, 100)
    assert told["cut_at"] == pytest.approx(time.time(), abs=60)
    assert crawler.stop() == 0


def test_a_cut_below_what_was_used_already_ends_in_sleep_without_a_refused_call(build: Build) -> None:
    crawler = build(rate=20)
    crawler.start()
    crawler.wait_for_calls(6)
    crawler.sandbox.limits.set_quota(per_day=14)
    crawler.wait_for_state("SLEEP", reason="quota")
    assert crawler.stop() == 0
    assert {call.status for call in crawler.calls()} == {200}
    assert len(crawler.sandbox.calls) == 13


def test_the_rate_can_be_turned_down_and_up_while_it_runs(build: Build) -> None:
    """qps_config.json is read again; a damaged one changes nothing and is left as it is."""
    crawler = build(market={"shops": 20}, rate=2)
    crawler.start()
    crawler.wait_for_calls(4)
    moments = [call.at for call in crawler.calls()]
    spans = [after - before for before, after in itertools.pairwise(moments)]
    assert min(spans) > 0.45
    (crawler.data / "qps_config.json").write_text('{"qps": "many"', encoding="utf-8")
    crawler.wait_until("the damaged file is reported", lambda: "2 calls a second stay in force" in crawler.log)
    assert (crawler.data / "qps_config.json").read_text(encoding="utf-8") == '{"qps": "many"'
    began, seen = time.monotonic(), len(crawler.sandbox.calls)
    crawler.allow(50)
    crawler.wait_for_calls(seen + 20)
    assert time.monotonic() - began < 8, "20 calls at 2 a second would take 10 s"
    assert "now allows 50 calls a second" in crawler.log
    assert crawler.stop() == 0


def status(crawler: Crawler) -> dict[str, Any]:
    done = crawler.run("status", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told
