"""The pictures' sub-commands: from arguments to words on the terminal."""

from __future__ import annotations

from functools import partial

from peewee import Database
from rich.console import Console

from imaging import report
from imaging.audit import FileAudit
from imaging.beside import Companion
from imaging.download import Standing
from imaging.files import PictureFiles
from imaging.layout import Layout
from imaging.store import queue
from imaging.wiring import KILL_DL, build_downloads, build_parts, open_for_writing
from runtime.findings import FileChecks
from runtime.progress import Progress
from runtime.rate import Looked
from runtime.settings import Home, Settings
from runtime.stop import Stop
from runtime.work import DOWNLOADS, STOP_NAMES, at_work

TITLE = "pictures"
COUNT_SECONDS = 5.0


def download(settings: Settings, console: Console) -> int:
    """Download what is queued, until nothing is left whose time has come, or until stopped; exit status 0."""
    parts = build_parts(settings, console, (*STOP_NAMES, KILL_DL))
    with at_work(parts, DOWNLOADS, partial(open_for_writing, parts)) as database:
        with Progress(console, parts.clock, TITLE) as progress:
            waiting = Looked(parts.clock, COUNT_SECONDS, lambda: queue.waiting(parts.clock.now()))

            def observe(standing: Standing) -> None:
                if progress.due():
                    progress.show(report.progress_in_words(standing, *waiting.value(), parts.clock.now()))

            downloads = build_downloads(settings, parts.layout, database, parts.clock, parts.stop, observe)
            standing = downloads.run(for_ever=False)
        queued, _ = queue.waiting(parts.clock.now())
        words = report.closing_words(standing, queued, queue.next_retry_at(parts.clock.now()), parts.stop.reason)
        console.print(words, highlight=False, soft_wrap=True)
    return 0


def beside(settings: Settings, console: Console, database: Database, crawl_stop: Stop) -> Companion:
    """Return the downloads that run beside a crawl, in its process and on its database."""
    return Companion(build_parts(settings, console), database, crawl_stop)


def files(settings: Settings) -> PictureFiles:
    """Return the pictures' bytes for whoever makes something of them."""
    return PictureFiles(Layout(Home(settings.crawler_home).images), settings.min_free_gb)


def file_checks(settings: Settings) -> FileChecks:
    """Return the checks by which VERIFY holds the picture files and their rows together."""
    return FileAudit(Layout(Home(settings.crawler_home).images)).checks()
