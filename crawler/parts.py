"""What the commands need of a crawl without calling: its settings and files, and its database opened."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from peewee import Database
from rich.console import Console

from crawler.freshness import Freshness
from crawler.plan_files import PlanFiles
from crawler.store import state
from models import CRAWLER_MODELS, MIGRATIONS
from runtime import parts as common
from runtime.database import errors_in_words, transaction
from runtime.settings import Settings
from runtime.work import STOP_NAMES

log = logging.getLogger(__name__)


class Parts(common.Parts):
    """What the commands need of a crawl."""

    @property
    def freshness(self) -> Freshness:
        """How old rows may grow, by the settings."""
        return Freshness(self.settings.dynamic_max_age_days, self.settings.cycle_days)

    @property
    def files(self) -> PlanFiles:
        """The files that a person reads or edits."""
        return PlanFiles(self.home.data, self.home.checkpoints)


def build_parts(settings: Settings, console: Console) -> Parts:
    """Return the parts that need neither network nor database."""
    return Parts.build(settings, console, STOP_NAMES)


def open_for_writing(parts: Parts) -> Database:
    """Open the database and bring it up to date; from now on the work ends where the file is gone."""
    database = parts.open_for_writing(CRAWLER_MODELS, MIGRATIONS)
    if state.rubbish_keys():
        with transaction(database, parts.stop):
            forgotten = state.forget_rubbish()
        log.warning("What sync_state said of %s made no sense and is learnt anew.", ", ".join(forgotten))
    return database


@contextmanager
def reading(parts: Parts) -> Iterator[None]:
    """Have the database open for looking in the block; what it says of itself becomes one of our errors."""
    database = parts.open_for_reading(CRAWLER_MODELS)
    try:
        with errors_in_words(parts.database_path):
            yield
    finally:
        database.close()
