"""The composition root of the page: opens the database for reading and puts the parts together."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from peewee import Database
from rich.console import Console

from crawler import parts as crawl
from crawler.look_commands import gather_status
from crawler.store import usage
from imaging.files import PictureFiles
from imaging.layout import Layout
from models import CRAWLER_MODELS
from runtime.clock import DAY_SECONDS
from runtime.database import errors_in_words
from runtime.errors import UserMistake
from runtime.parts import Parts
from runtime.repeated import Repeated
from runtime.settings import Settings
from web.app import Site, build_app
from web.asked import AskedPictures
from web.find import Searching
from web.guard import LOOPBACK_NAMES, Guard, Guarded, is_loopback
from web.market import Market, counter
from web.pages import Pages
from web.similar import Live, Similar
from web.standing import Standing, Watcher
from web.text_index import TextIndex, follower

IMAGE_INDEX = "image_index.json"
WORDS, ASKED = "data/web/words.db", "data/web/asked"
REST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Built:
    """The application, what gathers where the crawl stands, all that works beside it, what is to be closed after it."""

    app: Guarded
    watcher: Watcher
    workers: Sequence[Watcher | Repeated]
    similar: Similar
    database: Database


def build_parts(settings: Settings, console: Console) -> Parts:
    """Return the parts that need neither network nor database; KILL files are for those who work, not for pages."""
    return Parts.build(settings, console, ())


def load_live(parts: Parts) -> Live:
    """Return what searches by pictures; UserMistake where its libraries are not installed, OperatorNeeded."""
    try:
        module = importlib.import_module("search.live")
    except ModuleNotFoundError as error:
        raise UserMistake(f"The image search is not installed ({error.name}): `make search`.") from error
    live: Live = module.Live(parts)
    return live


def build(parts: Parts, load: Callable[[Parts], Live] = load_live) -> Built:
    """Return the page of a home, whose database is there; `load` opens the image search.

    UserMistake, OperatorNeeded.
    """
    database = parts.open_for_reading(CRAWLER_MODELS)
    guard = build_guard(parts.settings)
    pages = Pages(parts.clock, guard)
    watcher = Watcher(partial(gather, crawl.build_parts(parts.settings, parts.console)), parts.clock)
    pictures = PictureFiles(Layout(parts.home.images), parts.settings.min_free_gb)
    words = TextIndex(parts.home.root / WORDS, parts.home.root)
    similar = Similar(partial(load, parts), (parts.home.embeddings / IMAGE_INDEX).exists)
    asked = AskedPictures(parts.home.root / ASKED, parts.home.root)
    searching = Searching(words, similar, asked.read)
    market = Market(parts.home, parts.clock, lambda: (watcher.standing.told.get("cycle") or {}).get("number"))
    site = Site(parts.home, parts.clock, pages, guard, watcher, pictures, asked, searching, market)
    resting = Repeated("resting", lambda look: similar.rest(), parts.clock, REST_SECONDS)
    workers = (watcher, follower(words, parts.clock), counter(market, parts.clock), resting)
    return Built(build_app(site, pages, guard), watcher, workers, similar, database)


def build_guard(settings: Settings) -> Guard:
    """Return who may ask; UserMistake where others could, and no password is set."""
    password, host = settings.web_password.get_secret_value(), settings.web_host
    if not is_loopback(host) and not password:
        raise UserMistake(
            f"WEB_HOST is {host}: others could open this page.", advice="Set WEB_PASSWORD, or leave WEB_HOST as it is."
        )
    names = LOOPBACK_NAMES if is_loopback(host) else (*LOOPBACK_NAMES, host.lower(), socket.gethostname().lower())
    return Guard(names, password)


def gather(parts: crawl.Parts) -> Standing:
    """Return where the crawl stands now; the database is open."""
    now = parts.clock.now()
    with errors_in_words(parts.database_path):
        told = gather_status(parts)
        calls = usage.by_minute(now - 2 * DAY_SECONDS)
    return Standing(now, told, tuple(calls))
