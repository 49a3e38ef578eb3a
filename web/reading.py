"""What the pages show of listings and shops, read from the database; every statement goes through an index."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from models import ImageStatus, IndexedListing, IndexedShop, Listing, ListingDynamic, Review, Shop, ShopDynamic
from runtime import bulk

PIECE = ("listing_id", "title", "price", "price_currency", "last_seen_at")
MOST_READINGS, MOST_REVIEWS, MOST_PIECES, MOST_IMAGES = 520, 50, 24, 20


def find_listing(listing_id: int) -> dict[str, Any] | None:
    """Return what is known of a listing, None where no search ever showed it."""
    rows = bulk.dicts(IndexedListing.select().where(IndexedListing.listing_id == listing_id))
    static = bulk.dicts(Listing.select().where(Listing.listing_id == listing_id))
    if not rows and not static:
        return None
    found: dict[str, Any] = {**(rows[0] if rows else {}), **(static[0] if static else {})}
    found["listing_id"], found["is_known"] = listing_id, bool(static)
    found["shop_id"] = found.pop("shop", None) or found.get("shop_id")
    for name in ("tags", "materials", "production_partners"):
        found[name] = _texts(found.get(name))
    return found


def readings_of_listing(listing_id: int) -> list[dict[str, Any]]:
    """Return what changes of a listing, oldest first; of very many the newest."""
    query = ListingDynamic.select().where(ListingDynamic.listing == listing_id)
    newest = bulk.dicts(query.order_by(ListingDynamic.snapshot_timestamp.desc()).limit(MOST_READINGS))
    return [{**row, "price": price_of(row)} for row in reversed(newest)]


def price_of(row: Mapping[str, Any]) -> float | None:
    """Return the price in a row, None where none is told."""
    amount, divisor = row.get("price_amount"), row.get("price_divisor")
    return amount / divisor if amount is not None and divisor else None


def images_of_listing(listing_id: int) -> list[dict[str, Any]]:
    """Return a listing's images, the first one first; `done` says that the file should be there."""
    query = (
        ImageStatus.select(ImageStatus.image_id, ImageStatus.download_done, ImageStatus.width, ImageStatus.height)
        .where(ImageStatus.listing == listing_id)
        .order_by(ImageStatus.is_primary.desc(), ImageStatus.image_id)
    )
    return [
        {"image_id": image_id, "done": bool(done), "width": width, "height": height}
        for image_id, done, width, height in bulk.raw(query.limit(MOST_IMAGES))
    ]


def first_image(listing_id: int) -> int | None:
    """Return the first image of a listing that was downloaded, None where there is none."""
    images = [image["image_id"] for image in images_of_listing(listing_id) if image["done"]]
    return images[0] if images else None


def reviews_of_listing(listing_id: int) -> list[dict[str, Any]]:
    """Return the newest reviews of a listing."""
    return _reviews(Review.listing_id == listing_id)


def reviews_of_shop(shop_id: int) -> list[dict[str, Any]]:
    """Return the newest reviews that were read of a shop, by when they were stored."""
    return _reviews(Review.shop == shop_id)


def find_shop(shop_id: int) -> dict[str, Any] | None:
    """Return what is known of a shop, None where nothing is."""
    rows = bulk.dicts(IndexedShop.select().where(IndexedShop.shop_id == shop_id))
    static = bulk.dicts(Shop.select().where(Shop.shop_id == shop_id))
    return {**(rows[0] if rows else {}), **(static[0] if static else {})} if rows or static else None


def readings_of_shop(shop_id: int) -> list[dict[str, Any]]:
    """Return what changes of a shop, oldest first; of very many the newest."""
    query = ShopDynamic.select().where(ShopDynamic.shop == shop_id)
    newest = bulk.dicts(query.order_by(ShopDynamic.snapshot_timestamp.desc()).limit(MOST_READINGS))
    return list(reversed(newest))


def pieces_of_shop(shop_id: int, after: int = 0, without: int = 0) -> list[dict[str, Any]]:
    """Return the listings of a shop that are known in detail, by number, from after that one on."""
    of_shop = Listing.shop == shop_id
    query = pieces(of_shop, Listing.listing_id > after, Listing.listing_id != without).order_by(Listing.listing_id)
    return read_pieces(query.limit(MOST_PIECES))


def pieces(*conditions: Any) -> Any:
    """Return the select of what a grid shows of listings that are known in detail; `read_pieces` reads it."""
    told = (Listing.listing_id, Listing.title, *(getattr(IndexedListing, name) for name in PIECE[2:]))
    joined = Listing.select(*told).join(IndexedListing, on=(IndexedListing.listing_id == Listing.listing_id))
    return joined.where(*conditions)


def read_pieces(query: Any) -> list[dict[str, Any]]:
    """Return the rows of a select of pieces, by their columns' names."""
    return [dict(zip(PIECE, row, strict=True)) for row in bulk.raw(query)]


def _reviews(condition: Any) -> list[dict[str, Any]]:
    rows = bulk.dicts(Review.select().where(condition).limit(MOST_REVIEWS * 4))
    return sorted(rows, key=lambda row: row["create_timestamp"] or 0, reverse=True)[:MOST_REVIEWS]


def _texts(told: str | None) -> Sequence[str]:
    try:
        found = json.loads(told or "[]")
    except ValueError:
        return []
    return [str(text) for text in found] if isinstance(found, list) else []
