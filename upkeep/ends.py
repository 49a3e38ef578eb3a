"""How the crawl ended, noted in data/upkeep/crawl.json: a process that is gone tells nobody why."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from runtime.clock import Clock, iso
from runtime.errors import AlreadyRunning, CrawlError
from runtime.instance import is_running
from runtime.logs import redact
from runtime.settings import Home, Settings
from upkeep.notes import load_note, save_note

NAME = "crawl"
AT_WORK = -1
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class End:
    """When the crawl ended (ISO 8601 UTC), with which exit status, and why in words; or, AT_WORK, when it began."""

    at: str
    status: int
    words: str


@contextmanager
def noting_the_end(settings: Settings, clock: Clock) -> Iterator[None]:
    """Run the block, which crawls; note that it began, and how it ended."""
    home = Home(settings.crawler_home)
    if not is_running(home.lock):
        _note(home, End(iso(clock.now()), AT_WORK, ""))
    try:
        yield
    except AlreadyRunning:  # the other one's end is the crawl's
        raise
    except CrawlError as error:
        _note(home, End(iso(clock.now()), error.exit_status, redact(error.words(), settings.secrets)))
        raise
    except BaseException as error:
        _note(home, End(iso(clock.now()), 1, redact(f"{type(error).__name__}: {error}", settings.secrets)))
        raise
    else:
        _note(home, End(iso(clock.now()), 0, ""))


def load_end(home: Home) -> End | None:
    """Return how the crawl ended last, None where that is not known."""
    try:
        return End(**(load_note(home, NAME) or {}))
    except TypeError:
        return None


def _note(home: Home, end: End) -> None:
    try:
        save_note(home, NAME, asdict(end))
    except (CrawlError, OSError) as error:  # a disk that is full or gone is told by what it ended with
        log.debug("How the crawl stands is not noted: %s", error)
