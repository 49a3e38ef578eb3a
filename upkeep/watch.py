"""Beside a crawl: `alerts` now and then, in a process of its own: a slow mail server does not hold the crawl up."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.clock import Clock, SystemClock
from runtime.errors import AlreadyRunning, CrawlError
from runtime.settings import Settings
from upkeep.ends import noting_the_end

RUN = Path(__file__).resolve().parent.parent / "run.py"
FIRST_SECONDS, EVERY_SECONDS = 30.0, 600.0
LOOK_SECONDS = 0.25
PATIENCE_SECONDS = 60.0
log = logging.getLogger(__name__)


@contextmanager
def watched(settings: Settings) -> Iterator[None]:
    """Run the block, which crawls; note how it ends, and with ALERTS set tell meanwhile what needs a person."""
    clock = SystemClock()
    watch = Watch(clock) if settings.alerts.get_secret_value() else None
    if watch:
        watch.start()
    try:
        with noting_the_end(settings, clock):
            yield
    except AlreadyRunning:
        raise
    except CrawlError:
        if watch:
            watch.end()
            look(threading.Event())
        raise
    finally:
        if watch:
            watch.end()


class Watch:
    """A thread that looks every ten minutes, the first time after a moment."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """End, and leave no process behind."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        pause = FIRST_SECONDS
        while not self._clock.wait(self._ended, pause):
            look(self._ended)
            pause = EVERY_SECONDS


def look(ended: threading.Event) -> None:
    """Run `alerts` once, until it is done, takes too long, or the event is set; what it fails of is logged."""
    command = [sys.executable, str(RUN), "alerts"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as made:
        for _ in range(int(PATIENCE_SECONDS / LOOK_SECONDS)):
            try:
                _, told = made.communicate(timeout=LOOK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                if ended.is_set():
                    made.kill()
        else:
            made.kill()
            told = b"It took too long."
    if made.returncode and not ended.is_set():
        log.warning("Alerts could not be told: %s", told.decode("utf-8", "replace").strip())
