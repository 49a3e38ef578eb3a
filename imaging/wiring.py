"""The composition root of the pictures: builds the parts from the settings and passes them to each other."""

from __future__ import annotations

from dataclasses import dataclass

from peewee import Database
from rich.console import Console

from imaging.layout import Layout
from models import CRAWLER_MODELS, MIGRATIONS
from runtime.clock import Clock, SystemClock
from runtime.database import open_database, open_read_only
from runtime.settings import Home, Settings
from runtime.stop import Stop

STOP_NAMES = ("KILL", "KILL_SD")


@dataclass(frozen=True, slots=True)
class Parts:
    """What every command on pictures needs."""

    settings: Settings
    home: Home
    layout: Layout
    clock: Clock
    stop: Stop
    console: Console


def build_parts(settings: Settings, console: Console, kill_names: tuple[str, ...] = STOP_NAMES) -> Parts:
    """Return the parts that need neither network nor database; the kill files with these names stop the work."""
    clock, home = SystemClock(), Home(settings.crawler_home)
    return Parts(settings, home, Layout(home.images), clock, Stop(clock, home.kill_files(*kill_names)), console)


def open_for_writing(parts: Parts) -> Database:
    """Open the database and bring it up to date."""
    return open_database(parts.settings.database_url.get_secret_value(), parts.home.root, CRAWLER_MODELS, MIGRATIONS)


def open_for_reading(parts: Parts) -> Database:
    """Open the database for looking only."""
    return open_read_only(parts.settings.database_url.get_secret_value(), parts.home.root, CRAWLER_MODELS)
