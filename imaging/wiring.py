"""The composition root of the pictures: builds the parts from the settings and passes them to each other."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
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
from runtime.clock import Clock, SystemClock
from runtime.database import database_path, open_database, open_read_only, transaction
from runtime.settings import Home, Settings
from runtime.stop import Stop
from runtime.work import STOP_NAMES

CACHE_KB = 2_048
KILL_DL = "KILL_DL"


@dataclass(frozen=True, slots=True)
class Parts:
    """What every command on pictures needs."""

    settings: Settings
    home: Home
    layout: Layout
    clock: Clock
    stop: Stop
    console: Console

    @property
    def database_path(self) -> Path | None:
        """The SQLite file, None where the database is a server's."""
        return database_path(self.settings.database_url.get_secret_value(), self.home.root)


def build_parts(settings: Settings, console: Console, kill_names: tuple[str, ...] = STOP_NAMES) -> Parts:
    """Return the parts that need neither network nor database; the kill files with these names stop the work."""
    clock, home = SystemClock(), Home(settings.crawler_home)
    return Parts(settings, home, Layout(home.images), clock, Stop(clock, home.kill_files(*kill_names)), console)


def open_for_writing(parts: Parts) -> Database:
    """Open the database and bring it up to date; from now on the work ends where the file is gone."""
    url, root = parts.settings.database_url.get_secret_value(), parts.home.root
    database = open_database(url, root, CRAWLER_MODELS, MIGRATIONS, parts.stop)
    parts.stop.need(*(path for path in (parts.home.data, parts.database_path) if path is not None))
    return database


def open_for_reading(parts: Parts) -> Database:
    """Open the database for looking only."""
    return open_read_only(parts.settings.database_url.get_secret_value(), parts.home.root, CRAWLER_MODELS)


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
