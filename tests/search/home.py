"""A home for tests of the search: crawled from the sandbox, with its pictures downloaded, nothing embedded."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from peewee import SqliteDatabase
from rich.console import Console

from imaging.files import PictureFiles
from imaging.layout import Layout
from models import CRAWLER_MODELS, MIGRATIONS, ImageStatus
from runtime.database import open_database
from runtime.parts import Parts
from runtime.settings import Home, load_settings
from sandbox import Sandbox, SandboxSettings
from search.catalogue import Embedder
from search.embed_commands import embed
from search.wiring import Kit
from tests.rig import KEY, Rig
from tests.search.small import SMALL, RoomRemover, load_small

LISTINGS, DATABASE = 16, "data/db/etsy_data.db"
ROOT = Path(__file__).parents[2]
URL = f"sqlite:///{DATABASE}"
GATE = "gate"


@cache
def crawled(listings: int = LISTINGS) -> Path:
    """Return a home with so many listings and all their pictures; made once a process, not to be changed."""
    home = Path(mkdtemp(prefix="search-home-"))
    fill(home, listings)
    return home


def fill(home: Path, listings: int = LISTINGS, database_url: str = URL) -> None:
    """Crawl a market of so many listings into the home and download all of their pictures."""
    market = SandboxSettings(
        listings=listings, shops=8, wanted_share=1.0, seed=5, dead_pictures=0.0, odd_formats=0.0, reviews_per_shop=0.0
    )
    rig = Rig(home, Sandbox(market), DATABASE_URL=database_url)
    rig.run_until("VERIFY")
    store = Layout(Home(home).images).downloaded
    Home(home).images.mkdir(exist_ok=True)
    store.prepare()
    for image in ImageStatus.select():
        path = f"/il/{image.hex}/{image.image_id}/il_570xN.{image.image_id}_{image.suffix}.jpg"
        file = store.path(image.image_id, "jpeg")
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(rig.sandbox.picture(path).body)
    ImageStatus.update(download_done=1, format="jpeg", outcome="done").execute()
    rig.close()


def copy_of(home: Path, to: Path) -> Path:
    """Return a copy of a home that may be changed; pictures as downloaded are linked."""
    shutil.copytree(home, to, symlinks=True, copy_function=_link_or_copy)
    return to


def _link_or_copy(source: str, target: str) -> None:
    if "imagedownload" in source:
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def small_kit(_: Parts) -> Kit:
    """Return the five small embedders, with a command that indexes with their table."""
    command = (sys.executable, "-m", "tests.search.small_index")
    return Kit(SMALL, load_small, load_small, RoomRemover, command, "a small one")


def gated_kit(parts: Parts) -> Kit:
    """Return the small kit, whose models are loaded once somebody opens the gate: a FIFO of that name in the home."""

    def load_behind(name: str) -> Embedder:
        with (parts.home.root / GATE).open() as gate:
            gate.read()
        return load_small(name)

    return replace(small_kit(parts), load=load_behind)


def embed_home(
    home: Path,
    build: Callable[[Parts], Kit] = small_kit,
    renew: Sequence[str] = (),
    index: bool = False,
    **settings: str,
) -> str:
    """Run `embed` on the home in this process and return what it printed."""
    told = load_settings(home, {"ETSY_API_KEY": KEY, **settings})
    out = io.StringIO()
    command = (sys.executable, "-m", "tests.search.small_index", str(home)) if index else ("true",)

    def kit(parts: Parts) -> Kit:
        return replace(build(parts), index_command=command)

    console = Console(file=out, width=200)
    embed(told, console, PictureFiles(Layout(Home(home).images), 0.0), renew, kit)
    return out.getvalue()


def open_home(home: Path) -> SqliteDatabase:
    """Open the home's database and bind the models to it."""
    database = open_database(URL, home, CRAWLER_MODELS, MIGRATIONS)
    assert isinstance(database, SqliteDatabase)
    return database


def rows_of(home: Path, query: str) -> list[tuple[Any, ...]]:
    """Return what the home's database answers, asked past all models."""
    with closing(sqlite3.connect(home / DATABASE)) as database:
        return database.execute(query).fetchall()


def change(home: Path, statement: str) -> None:
    """Change the home's database past all models."""
    with closing(sqlite3.connect(home / DATABASE)) as database, database:
        database.execute(statement)
