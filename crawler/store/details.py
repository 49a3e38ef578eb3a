"""Listings in detail: static rows once, a dynamic row at each sync, their shops and images with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from peewee import Field

from crawler.api.records import ImageRecord, Money, primary_image_id
from crawler.changes import DetailedListing, DetailsSeen, ImagesSeen, ListingsGone
from crawler.store import failures, index, shops
from models import ImageStatus, IndexedListing, Listing, ListingDynamic
from runtime import bulk

STATIC = (
    "title",
    "description",
    "creation_timestamp",
    "url",
    "is_customizable",
    "is_personalizable",
    "listing_type",
    "tags",
    "materials",
    "processing_min",
    "processing_max",
    "who_made",
    "when_made",
    "item_weight",
    "item_weight_unit",
    "item_length",
    "item_width",
    "item_height",
    "item_dimensions_unit",
    "should_auto_renew",
    "language",
    "taxonomy_id",
    "production_partners",
)
IMAGE_KEY: tuple[Field[Any], ...] = (ImageStatus.listing, ImageStatus.image_id)
IMAGE_TOLD: tuple[Field[Any], ...] = (ImageStatus.hex, ImageStatus.suffix, ImageStatus.url, ImageStatus.is_primary)
ADDRESS, IS_PRIMARY = slice(0, 3), 3
LISTING_FACTS = (
    Listing.listing_id,
    Listing.shop,
    Listing.when_made,
    Listing.price_amount,
    Listing.price_divisor,
)
DYNAMIC = ("state", "ending_timestamp", "quantity", "num_favorers", "views")


def write_details(change: DetailsSeen) -> None:
    """Write a batch's answer: shops, then the wanted listings, their images, and the index."""
    kept = [listing for listing in change.listings if listing.wanted]
    named = [*(listing.shop_id for listing in kept), *(shop.record.shop_id for shop in change.shops)]
    shops.write_named(named, change.cycle, change.at)
    shops.write_details(change.shops, change.cycle, change.at)
    if kept:
        facts = _facts(listing.record.listing_id for listing in kept)
        new = [listing for listing in kept if listing.record.listing_id not in facts]
        bulk.insert_new(Listing, [_static_row(listing, change.at) for listing in new])
        facts |= _facts(listing.record.listing_id for listing in new)
        bulk.insert_new(ListingDynamic, [_dynamic_row(listing, change.at) for listing in kept])
        _write_images([(listing.record.listing_id, listing.record.images or ()) for listing in kept], facts)
    index.write_details(change.cycle, change.listings, change.at)
    failures.clear("listing", [listing.record.listing_id for listing in change.listings])


def write_gone(change: ListingsGone) -> None:
    """Write a `removed` row for each listing that is known and gone."""
    ids = [listing_id for listing_id, _, _ in change.listings]
    known = _facts(ids)
    rows = [{"listing": i, "snapshot_timestamp": change.at, "state": "removed"} for i in ids if i in known]
    bulk.insert_new(ListingDynamic, rows)
    index.write_gone(change)
    failures.clear("listing", ids)


def write_images(change: ImagesSeen) -> None:
    """Write the images of one listing that a batch had left out."""
    _write_images([(change.listing_id, change.images)], _facts([change.listing_id]))
    IndexedListing.update(images_missing=0, image_count=len(change.images)).where(
        IndexedListing.listing_id == change.listing_id
    ).execute()
    failures.clear("images", [change.listing_id])


def _static_row(listing: DetailedListing, at: str) -> dict[str, Any]:
    record = listing.record
    row = {name: getattr(record, name) for name in STATIC}
    return {
        **row,
        "listing_id": record.listing_id,
        "snapshot_timestamp": at,
        "shop": listing.shop_id,
        "price_amount": record.price.amount,
        "price_divisor": record.price.divisor,
        "price_currency": record.price.currency,
    }


def _dynamic_row(listing: DetailedListing, at: str) -> dict[str, Any]:
    record = listing.record
    row = {name: getattr(record, name) for name in DYNAMIC}
    return {
        **row,
        "listing": record.listing_id,
        "snapshot_timestamp": at,
        "price_amount": record.price.amount,
        "price_divisor": record.price.divisor,
        "price_currency": record.price.currency,
    }


def _facts(listing_ids: Iterable[int]) -> dict[int, tuple[Any, ...]]:
    """Return of each listing that is there what its images' rows repeat (LISTING_FACTS)."""
    return {row[0]: row for row in bulk.find(Listing.listing_id, listing_ids, LISTING_FACTS)}


def _write_images(
    images: Sequence[tuple[int, tuple[ImageRecord, ...]]], listings: Mapping[int, tuple[Any, ...]]
) -> None:
    """Insert new images and correct changed ones; an image that left its listing stays, primary no more."""
    told = {listing_id: records for listing_id, records in images if records}
    if not told:
        return
    there = bulk.find(
        ImageStatus.listing, told, (*IMAGE_KEY, *IMAGE_TOLD, ImageStatus.outcome, ImageStatus.download_done)
    )
    old = {row[:2]: row[2:] for row in there}
    new: dict[tuple[int, int], tuple[Any, ...]] = {}
    for listing_id, records in told.items():
        new.update(_images_told(listing_id, records))
    # Compared first: at a refresh hardly any image has changed, and nothing is written for the others.
    changed = {key: row for key, row in new.items() if key not in old or row != old[key][: len(IMAGE_TOLD)]}
    for key, row in old.items():
        if key not in new and row[IS_PRIMARY]:
            left = (ImageStatus.listing == key[0], ImageStatus.image_id == key[1])
            ImageStatus.update(is_primary=0).where(*left).execute()
    values = [_image_row(key, row, listings[key[0]]) for key, row in changed.items()]
    bulk.upsert(ImageStatus, values, IMAGE_KEY, IMAGE_TOLD)
    _try_anew([key for key, row in changed.items() if key in old and _has_moved(row, old[key])])


def _has_moved(row: tuple[Any, ...], old: tuple[Any, ...]) -> bool:
    """Return whether an image that could not be had has another address now."""
    *_, outcome, download_done = old
    return bool(outcome and not download_done and row[ADDRESS] != old[ADDRESS])


def _try_anew(keys: Sequence[tuple[Any, ...]]) -> None:
    """Queue images again, as if never tried."""
    again = {"to_download": 1, "outcome": None, "attempts": 0, "retry_at": 0}
    values = [{"listing": listing_id, "image_id": image_id, **again} for listing_id, image_id in keys]
    bulk.update(ImageStatus, values, IMAGE_KEY)


def _images_told(listing_id: int, records: tuple[ImageRecord, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield of each image its key and what an answer tells of it (IMAGE_TOLD)."""
    primary = primary_image_id(records)
    for image in records:
        yield (listing_id, image.image_id), (image.hex, image.suffix, image.url, int(image.image_id == primary))


def _image_row(key: tuple[int, int], told: tuple[Any, ...], listing: tuple[Any, ...]) -> dict[str, Any]:
    """Return a whole row: an image's key, what was told of it, and what it repeats of its listing (LISTING_FACTS)."""
    _, shop_id, when_made, amount, divisor = listing
    named = {field.name: value for field, value in zip((*IMAGE_KEY, *IMAGE_TOLD), (*key, *told), strict=True)}
    price = Money(amount, divisor, None).major
    return {**named, "shop_id": shop_id, "when_made": when_made, "price": price}
