"""What VERIFY asks the database: does everything that belongs together stand together? Reads, and repairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peewee import JOIN, SQL, Model, fn

from crawler.changes import RepairsQueued
from crawler.store import failures, index, shops
from crawler.store.index import Due
from models import (
    ImageStatus,
    IndexedListing,
    IndexedShop,
    Listing,
    ListingDynamic,
    Review,
    Shop,
    ShopDynamic,
)
from models.crawl import IMAGES_MISSING
from runtime import bulk
from runtime.findings import Findings


def check_listings(after_id: int, limit: int, due: Due) -> Findings:
    """Audit up to `limit` index rows behind `after_id`, by ascending listing_id."""
    query = (
        IndexedListing.select(IndexedListing.listing_id)
        .where(IndexedListing.listing_id > after_id)
        .order_by(IndexedListing.listing_id)
        .limit(limit)
    )
    ids = bulk.first_column(query)
    if not ids:
        return Findings(0, None)
    stretch = IndexedListing.listing_id.between(ids[0], ids[-1])
    known = (stretch, IndexedListing.known == 1)
    gaps = {
        "listing_due": bulk.first_column(
            IndexedListing.select(IndexedListing.listing_id).where(stretch, *index.is_due(due))
        ),
        "listing_due_too_late": bulk.first_column(
            IndexedListing.select(IndexedListing.listing_id).where(
                stretch, IndexedListing.detail_due_at > due.latest, IndexedListing.idle_count == 0
            )
        ),
        "listing_row_missing": bulk.first_column(_without(Listing, Listing.listing_id).where(*known)),
        "listing_dynamic_missing": bulk.first_column(_without(ListingDynamic, ListingDynamic.listing).where(*known)),
        "images_missing": _images_missing(known),
        "primary_not_one": _primaries_wrong(ids[0], ids[-1]),
        "listing_failed": sorted(failures.failed_ids("listing") & set(ids)),
        "images_failed": sorted(failures.failed_ids("images") & set(ids)),
    }
    return Findings(len(ids), ids[-1], {name: found for name, found in gaps.items() if found})


def check_shops(after_id: int, limit: int, due: Due) -> Findings:
    """Audit up to `limit` shops behind `after_id`, by ascending shop_id."""
    query = IndexedShop.select(IndexedShop.shop_id).where(IndexedShop.shop_id > after_id)
    ids = bulk.first_column(query.order_by(IndexedShop.shop_id).limit(limit))
    if not ids:
        return Findings(0, None)
    stretch = (IndexedShop.shop_id.between(ids[0], ids[-1]), IndexedShop.gone == 0)
    without_data = (
        IndexedShop.select(IndexedShop.shop_id)
        .join(Shop, JOIN.LEFT_OUTER, on=(Shop.shop_id == IndexedShop.shop_id))
        .where(*stretch, Shop.snapshot_timestamp.is_null())
    )
    has_dynamic = fn.EXISTS(ShopDynamic.select(1).where(ShopDynamic.shop == IndexedShop.shop_id))
    without_dynamic = IndexedShop.select(IndexedShop.shop_id).where(*stretch, ~has_dynamic)
    gaps = {
        "shop_row_missing": bulk.first_column(without_data),
        "shop_dynamic_missing": bulk.first_column(without_dynamic),
    }
    return Findings(len(ids), ids[-1], {name: found for name, found in gaps.items() if found})


def check_orphans(name: str, after_id: int, limit: int) -> Findings:
    """Look for rows of one kind that point to a listing or shop that is not there, in about `limit` rows.

    They are told as strays: no call mends them. `name` is one of ORPHANS.
    """
    child, key, parent, parent_key = ORPHANS[name]
    keys = child.select(key).where(key > after_id).order_by(key)
    end = bulk.first_column(keys.limit(1).offset(limit - 1))
    stretch = (key > after_id, key <= end[0]) if end else (key > after_id,)
    query = child.select(key).join(parent, JOIN.LEFT_OUTER, on=(key == parent_key))
    found = bulk.first_column(query.where(*stretch, parent_key.is_null()).order_by(key))
    # The rows of one id are looked at together, so a stretch may have some more than it counts.
    last_id = end[0] if end else None
    return Findings(limit if end else 0, last_id, strays={name: list(map(str, found))} if found else {})


ORPHANS: Mapping[str, tuple[type[Model], Any, type[Model], Any]] = {
    "listings without shop": (Listing, Listing.shop, Shop, Shop.shop_id),
    "listings without index row": (Listing, Listing.listing_id, IndexedListing, IndexedListing.listing_id),
    "listings_dynamic without listing": (ListingDynamic, ListingDynamic.listing, Listing, Listing.listing_id),
    "image_status without listing": (ImageStatus, ImageStatus.listing, Listing, Listing.listing_id),
    "shops_dynamic without shop": (ShopDynamic, ShopDynamic.shop, Shop, Shop.shop_id),
    "reviews without shop": (Review, Review.shop, Shop, Shop.shop_id),
}
"""What points to what: the child's key, and the parent's. Walked stretch by stretch along an index of the key."""


def write_repairs(change: RepairsQueued) -> None:
    """Make what an audit found missing due at once, and their images compared with what is there."""
    IndexedListing.update(detail_due_at=change.at, detail_cycle=0, images_digest=None).where(
        IndexedListing.listing_id.in_(change.listing_ids)
    ).execute()
    IndexedListing.update(images_missing=1, images_digest=None).where(
        IndexedListing.listing_id.in_(change.image_listing_ids)
    ).execute()
    IndexedShop.update(detail_due_at=change.at, detail_cycle=0, seen_cycle=change.cycle).where(
        IndexedShop.shop_id.in_(change.shop_ids)
    ).execute()


def taken_up(kind: str, due: Due) -> set[int]:
    """Return which failed items of a kind are due all the same: a person wants them tried again."""
    conditions: Mapping[str, Sequence[Any]] = {
        "listing": index.is_due(due),
        "images": (SQL(IMAGES_MISSING),),
        "shop": shops.is_due(due),
        "reviews": shops.is_review_due(due.cycle),
    }
    key: Any = failures.INDEXED[kind]
    return set(bulk.first_column(key.model.select(key).where(key.in_(failures.ids_query(kind)), *conditions[kind])))


def _without(model: type[Model], key: Any) -> Any:
    """Return the query for index rows that have no row in another table."""
    exists = fn.EXISTS(model.select(1).where(key == IndexedListing.listing_id))
    return IndexedListing.select(IndexedListing.listing_id).where(~exists)


def _images_missing(known: Sequence[Any]) -> list[int]:
    rows = fn.COUNT(ImageStatus.image_id)
    query = (
        IndexedListing.select(IndexedListing.listing_id)
        .join(ImageStatus, JOIN.LEFT_OUTER, on=(ImageStatus.listing == IndexedListing.listing_id))
        .where(*known, IndexedListing.images_missing < 2)
        .group_by(IndexedListing.listing_id, IndexedListing.image_count, IndexedListing.images_missing)
        .having((rows < IndexedListing.image_count) | (IndexedListing.images_missing == 1))
    )
    return bulk.first_column(query)


def _primaries_wrong(low: int, high: int) -> list[int]:
    query = (
        ImageStatus.select(ImageStatus.listing)
        .where(ImageStatus.listing.between(low, high))
        .group_by(ImageStatus.listing)
        .having(fn.SUM(ImageStatus.is_primary) != 1)
    )
    return bulk.first_column(query)
