"""Our own count of the calls: by minute and endpoint, and the day's decision before each call."""

from __future__ import annotations

import threading

import pytest

from crawler.api.ledger import CallsMade, Ledger
from crawler.api.quota import Quota
from runtime.clock import DAY_SECONDS
from runtime.errors import QuotaSpent
from tests.rig import START, VirtualClock


def test_calls_add_up_by_endpoint_and_minute_until_they_are_handed_over_once() -> None:
    clock = VirtualClock(START - START % 60)
    ledger = Ledger(clock, Quota(), [])
    for endpoint, seconds in [("a", 5), ("a", 30), ("b", 1), ("a", 40)]:
        clock.advance(seconds)
        ledger.open_call(endpoint)
    first = START - START % 60
    assert set(ledger.drain()) == {
        CallsMade("a", first, 2, None),
        CallsMade("b", first, 1, None),
        CallsMade("a", first + 60, 1, None),
    }
    assert ledger.drain() == ()
    assert ledger.total == 4


def test_calls_that_could_not_be_stored_are_handed_over_again() -> None:
    ledger = Ledger(VirtualClock(), Quota(), [])
    ledger.open_call("a")
    drained = ledger.drain()
    ledger.open_call("a")
    ledger.restore(drained)
    assert [made.count for made in ledger.drain()] == [2]


def test_a_call_that_the_day_does_not_allow_is_refused_and_not_counted() -> None:
    clock = VirtualClock()
    ledger = Ledger(clock, Quota(limit=1000), [(clock.now() - 3600, 990)])
    with pytest.raises(QuotaSpent) as spent:
        ledger.open_call("a")
    assert spent.value.until > clock.now()
    assert (ledger.total, ledger.drain()) == (0, ())


def test_a_restart_counts_the_calls_of_the_process_before() -> None:
    clock = VirtualClock()
    ledger = Ledger(clock, Quota(limit=1000), [(clock.now() - 3600, 500)])
    assert ledger.available() == 490
    ledger.open_call("a")
    assert ledger.available() == 489


def test_calls_of_yesterday_come_back() -> None:
    clock = VirtualClock()
    ledger = Ledger(clock, Quota(limit=1000), [(clock.now() - 60, 990)])
    clock.advance(DAY_SECONDS + 120)
    assert ledger.available() == 990


def test_a_cut_of_the_limit_is_told_once() -> None:
    ledger = Ledger(VirtualClock(), Quota(), [])
    assert [ledger.hear(limit, 1000) for limit in (10_000, 10_000, 5_000, 5_000)] == [False, False, True, False]


def test_after_a_refusal_no_call_is_opened_until_the_server_s_time() -> None:
    clock = VirtualClock()
    ledger = Ledger(clock, Quota(limit=5000, remaining=4000, heard_at=clock.now()), [])
    assert ledger.refuse(600.0).until == clock.now() + 600
    with pytest.raises(QuotaSpent):
        ledger.open_call("a")


def test_threads_lose_no_call() -> None:
    ledger = Ledger(VirtualClock(), Quota(), [])

    def work() -> None:
        for _ in range(500):
            ledger.open_call("a")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(made.count for made in ledger.drain()) == ledger.total == 2000
