"""Calls that are certain to be needed, made while the step before is stored; used in order, dropped at a stop."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from itertools import islice
from typing import Any

from crawler.api.transport import Request, Transport
from runtime.stop import Stop

WORKERS = 40  # ten calls a second, as old keys have, each of which takes up to four; five, each up to eight
FURTHEST = 100  # behind the next call, where one is begun: answers that wait to be asked for may lie between them
AT_ONCE_SECONDS = 0.1  # calling ahead what comes within that would gain less than steps take themselves
WORK_SECONDS = 0.1  # what a step may take beside its call, so that the next one does not come late
LOOK_SECONDS = 0.1  # between two looks at what has come while an answer is waited for
LAST_CALLS = 100  # of a day: one at a time, since what was called ahead of the last is made again a day later
STALE_SECONDS = 300.0  # an answer from before the lid was shut must not pass for a new one
Job = tuple[Request, Callable[[bytes], Any]]


class Lookahead:
    """A few threads that call ahead. Whoever waits here hears a stop within a tenth of a second.

    It decides nothing: a state offers what it will surely ask for. `rate` tells how many calls a second are allowed,
    `left` how many today, None where no answer has told.
    With no workers every call is made by the thread that asks, which is what a simulation wants.
    """

    def __init__(
        self,
        transport: Transport,
        stop: Stop,
        rate: Callable[[], float],
        left: Callable[[], int | None],
        workers: int = WORKERS,
    ) -> None:
        self._transport = transport
        self._stop = stop
        self._rate = rate
        self._left = left
        self._workers = workers
        self._threads = self._deepest = 0
        self._offered: Callable[[], Iterable[Job]] = tuple
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Any]]] = queue.SimpleQueue()
        self._ahead: dict[Request, tuple[Future[Any], float]] = {}

    @property
    def depth(self) -> int:
        """How many calls under way keep the line busy at the present latency.

        0 where answers come at once, and where the day ends before anything can be gained.
        """
        latency, left = self._transport.latency_seconds, self._left()
        if latency <= AT_ONCE_SECONDS or (left is not None and left <= LAST_CALLS):
            return 0
        # However many calls are allowed, steps use no more than come out of their work.
        spacing = max(1.0 / self._rate(), WORK_SECONDS)
        busy = latency + WORK_SECONDS
        return min(self._workers, math.ceil(busy / spacing)) if busy > spacing else 0

    @property
    def reach(self) -> int:
        """How many calls are to be named so that all that were ever begun are among them; 0 as above."""
        return 2 * max(self._deepest, self.depth) if self.depth else 0

    def offer(self, jobs: Callable[[], Iterable[Job]]) -> None:
        """Begin the calls that are not under way yet, as far as the line has room; drop those not named any more.

        `jobs` names all that is certain, what is asked for first before the rest; it is asked again while an answer
        is waited for, since others that come meanwhile may tell more. Answers that are there and wait to be asked for
        take no room: the first page of a shop, or of an interval, can be one of many, and the others come between it
        and what was called ahead behind it, however many wait there.
        """
        self._offered = jobs
        self._begin_offered()

    def _begin_offered(self, awaited: Request | None = None) -> None:
        depth = self.depth
        if not depth:
            return
        self._deepest = max(self._deepest, depth)
        named, under_way = dict(self._offered()), 0
        self._drop([request for request in self._ahead if request not in named and request != awaited])
        for request, read in islice(named.items(), max(FURTHEST, 3 * self.reach)):
            if request not in self._ahead:
                if under_way >= 2 * depth:
                    return
                self._begin(request, read)
            under_way += not self._ahead[request][0].done()

    def peek(self, request: Request) -> Any:
        """Return an answer that is there already, None where it is not, or is no answer; it stays to be asked for."""
        future = self._ahead[request][0] if request in self._ahead else None
        return future.result() if future is not None and future.done() and future.exception() is None else None

    def get(self, request: Request, read: Callable[[bytes], Any]) -> Any:
        """Return the answer, at once where it was called ahead; raises what Transport.send raises."""
        if not self._workers:
            return self._transport.send(request, read)
        self._drop_stale()
        if request not in self._ahead:
            self._begin(request, read)
        future = self._ahead[request][0]
        wait([future], LOOK_SECONDS)
        while not future.done():
            self._stop.attend()
            self._begin_offered(request)
            wait([future], LOOK_SECONDS)
        del self._ahead[request]
        self._offered = tuple  # what comes next is named by the next step, which knows this answer
        return future.result()

    def forget(self) -> None:
        """Drop what was called ahead and will not be asked for."""
        self._offered = tuple
        self._drop(list(self._ahead))

    def _drop_stale(self) -> None:
        now = self._stop.clock.now()
        self._drop([request for request, (_, born_at) in self._ahead.items() if abs(now - born_at) > STALE_SECONDS])

    def _drop(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._ahead.pop(request)[0].cancel()  # one that no thread has taken up yet is not made at all

    def _begin(self, request: Request, read: Callable[[bytes], Any]) -> None:
        future: Future[Any] = Future()
        self._ahead[request] = (future, self._stop.clock.now())
        under_way = sum(not future.done() for future, _ in self._ahead.values())
        if self._threads < min(self._workers, under_way):
            threading.Thread(target=self._work, name=f"call-{self._threads}", daemon=True).start()
            self._threads += 1
        self._jobs.put(((request, read), future))

    def _work(self) -> None:
        while True:
            (request, read), future = self._jobs.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._transport.send(request, read))
            except BaseException as error:
                future.set_exception(error)
