"""The pictures' sub-commands: from arguments to words on the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from peewee import Database, PeeweeException
from rich.console import Console

from imaging import report
from imaging.audit import FileAudit
from imaging.beside import Companion
from imaging.download import Standing
from imaging.layout import Layout
from imaging.store import queue
from imaging.wiring import DOWNLOADS, STOP_NAMES, Parts, build_downloads, build_parts, open_for_writing
from runtime.database import database_path, in_words
from runtime.errors import Stopped
from runtime.findings import FileChecks
from runtime.instance import is_running, single_instance
from runtime.logs import set_up_logs
from runtime.progress import Progress
from runtime.settings import Home, Settings
from runtime.stop import Stop

DOWNLOAD_STOP_NAMES = (*STOP_NAMES, "KILL_DL")
TITLE = "pictures"


def download(settings: Settings, console: Console) -> int:
    """Download what is queued, until nothing is left whose time has come, or until stopped; exit status 0."""
    parts = build_parts(settings, console, DOWNLOAD_STOP_NAMES)
    with _at_work(parts, DOWNLOADS):
        database = open_for_writing(parts)
        with Progress(console, parts.clock, TITLE) as progress:

            def observe(standing: Standing) -> None:
                if progress.due():
                    now = parts.clock.now()
                    progress.show(report.progress_in_words(standing, *queue.waiting(now), now))

            downloads = build_downloads(settings, parts.layout, database, parts.clock, parts.stop, observe)
            standing = downloads.run(for_ever=False)
        queued, _ = queue.waiting(parts.clock.now())
        words = report.closing_words(standing, queued, queue.next_retry_at(parts.clock.now()), parts.stop.reason)
        database.close()
        console.print(words, highlight=False, soft_wrap=True)
    return 0


def beside(settings: Settings, console: Console, database: Database, crawl_stop: Stop) -> Companion:
    """Return the downloads that run beside a crawl, in its process and on its database."""
    return Companion(build_parts(settings, console), database, crawl_stop)


def file_checks(settings: Settings) -> FileChecks:
    """Return the checks by which VERIFY holds the picture files and their rows together."""
    return FileAudit(Layout(Home(settings.crawler_home).images)).checks()


@contextmanager
def _at_work(parts: Parts, work: str) -> Iterator[None]:
    """Be the one process that does this work on this home, with logs and signals, and errors in words."""
    with single_instance(parts.home.lock_of(work), parts.clock):
        set_up_logs(parts.home.logs, work, parts.settings.secrets, parts.console)
        parts.stop.clear_old_files(keep=_meant_for_the_crawler(parts))
        with parts.stop.signals():
            try:
                yield
            except Stopped:
                pass
            except PeeweeException as error:
                path = database_path(parts.settings.database_url.get_secret_value(), parts.home.root)
                raise in_words(error, path) from error
        parts.stop.obeyed(keep=_meant_for_the_crawler(parts))


def _meant_for_the_crawler(parts: Parts) -> Collection[str]:
    """Return the KILL files that a running crawler has yet to see; it removes them itself."""
    return STOP_NAMES if is_running(parts.home.lock) else ()
