"""The threads that bring pictures: what they are handed, what they hand back, and how they hold still."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator

from imaging.courtesy import Courtesy
from imaging.outcomes import OUTCOMES
from imaging.store.queue import Wanted
from imaging.worker import PictureWorker, Result
from runtime.clock import Clock
from runtime.errors import Stopped
from runtime.stop import Stop

LEAVE_SECONDS = 3.0
log = logging.getLogger(__name__)


class Crew:
    """Some threads that bring pictures, one each at a time, unless the courtesy says to hold still."""

    def __init__(self, worker: PictureWorker, courtesy: Courtesy, clock: Clock, stop: Stop, size: int) -> None:
        self._worker = worker
        self._courtesy = courtesy
        self._clock = clock
        self._stop = stop
        self._jobs: queue.SimpleQueue[Wanted | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"picture-{number}", daemon=True) for number in range(size)
        ]

    def begin(self) -> None:
        """Start the threads."""
        for thread in self._threads:
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

    def results(self, wait_seconds: float) -> Iterator[Result]:
        """Return what has come; waits so long for the first. Raises what a thread died of."""
        try:
            result = self._results.get(timeout=wait_seconds) if wait_seconds else self._results.get_nowait()
            while True:
                if isinstance(result, BaseException):
                    raise result
                yield result
                result = self._results.get_nowait()
        except queue.Empty:
            return

    def leave(self) -> None:
        """Let each thread finish what it holds, for a moment; one whose host never answers is left behind."""
        self.recall()
        for _ in self._threads:
            self._jobs.put(None)
        end = self._clock.monotonic() + LEAVE_SECONDS
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, end - self._clock.monotonic()))

    def _work(self) -> None:
        while (wanted := self._jobs.get()) is not None:
            try:
                left = self._courtesy.until - self._clock.monotonic()
                if left > 0:
                    self._stop.pause(left)
                if not self._stop.is_known() and (result := self._worker.bring(wanted)):
                    self._judge(result)
                    self._results.put(result)
            except Stopped:
                continue
            except BaseException as error:
                self._results.put(error)
                return

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
