"""Calls that are certain to be needed, made while the step before is stored; used in order, dropped at a stop."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from typing import Any

from crawler.api.transport import Request, Transport
from runtime.stop import SLICE_SECONDS, Stop

WORKERS = 20  # five calls a second, each of which takes up to four
SPACING_SECONDS = 0.2
WORK_SECONDS = 0.1  # what a step may take beside its call, so that the next one does not come late
STALE_SECONDS = 300.0  # an answer from before the lid was shut must not pass for a new one
Job = tuple[Request, Callable[[Any], Any]]


class Lookahead:
    """A few threads that call ahead. Whoever waits here hears a stop within a quarter of a second.

    It decides nothing: a state offers what it will surely ask for. With no workers every call is made by the
    thread that asks, which is what a simulation wants.
    """

    def __init__(self, transport: Transport, stop: Stop, workers: int = WORKERS) -> None:
        self._transport = transport
        self._stop = stop
        self._workers = workers
        self._threads = 0
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Any]]] = queue.SimpleQueue()
        self._ahead: dict[Request, tuple[Future[Any], float]] = {}

    @property
    def depth(self) -> int:
        """How many calls under way keep the line busy at the present latency; 0 where answers come at once."""
        busy = self._transport.latency_seconds + WORK_SECONDS
        return min(self._workers, math.ceil(busy / SPACING_SECONDS)) if busy > SPACING_SECONDS else 0

    @property
    def reach(self) -> int:
        """How many calls it takes to name all for which there is room or that are under way; 0 as above."""
        return max(2 * self.depth, len(self._ahead)) if self.depth else 0

    def offer(self, jobs: Iterable[Job]) -> None:
        """Begin the calls that are not under way yet, as far as the line has room; drop those not named any more.

        `jobs` names all that is certain, what is asked for first before the rest. There is room for as many again as
        are under way: the first page of a shop, or of an interval, can be one of many, and the others come between
        it and what was called ahead behind it.
        """
        if not self.depth:
            return
        named = dict(jobs)
        self._drop([request for request in self._ahead if request not in named])
        for request, parse in named.items():
            if len(self._ahead) >= 2 * self.depth:
                return
            if request not in self._ahead:
                self._begin(request, parse)

    def get(self, request: Request, parse: Callable[[Any], Any]) -> Any:
        """Return the answer, at once where it was called ahead; raises what Transport.send raises."""
        if not self._workers:
            return self._transport.send(request, parse)
        self._drop_stale()
        if request not in self._ahead:
            self._begin(request, parse)
        future = self._ahead[request][0]
        while not future.done():
            self._stop.attend()
            wait([future], SLICE_SECONDS)
        del self._ahead[request]
        return future.result()

    def forget(self) -> None:
        """Drop what was called ahead and will not be asked for."""
        self._drop(list(self._ahead))

    def _drop_stale(self) -> None:
        now = self._stop.clock.now()
        self._drop([request for request, (_, born_at) in self._ahead.items() if abs(now - born_at) > STALE_SECONDS])

    def _drop(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._ahead.pop(request)[0].cancel()  # one that no thread has taken up yet is not made at all

    def _begin(self, request: Request, parse: Callable[[Any], Any]) -> None:
        future: Future[Any] = Future()
        self._ahead[request] = (future, self._stop.clock.now())
        if self._threads < min(self._workers, len(self._ahead)):
            threading.Thread(target=self._work, name=f"call-{self._threads}", daemon=True).start()
            self._threads += 1
        self._jobs.put(((request, parse), future))

    def _work(self) -> None:
        while True:
            (request, parse), future = self._jobs.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._transport.send(request, parse))
            except BaseException as error:
                future.set_exception(error)
