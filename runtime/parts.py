"""What every command needs, made from the settings; each package builds the rest on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from peewee import Database, Model
from rich.console import Console

from runtime.clock import Clock, SystemClock
from runtime.database import database_path, open_database, open_read_only
from runtime.settings import Home, Settings
from runtime.stop import Stop


@dataclass(frozen=True, slots=True)
class Parts:
    """Settings, home, clock, what stops the work, and where words go."""

    settings: Settings
    home: Home
    clock: Clock
    stop: Stop
    console: Console

    @classmethod
    def build(cls, settings: Settings, console: Console, kill_names: Collection[str]) -> Self:
        """Return the parts; the kill files with these names stop the work."""
        clock, home = SystemClock(), Home(settings.crawler_home)
        return cls(settings, home, clock, Stop(clock, home.kill_files(*kill_names)), console)

    @property
    def database_path(self) -> Path | None:
        """The SQLite file, None where the database is a server's."""
        return database_path(self.settings.database_url.get_secret_value(), self.home.root)

    def open_for_writing(self, models: Sequence[type[Model]], migrations: Path) -> Database:
        """Open the database and bring it up to date; from now on the work ends where the file is gone."""
        url = self.settings.database_url.get_secret_value()
        database = open_database(url, self.home.root, models, migrations, self.stop)
        self.stop.need(*(path for path in (self.home.data, self.database_path) if path is not None))
        return database

    def open_for_reading(self, models: Sequence[type[Model]]) -> Database:
        """Open the database for looking only."""
        return open_read_only(self.settings.database_url.get_secret_value(), self.home.root, models)
