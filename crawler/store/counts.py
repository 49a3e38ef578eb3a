"""How many rows there are. SQLite keeps the counts that would take it long; PostgreSQL counts when asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peewee import SQL, Model, SqliteDatabase

from models import (
    ApiUsage,
    FailedItem,
    ImageStatus,
    IndexedListing,
    IndexedShop,
    Interval,
    Listing,
    ListingDynamic,
    Review,
    RowCount,
    Shop,
    ShopDynamic,
)
from models.collected import QUEUED
from runtime import bulk

TABLES = (Shop, ShopDynamic, Listing, ListingDynamic, Review, ImageStatus, IndexedListing, IndexedShop)
KINDS: Mapping[str, tuple[type[Model], Any]] = {
    "wanted": (IndexedListing, IndexedListing.wanted == 1),
    "known": (IndexedListing, IndexedListing.known == 1),
    "pictures_queued": (ImageStatus, SQL(QUEUED)),
    "pictures_done": (ImageStatus, ImageStatus.download_done == 1),
}
"""What is kept in row_counts besides the tables' rows: of which table, and the condition that a row counts."""
SMALL = (Interval, FailedItem, ApiUsage)


def row_counts() -> dict[str, int]:
    """Return how many rows each table holds."""
    large = {name: number for name, number in _kept().items() if name not in KINDS}
    return large | _rows(SMALL)


def listings() -> dict[str, int]:
    """Return how many listings were ever seen, how many are wanted, and how many are known in detail."""
    kept = _kept()
    return {"seen": kept["indexed_listings"], "wanted": kept["wanted"], "known": kept["known"]}


def pictures() -> dict[str, int]:
    """Return how many images are queued for download and how many are done."""
    kept = _kept()
    return {"queued": kept["pictures_queued"], "done": kept["pictures_done"]}


def counted() -> dict[str, int]:
    """Return the same by counting now."""
    kinds = {name: int(model.select().where(condition).count()) for name, (model, condition) in KINDS.items()}
    return _rows(TABLES) | kinds


def _rows(models: Sequence[type[Model]]) -> dict[str, int]:
    return {model._meta.table_name: int(model.select().count()) for model in models}


def _kept() -> dict[str, int]:
    if not isinstance(RowCount._meta.database, SqliteDatabase):
        return counted()
    return {str(name): int(number) for name, number in bulk.tuples(RowCount.select(RowCount.name, RowCount.number))}
