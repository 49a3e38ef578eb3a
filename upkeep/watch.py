"""Beside a crawl: `alerts` now and then, in a process of its own: a slow mail server does not hold the crawl up."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runtime.clock import SystemClock
from runtime.door import PROGRAM
from runtime.errors import AlreadyRunning, CrawlError, Stopped
from runtime.repeated import Repeated
from runtime.settings import Settings
from upkeep.ends import noting_the_end

FIRST_SECONDS, EVERY_SECONDS = 30.0, 600.0
LOOK_SECONDS = 0.25
PATIENCE_SECONDS = 60.0
log = logging.getLogger(__name__)


@contextmanager
def watched(settings: Settings) -> Iterator[None]:
    """Run the block, which crawls; note how it ends, and with ALERTS set tell meanwhile what needs a person."""
    clock = SystemClock()
    wanted = bool(settings.alerts.get_secret_value())
    watch = Repeated("alerts", look, clock, EVERY_SECONDS, FIRST_SECONDS) if wanted else None
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
            look(lambda: None)
        raise
    finally:
        if watch:
            watch.end()


def look(check: Callable[[], None]) -> None:
    """Run `alerts` once, until it is done or takes too long, or `check` raises Stopped; what it fails of is logged."""
    command = [sys.executable, str(PROGRAM), "alerts"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as made:
        for _ in range(int(PATIENCE_SECONDS / LOOK_SECONDS)):
            try:
                _, told = made.communicate(timeout=LOOK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                try:
                    check()
                except Stopped:
                    made.kill()
                    raise
        else:
            made.kill()
            told = b"It took too long."
    if made.returncode:
        log.warning("Alerts could not be told: %s", told.decode("utf-8", "replace").strip())
