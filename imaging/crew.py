"""The threads that bring pictures: what they are handed, what they hand back, and how they hold still."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator

from imaging.courtesy import Courtesy
from imaging.outcomes import OUTCOMES
from imaging.store.queue import Wanted
from imaging.worker import Brought, PictureWorker, Result
from runtime.clock import Clock
from runtime.errors import Stopped
from runtime.stop import Stop

STORING = 2
LEAVE_SECONDS, STORE_SECONDS = 3.0, 0.1
log = logging.getLogger(__name__)


class Crew:
    """`size` threads that fetch, one picture each at a time unless the courtesy says to hold still; two that store.

    So a connection asks for the next picture while the last one is decoded.
    """

    def __init__(self, worker: PictureWorker, courtesy: Courtesy, clock: Clock, stop: Stop, size: int) -> None:
        self._worker = worker
        self._courtesy = courtesy
        self._clock = clock
        self._stop = stop
        self._jobs: queue.SimpleQueue[Wanted | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
        self._brought: queue.SimpleQueue[Brought | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(size + STORING)  # of pictures in memory
        self._closed = False
        self._fetching = [self._thread(self._fetch, number) for number in range(size)]
        self._storing = [self._thread(self._store, size + number) for number in range(STORING)]

    def begin(self) -> None:
        """Start the threads."""
        for thread in (*self._fetching, *self._storing):
            thread.start()

    def hand_out(self, wanted: Wanted) -> None:
        """Have the picture brought when its turn comes."""
        self._jobs.put(wanted)

    def recall(self) -> list[Wanted]:
        """Return what nobody has begun with; it is not brought any more."""
        back: list[Wanted] = []
        while True:
            try:
                wanted = self._jobs.get_nowait()
            except queue.Empty:
                return back
            if wanted is not None:
                back.append(wanted)

    def results(self) -> Iterator[Result]:
        """Return what has come, and wait for nothing; raises what a thread died of."""
        while True:
            try:
                result = self._results.get_nowait()
            except queue.Empty:
                return
            if isinstance(result, BaseException):
                raise result
            yield result

    def leave(self) -> None:
        """Let each thread finish what it holds, for a moment; one whose host never answers is left behind."""
        self.recall()
        end = self._clock.monotonic() + LEAVE_SECONDS
        for waiting_for, threads in ((self._jobs, self._fetching), (self._brought, self._storing)):
            for _ in threads:
                waiting_for.put(None)
            for thread in threads:
                if thread.is_alive():
                    thread.join(max(STORE_SECONDS, end - self._clock.monotonic()))
        self._closed = True

    def _thread(self, work: Callable[[], None], number: int) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                self._results.put(error)

        return threading.Thread(target=run, name=f"picture-{number}", daemon=True)

    def _fetch(self) -> None:
        while (wanted := self._jobs.get()) is not None:
            left = self._courtesy.until - self._clock.monotonic()
            if left > 0:
                with contextlib.suppress(Stopped):
                    self._stop.pause(left)
            if self._stop.is_known():
                continue
            self._room.acquire()
            come = self._worker.fetch(wanted)
            if isinstance(come, Brought):
                self._brought.put(come)
                continue
            self._room.release()
            if come is not None:
                self._tell(come)

    def _store(self) -> None:
        while (brought := self._brought.get()) is not None:
            if not self._closed:
                self._tell(self._worker.store(brought))
            self._room.release()

    def _tell(self, result: Result) -> None:
        self._judge(result)
        self._results.put(result)

    def _judge(self, result: Result) -> None:
        """Let the courtesy know how the host took it."""
        if result.disk:
            return
        if not result.outcome or not OUTCOMES[result.outcome].server:
            self._courtesy.came()
            return
        now = self._clock.monotonic()
        if self._courtesy.failed(result.began, now, result.wait_seconds, result.outcome == "busy"):
            pause = self._courtesy.until - now
            log.warning("The picture host: %s. Asking again in %.0f s.", result.words or result.outcome, pause)
