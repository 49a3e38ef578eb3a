"""The composition root of the pictures: builds the parts from the settings and passes them to each other."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from peewee import Database, SqliteDatabase
from PIL import Image
from rich.console import Console

from imaging.courtesy import Courtesy
from imaging.crew import Crew
from imaging.disk import Disk
from imaging.download import Downloads, Standing
from imaging.fetch import Fetcher
from imaging.layout import Layout
from imaging.store import queue
from imaging.worker import PictureWorker
from models import CRAWLER_MODELS, MIGRATIONS
from runtime import parts as common
from runtime.clock import Clock
from runtime.database import transaction
from runtime.settings import Settings
from runtime.stop import Stop
from runtime.work import STOP_NAMES

CACHE_KB = 2_048
KILL_DL = "KILL_DL"


class Parts(common.Parts):
    """What every command on pictures needs."""

    @property
    def layout(self) -> Layout:
        """The folders of the pictures."""
        return Layout(self.home.images)


def build_parts(settings: Settings, console: Console, kill_names: tuple[str, ...] = STOP_NAMES) -> Parts:
    """Return the parts that need neither network nor database; the kill files with these names stop the work."""
    return Parts.build(settings, console, kill_names)


def open_for_writing(parts: Parts) -> Database:
    """Open the database and bring it up to date; from now on the work ends where the file is gone."""
    return parts.open_for_writing(CRAWLER_MODELS, MIGRATIONS)


def build_downloads(
    settings: Settings,
    layout: Layout,
    database: Database,
    clock: Clock,
    stop: Stop,
    observe: Callable[[Standing], None],
) -> Downloads:
    """Return the downloads; the database is open, in the thread that will run them."""
    if isinstance(database, SqliteDatabase):
        # Rows are touched in the order of their ids, once: a large cache would only fill up, and bring nothing.
        sqlite: Any = database  # its type stubs leave the property out
        sqlite.cache_size = -CACHE_KB
    # Pillow only warns of a picture that is too large for its taste; the check wants to hear of it.
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
    store, workers = layout.downloaded, settings.download_workers
    courtesy = Courtesy(workers)
    fetcher = Fetcher(settings.etsy_cdn_url, clock, stop)
    worker = PictureWorker(settings.etsy_cdn_url, fetcher, store, clock)
    return Downloads(
        Crew(worker, courtesy, clock, stop, workers),
        courtesy,
        store,
        Disk(store, settings.min_free_gb, queue.any_loose),
        partial(transaction, database, stop),
        clock,
        stop,
        workers,
        observe,
    )
