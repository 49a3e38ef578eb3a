"""The tables, as Peewee models; no queries and no imports of ours."""

from __future__ import annotations

from pathlib import Path

from peewee import Model

from models.collected import ImageStatus, Listing, ListingDynamic, Review, Shop, ShopDynamic
from models.crawl import ApiUsage, FailedItem, IndexedListing, IndexedShop, Interval, RowCount, SyncState
from models.embedding import VectorBatch, VectorFileState, VectorMake, VectorRow

CRAWLER_MODELS: tuple[type[Model], ...] = (
    Shop,
    ShopDynamic,
    Listing,
    ListingDynamic,
    Review,
    ImageStatus,
    SyncState,
    Interval,
    IndexedListing,
    IndexedShop,
    FailedItem,
    ApiUsage,
    RowCount,
    VectorRow,
    VectorFileState,
    VectorBatch,
    VectorMake,
)
MIGRATIONS = Path(__file__).parent / "migrations"

__all__ = [
    "CRAWLER_MODELS",
    "MIGRATIONS",
    "ApiUsage",
    "FailedItem",
    "ImageStatus",
    "IndexedListing",
    "IndexedShop",
    "Interval",
    "Listing",
    "ListingDynamic",
    "Review",
    "RowCount",
    "Shop",
    "ShopDynamic",
    "SyncState",
    "VectorBatch",
    "VectorFileState",
    "VectorMake",
    "VectorRow",
]
