"""The crawler's composition root: builds the parts from the settings and passes them to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import platformdirs
from peewee import Database

from crawler.api.client import Client
from crawler.api.ledger import Ledger
from crawler.api.limiter import Limiter, SlotFile
from crawler.api.lookahead import WORKERS, Lookahead
from crawler.api.transport import Transport
from crawler.api.wire import HttpWire, Wire
from crawler.checkpoint import load_cycle, load_position
from crawler.context import Context
from crawler.engine import Engine
from crawler.forecast import load_quota
from crawler.freshness import Cycle
from crawler.outcome import Outcome, Position
from crawler.parts import Parts
from crawler.plan_files import RateFile
from crawler.store import usage
from crawler.watch import Companion, Watch
from runtime.clock import DAY_SECONDS
from runtime.database import LogTidier, transaction
from runtime.findings import FileChecks
from runtime.progress import Progress

APP = "furniture-crawler"


@dataclass(frozen=True, slots=True)
class Calling:
    """The parts that make calls."""

    context: Context
    ledger: Ledger


def build_calling(
    parts: Parts,
    wire: Wire | None = None,
    slots: SlotFile | None = None,
    workers: int = WORKERS,
    file_checks: FileChecks = MappingProxyType({}),
) -> Calling:
    """Return the API client and what counts its calls; the database is open."""
    settings, clock, stop = parts.settings, parts.clock, parts.stop
    parts.files.load_breaks()
    limiter = build_limiter(parts, slots)
    wire = wire or build_wire(parts, limiter)
    ledger = Ledger(clock, load_quota(), usage.by_minute(clock.now() - 2 * DAY_SECONDS))
    transport = Transport(wire, limiter, ledger, clock, stop)
    lookahead = Lookahead(transport, stop, limiter.rate, ledger.left_at_last_answer, workers)
    client = Client(lookahead, transport)
    cycle = Cycle(1, clock.now()) if load_position() is None else load_cycle()
    context = Context(client, clock, stop, parts.freshness, settings.taxonomy_ids, parts.files, cycle, file_checks)
    return Calling(context, ledger)


def build_limiter(parts: Parts, slots: SlotFile | None = None) -> Limiter:
    """Return what lets calls go; all processes that use the key share its slots."""
    parts.files.ensure_rate()
    if slots is None:
        folders = (platformdirs.user_state_path(APP), parts.home.data)
        slots = SlotFile.for_key(folders, parts.settings.etsy_api_url, parts.settings.key_header)
    return Limiter(parts.clock, parts.stop, RateFile(parts.files), slots)


def build_wire(parts: Parts, limiter: Limiter) -> Wire:
    """Return what carries calls to the API."""
    return HttpWire(parts.settings.etsy_api_url, parts.settings.key_header, APP, parts.clock, limiter.leaves)


def build_engine(
    parts: Parts, database: Database, calling: Calling, observe: Callable[[Position, Outcome | None], None]
) -> Engine:
    """Return the engine, standing where the database says."""
    tidy = LogTidier(database)

    def after_step(position: Position, outcome: Outcome | None) -> None:
        observe(position, outcome)
        tidy()

    return Engine(calling.context, calling.ledger, partial(transaction, database, parts.stop), after_step)


def build_watch(parts: Parts, calling: Calling, progress: Progress, companion: Companion) -> Watch:
    """Return what feeds the live display."""
    return Watch(progress, calling.ledger, parts.freshness, parts.clock, companion)
