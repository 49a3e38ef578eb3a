"""Calls made ahead: each is made once, used when asked for, dropped when it is not; a stop is heard while waiting."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from crawler.api.ledger import Ledger
from crawler.api.limiter import Limiter, SlotFile
from crawler.api.lookahead import WORKERS, Job, Lookahead
from crawler.api.quota import Quota
from crawler.api.reading import load_json
from crawler.api.transport import Request, Transport
from crawler.api.wire import WireAnswer
from runtime.clock import SystemClock
from runtime.errors import Stopped
from runtime.stop import Stop
from tests.waiting import eventually

SECONDS = 30.0  # for what other threads do: only a failure takes as long


class Echo:
    """Plays the server: answers with the path; holds back what the test holds back."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.arrived = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def get(self, path: str, params: Mapping[str, str]) -> WireAnswer:
        self.asked[path] += 1
        self.arrived.set()
        assert self.open.wait(30)
        return WireAnswer(200, {}, f'"{path}"'.encode())


class LidClock(SystemClock):
    """The computer's clock, with a lid that can be shut for a while."""

    shut_seconds = 0.0

    def now(self) -> float:
        return super().now() + self.shut_seconds


class Line:
    def __init__(self, latency_seconds: float) -> None:
        self.clock = clock = LidClock()
        self.server = Echo()
        self.stop = Stop(clock, ())
        limiter = Limiter(clock, self.stop, lambda: 1000.0, SlotFile(None))
        self.ledger = Ledger(clock, Quota(), [])
        self.transport = Transport(self.server, limiter, self.ledger, clock, self.stop)
        self.transport.latency_seconds = latency_seconds
        self.per_second = 5.0
        self.ahead = Lookahead(self.transport, self.stop, lambda: self.per_second, self.ledger.left_at_last_answer)

    def get(self, name: int) -> Any:
        return self.ahead.get(*job(name)).told

    def offer(self, *jobs: Job) -> None:
        self.transport.latency_seconds = 100.0  # answers that came at once have cut it
        self.ahead.offer(lambda: jobs)


def job(name: int) -> Job:
    return Request("getShop", f"/{name}"), load_json


@pytest.fixture
def slow() -> Iterator[Line]:
    line = Line(latency_seconds=100.0)
    yield line
    line.server.open.set()


def test_what_was_called_ahead_is_called_once_and_used_in_the_order_of_asking(slow: Line) -> None:
    slow.ahead.offer(lambda: [job(name) for name in range(WORKERS)])
    assert [slow.get(name) for name in reversed(range(WORKERS))] == [f"/{name}" for name in reversed(range(WORKERS))]
    assert slow.server.asked == Counter(f"/{name}" for name in range(WORKERS))


@pytest.mark.parametrize(("latency", "depth"), [(0.05, 0), (0.15, 2), (0.3, 2), (1.0, 6), (3.0, 16), (30.0, WORKERS)])
def test_as_many_calls_are_under_way_as_five_a_second_need(slow: Line, latency: float, depth: int) -> None:
    slow.transport.latency_seconds = latency
    assert slow.ahead.depth == depth


@pytest.mark.parametrize(
    ("per_second", "latency", "depth"),
    [(10, 1.0, 11), (10, 0.15, 3), (10, 0.05, 0), (1, 0.5, 0), (1, 1.0, 2), (1_000, 0.15, 3)],
)
def test_a_key_of_another_rate_has_as_many_calls_under_way_as_that_needs_and_steps_can_use(
    slow: Line, per_second: float, latency: float, depth: int
) -> None:
    slow.per_second, slow.transport.latency_seconds = per_second, latency
    assert slow.ahead.depth == depth


@pytest.mark.parametrize(("told", "depth"), [(None, 6), (1_000, 6), (151, 6), (150, 0), (0, 0)])
def test_the_last_hundred_calls_of_a_day_are_made_one_by_one(slow: Line, told: int | None, depth: int) -> None:
    slow.transport.latency_seconds = 1.0
    slow.ledger.hear(5000, told)  # of which fifty are left unused
    assert slow.ahead.depth == depth


def test_no_more_is_called_ahead_than_the_line_needs_twice(slow: Line) -> None:
    slow.transport.latency_seconds = 0.7  # of four calls
    slow.server.open.clear()
    slow.ahead.offer(lambda: [job(name) for name in range(50)])
    slow.ahead.offer(lambda: [job(name) for name in range(50)])
    slow.server.open.set()
    for name in range(8):
        slow.get(name)
    assert slow.server.asked == Counter(f"/{name}" for name in range(8))


def test_what_is_asked_for_first_is_called_however_many_answers_wait_behind_it(slow: Line) -> None:
    # The first pages of shops to come are there; then that of the shop under way tells how many more it has.
    number = 6 * WORKERS  # no call is begun further behind the next one at this latency
    waiting = [job(name) for name in range(number)]

    def all_wait() -> bool:
        slow.offer(*waiting)
        return all(slow.ahead.peek(request) is not None for request, _ in waiting)

    assert eventually(all_wait, SECONDS)
    slow.server.open.clear()
    in_front = [job(number + name) for name in range(WORKERS)]
    slow.offer(*in_front, *waiting, job(-1))
    assert eventually(lambda: all(slow.server.asked[request.path] for request, _ in in_front), SECONDS)
    slow.server.open.set()
    assert [slow.get(number + name) for name in range(WORKERS)] == [request.path for request, _ in in_front]
    assert slow.server.asked == Counter(request.path for request, _ in [*in_front, *waiting])


def test_nothing_is_called_ahead_where_answers_come_at_once() -> None:
    line = Line(latency_seconds=0.0)
    line.ahead.offer(lambda: [job(name) for name in range(50)])
    line.get(50)
    assert line.server.asked == Counter({"/50": 1})


def test_an_answer_that_is_not_needed_any_more_is_not_used(slow: Line) -> None:
    slow.ahead.offer(lambda: [job(0)])
    assert slow.server.arrived.wait(30)
    slow.ahead.offer(lambda: [job(1)])
    slow.get(0)
    assert slow.server.asked["/0"] == 2


def test_what_is_forgotten_is_called_again(slow: Line) -> None:
    slow.ahead.offer(lambda: [job(0)])
    assert slow.server.arrived.wait(30)
    slow.ahead.forget()
    slow.get(0)
    assert slow.server.asked["/0"] == 2


@pytest.mark.parametrize(("shut_seconds", "calls"), [(60.0, 1), (86_400.0, 2), (-86_400.0, 2)])
def test_an_answer_from_before_the_lid_was_shut_is_not_used(slow: Line, shut_seconds: float, calls: int) -> None:
    slow.ahead.offer(lambda: [job(0)])
    assert slow.server.arrived.wait(30)
    slow.clock.shut_seconds = shut_seconds
    slow.get(0)
    assert slow.server.asked["/0"] == calls


def test_a_stop_is_heard_while_an_answer_is_waited_for(slow: Line) -> None:
    slow.server.open.clear()

    def stop_once_called() -> None:
        assert slow.server.arrived.wait(30)
        slow.stop.ask("the test")

    threading.Thread(target=stop_once_called).start()
    with pytest.raises(Stopped):
        slow.get(0)
