"""Being at work on a home beside the crawl: one process for each kind of work, with logs, signals, words for errors.

KILL files are shared with a crawl and with other work: who is at work last removes them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager

from peewee import Database

from runtime.database import in_words
from runtime.errors import Bug, CrawlError, Stopped
from runtime.instance import at_work_on, is_running
from runtime.logs import redact, set_up_logs
from runtime.parts import Parts
from runtime.settings import Home

STOP_NAMES = ("KILL", "KILL_SD")
CRAWL = "crawler"
DOWNLOADS, ARCHIVE, PRIMARY, EMBED, INDEX = "downloads", "archive", "primary", "embed", "index"
BACKUP, MIRROR, MIRROR_TARS = "backup", "mirror", "mirror-tars"
PUBLISH, PUBLISH_SERVE = ("publish", "publish-2", "publish-3", "publish-4"), "publish-serve"
"""The places of the workers that a home may have at the same time, and the webhooks' endpoint."""
WORKS = (DOWNLOADS, ARCHIVE, PRIMARY, EMBED, INDEX, BACKUP, MIRROR, MIRROR_TARS, *PUBLISH, PUBLISH_SERVE)
"""Work beside the crawl; each name is also that of its lock and log."""
LINGER_SECONDS = 0.5
log = logging.getLogger(__name__)


@contextmanager
def at_work(parts: Parts, work: str, open_for_writing: Callable[[], Database]) -> Iterator[Database]:
    """Be the one process that does this work on this home; the block gets the open database.

    Stopped ends the block quietly. What nobody foresaw is logged with its traceback and raised as a Bug.
    """
    with at_work_on(parts.home, parts.home.lock_of(work), parts.clock):
        set_up_logs(parts.home.logs, work, parts.settings.secrets, parts.console)
        parts.stop.clear_old_files(keep=meant_for_others(parts.home, work))
        with parts.stop.signals():
            try:
                database = open_for_writing()
            except Stopped:  # it waited for another process that held the database
                _obey(parts, work)
                raise
            with _errors_in_words(parts, work), closing(database):
                yield database
        _obey(parts, work)


@contextmanager
def _errors_in_words(parts: Parts, work: str) -> Iterator[None]:
    """End the block quietly where it was stopped; raise whatever it dies of as one of our errors."""
    try:
        yield
    except Stopped:
        log.info("Stopping.")
    except CrawlError:
        raise
    except Exception as error:
        raise in_words(error, parts.database_path) or _bug(parts, work, error) from error


def _obey(parts: Parts, work: str) -> None:
    if is_running(parts.home.lock):
        # The downloads of a crawl, waiting for this work's end, must have seen KILL_DL before it goes.
        parts.clock.wait(threading.Event(), LINGER_SECONDS)
    parts.stop.obeyed(keep=meant_for_others(parts.home, work))


def meant_for_others(home: Home, own: str = "") -> Collection[str]:
    """Return the KILL files that somebody else at work than `own` has yet to see."""
    return STOP_NAMES if any(is_running(home.lock_of(name)) for name in (CRAWL, *WORKS) if name != own) else ()


def _bug(parts: Parts, work: str, error: Exception) -> Bug:
    log.error("Crashed.", exc_info=error)
    what = redact(f"{type(error).__name__}: {error}", parts.settings.secrets)
    return Bug(
        f"This is a bug of the program ({what}).",
        advice=f"The traceback is in {parts.home.logs / work}.log; nothing is lost: the same command goes on.",
    )
