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

WORKERS = 5  # ceil(5 calls/s x the latency of a slow answer)
WINDOW = 6
SPACING_SECONDS = 0.2
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
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Any]]] = queue.SimpleQueue()
        self._ahead: dict[Request, tuple[Future[Any], int, float]] = {}
        self._asked = 0
        for number in range(workers):
            threading.Thread(target=self._work, name=f"call-{number}", daemon=True).start()

    @property
    def depth(self) -> int:
        """How many calls ahead keep the line busy at the present latency; 0 where answers come at once."""
        latency = self._transport.latency_seconds
        return min(WINDOW, math.ceil(latency / SPACING_SECONDS)) if latency > SPACING_SECONDS else 0

    def offer(self, jobs: Iterable[Job]) -> None:
        """Begin the calls that are not under way yet, as far as the window allows."""
        if not self._workers:
            return
        for request, parse in jobs:
            if len(self._ahead) >= self.depth:
                return
            if request not in self._ahead:
                self._begin(request, parse)

    def get(self, request: Request, parse: Callable[[Any], Any]) -> Any:
        """Return the answer, at once where it was called ahead; raises what Transport.send raises."""
        if not self._workers:
            return self._transport.send(request, parse)
        self._drop_unclaimed()
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
        self._ahead.clear()

    def _drop_unclaimed(self) -> None:
        """Forget answers that were expected to be asked for long ago: they grow stale and take up the window."""
        self._asked += 1
        now = self._stop.clock.now()
        for request, (_, born, born_at) in list(self._ahead.items()):
            if self._asked - born > 2 * WINDOW or abs(now - born_at) > STALE_SECONDS:
                del self._ahead[request]

    def _begin(self, request: Request, parse: Callable[[Any], Any]) -> None:
        future: Future[Any] = Future()
        self._ahead[request] = (future, self._asked, self._stop.clock.now())
        self._jobs.put(((request, parse), future))

    def _work(self) -> None:
        while True:
            (request, parse), future = self._jobs.get()
            try:
                future.set_result(self._transport.send(request, parse))
            except BaseException as error:
                future.set_exception(error)
