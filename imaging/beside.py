"""The downloads beside a crawl: a thread of the same process, with a stop of its own.

It holds the same lock as `run.py download`. Where that command runs already, it waits until it may take over.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from peewee import Database

from imaging import report
from imaging.download import Standing
from imaging.wiring import KILL_DL, Parts, build_downloads
from runtime.clock import iso
from runtime.errors import AlreadyRunning, OperatorNeeded, Stopped
from runtime.instance import single_instance
from runtime.stop import Stop
from runtime.work import DOWNLOADS

DOWNLOADING = "downloading"
LOCK_PAUSE_SECONDS = 5.0
LEAVE_SECONDS = 5.0
log = logging.getLogger(__name__)


class Companion:
    """Downloads in a thread until the crawl stops, or KILL_DL stops the downloads alone."""

    def __init__(self, parts: Parts, database: Database, crawl_stop: Stop) -> None:
        self._parts = parts
        self._database = database
        self._crawl_stop = crawl_stop
        self._stop = Stop(parts.clock, parts.home.kill_files(KILL_DL), parent=crawl_stop)
        self._thread = threading.Thread(target=self._run, name="downloads", daemon=True)
        self._standing: Standing | None = None
        self._state = "not begun"
        self._error: BaseException | None = None
        self._over = False

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Download while the block lasts; what the downloads died of is raised at its end."""
        self._thread.start()
        try:
            yield
        finally:
            self._over = True
            self._stop.ask("the end of the crawl")
            self._thread.join(LEAVE_SECONDS)
        if self._error is not None:
            raise self._error

    def tell(self, queued: int) -> str:
        """Return where the downloads stand, in a line; so many rows are queued."""
        standing = self._standing
        if standing is None or self._state != DOWNLOADING:
            return self._state
        words = [f"{standing.per_second:.1f} a second"]
        if standing.failed:
            words.append(f"failed: {report.failures_in_words(standing.failed)}")
        if standing.held:
            words.append(f"waiting: {standing.held}")
        elif queued and standing.per_second > 0:
            words.append(f"done about {iso(self._parts.clock.now() + queued / standing.per_second)}")
        return ", ".join(words)

    def _run(self) -> None:
        try:
            with contextlib.suppress(Stopped), self._database.connection_context():
                self._wait_for_the_lock()
            if not self._over and not self._crawl_stop.requested():
                self._stop.obeyed()
                log.info("Downloads stopped by %s; the crawl goes on. Go on: run.py download.", self._stop.reason)
        except BaseException as error:
            self._error = error
            # Loud, and soon: a crawl whose downloads are dead would look well for months.
            self._crawl_stop.ask("a failure of the downloads")
        finally:
            self._state = "stopped"

    def _wait_for_the_lock(self) -> None:
        with contextlib.suppress(OperatorNeeded):  # one that cannot be removed keeps the downloads alone from beginning
            self._stop.clear_old_files()
        told = False
        while True:
            try:
                with single_instance(self._parts.home.lock_of(DOWNLOADS), self._parts.clock):
                    return self._download()
            except AlreadyRunning as error:
                if not told:
                    log.info("Pictures are downloaded by another process. %s", error)
                told, self._state = True, "left to another process"
                self._stop.pause(LOCK_PAUSE_SECONDS)

    def _download(self) -> None:
        self._state = DOWNLOADING
        parts = self._parts
        downloads = build_downloads(
            parts.settings, parts.layout, self._database, parts.clock, self._stop, self._observe
        )
        self._standing = downloads.run(for_ever=True)

    def _observe(self, standing: Standing) -> None:
        self._standing = standing
