"""The composition root of publishing: opens its database, builds the worker, the platforms and the inbox."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import quote

from peewee import Database, SqliteDatabase
from rich.console import Console

from models.publishing import PUBLISHING_MIGRATIONS, PUBLISHING_MODELS
from publishing import jobs
from publishing.handlers.context import Context
from publishing.pictures import Lanczos
from publishing.platforms import SHOPS, SOCIALS, ShopPlatform, UnconnectedShop, UnconnectedSocial
from publishing.platforms.etsy import SERVICE, Etsy
from publishing.retries import Rule
from publishing.shelf import Shelf
from publishing.template import Template
from publishing.usage_book import UsageBook
from publishing.webhook import Inbox
from publishing.wire import Pace, Wire
from publishing.worker import Tally, Worker
from runtime.database import BUSY_SECONDS, errors_in_words, open_database
from runtime.errors import OperatorNeeded, UserMistake
from runtime.files import make_folders
from runtime.parts import Parts
from runtime.settings import Settings
from runtime.work import STOP_NAMES

BuildPace = Callable[[Parts], Pace]
BEGIN = "Begin with `python run.py publish ingest FOLDER`."
MINUTE_SECONDS, HOUR_SECONDS = 60.0, 3600.0


def build_parts(settings: Settings, console: Console) -> Parts:
    """Return the parts that need neither network nor database."""
    return Parts.build(settings, console, STOP_NAMES)


def build_shelf(parts: Parts) -> Shelf:
    """Return where the pictures lie; a relative PUBLISH_FOLDER is below the home."""
    return Shelf(parts.home.root / parts.settings.publish_folder.expanduser(), parts.home.root)


def open_for_writing(parts: Parts) -> Database:
    """Open the publishing database, made where there is none, and bring it up to date."""
    path, shelf = parts.home.publishing_database, build_shelf(parts)
    if not path.exists() and shelf.has_pictures():
        raise OperatorNeeded(
            f"There is no database at {path}, though {shelf.root} has its pictures.",
            advice="Is its disk mounted? Put it back (`python run.py restore-backup`), or move the pictures away.",
        )
    make_folders(parts.home.data, parts.home.root)  # of the locks; a home may be new
    # Its own folder stands for the home: whether that was crawled before says nothing about this database.
    database = open_database(f"sqlite:///{path}", path.parent, PUBLISHING_MODELS, PUBLISHING_MIGRATIONS, parts.stop)
    parts.stop.need(path)
    return database


def open_for_reading(parts: Parts) -> Database:
    """Open the publishing database for looking only; UserMistake where there is none."""
    path = parts.home.publishing_database
    if not path.exists():
        raise UserMistake(
            f"There is no publishing database at {path} yet.",
            advice="Begin with `python run.py publish ingest FOLDER`.",
        )
    with errors_in_words(path):
        database = SqliteDatabase(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        database.connect()
        database.bind(PUBLISHING_MODELS)
        if not database.table_exists("jobs"):
            raise UserMistake(f"{path} is not set up yet.", advice=BEGIN)
    return database


def build_rule(settings: Settings) -> Rule:
    """Return how often a job is tried, and when a running one counts as stalled."""
    return Rule(settings.publish_attempts, settings.publish_stalled_minutes * MINUTE_SECONDS)


def build_context(parts: Parts, database: Database, pace: Pace) -> Context:
    """Return what the handlers work with."""
    etsy = build_etsy(parts, UsageBook(database, parts.stop), pace)
    return Context(
        build_shelf(parts),
        Lanczos(parts.stop.raise_if_requested),
        Template(),
        {name: etsy if name == SERVICE else UnconnectedShop(name) for name in SHOPS},
        {name: UnconnectedSocial(name) for name in SOCIALS},
        parts.stop.raise_if_requested,
        jobs.holds,
    )


def build_etsy(parts: Parts, book: UsageBook, pace: Pace) -> ShopPlatform:
    """Return the shop on Etsy; the key and the token go to ETSY_API_URL alone."""
    settings = parts.settings
    token = settings.etsy_oauth_token.get_secret_value()
    headers = {"x-api-key": settings.key_header, "Authorization": f"Bearer {token}", "Accept": "application/json"}
    wire = Wire(SERVICE, settings.etsy_api_url, headers, pace, book)
    return Etsy(wire, settings.etsy_shop_id, bool(token))


def build_worker(parts: Parts, database: Database, pace: Pace, observe: Callable[[Tally], None]) -> Worker:
    """Return a worker on the open database."""
    hash_seconds = parts.settings.webhook_hash_hours * HOUR_SECONDS
    context = build_context(parts, database, pace)
    return Worker(database, context, build_rule(parts.settings), hash_seconds, parts.stop, observe)


def build_inbox(parts: Parts, database: Database) -> Inbox:
    """Return what takes webhooks in."""
    return Inbox(database, parts.settings.webhook_hash_hours * HOUR_SECONDS, parts.stop)


def opener(parts: Parts) -> Callable[[], Database]:
    """Return what opens the database for writing when it is called."""
    return partial(open_for_writing, parts)
