"""Listings in detail: static rows once, a dynamic row at each sync, their shops and images with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
ADDRESS = ("hex", "suffix", "url")
DYNAMIC = ("state", "ending_timestamp", "quantity", "num_favorers", "views")


def write_details(change: DetailsSeen) -> None:
    """Write a batch's answer: shops, then the wanted listings, their images, and the index."""
    kept = [listing for listing in change.listings if listing.wanted]
    shops.write_named((listing.shop_id for listing in kept), change.cycle, change.at)
    shops.write_details(change.shops, change.cycle, change.at)
    if kept:
        Listing.insert_many([_static_row(listing, change.at) for listing in kept]).on_conflict_ignore().execute()
        dynamic = [_dynamic_row(listing, change.at) for listing in kept]
        ListingDynamic.insert_many(dynamic).on_conflict_ignore().execute()
        _write_images([(listing.record.listing_id, listing.record.images or ()) for listing in kept])
    index.write_details(change.cycle, change.listings, change.at)
    failures.clear("listing", [listing.record.listing_id for listing in change.listings])


def write_gone(change: ListingsGone) -> None:
    """Write a `removed` row for each listing that is known and gone."""
    ids = [listing_id for listing_id, _, _ in change.listings]
    known = set(bulk.first_column(Listing.select(Listing.listing_id).where(Listing.listing_id.in_(ids))))
    rows = [{"listing": i, "snapshot_timestamp": change.at, "state": "removed"} for i in ids if i in known]
    bulk.insert_new(ListingDynamic, rows)
    index.write_gone(change)
    failures.clear("listing", ids)


def write_images(change: ImagesSeen) -> None:
    """Write the images of one listing that a batch had left out."""
    _write_images([(change.listing_id, change.images)])
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


def _write_images(images: Sequence[tuple[int, tuple[ImageRecord, ...]]]) -> None:
    """Insert new images and correct changed ones; an image that left its listing stays, primary no more."""
    listing_ids = [listing_id for listing_id, told in images if told]
    if not listing_ids:
        return
    facts = Listing.select(
        Listing.listing_id, Listing.shop, Listing.when_made, Listing.price_amount, Listing.price_divisor
    )
    listings = {row["listing_id"]: row for row in bulk.dicts(facts.where(Listing.listing_id.in_(listing_ids)))}
    there = ImageStatus.select().where(ImageStatus.listing.in_(listing_ids))
    old = {(row["listing"], row["image_id"]): row for row in bulk.dicts(there)}
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    for listing_id, told in images:
        primary = primary_image_id(told)
        for image in told:
            key = (listing_id, image.image_id)
            rows[key] = _image_row(listings[listing_id], image, image.image_id == primary)
    # Compared first: at a refresh hardly any image has changed, and nothing is written for the others.
    left = [key for key, row in old.items() if key not in rows and row["is_primary"]]
    changed = [row for key, row in rows.items() if key not in old or not row.items() <= old[key].items()]
    for key in left:
        ImageStatus.update(is_primary=0).where(ImageStatus.listing == key[0], ImageStatus.image_id == key[1]).execute()
    columns: list[Field[Any]] = [ImageStatus.hex, ImageStatus.suffix, ImageStatus.url, ImageStatus.is_primary]
    bulk.upsert(ImageStatus, changed, [ImageStatus.listing, ImageStatus.image_id], columns)
    failed = {key for key, row in old.items() if row["outcome"] and not row["download_done"]}
    _try_anew([row for row in changed if (row["listing"], row["image_id"]) in failed], old)


def _try_anew(rows: Sequence[Mapping[str, Any]], old: Mapping[tuple[int, int], Mapping[str, Any]]) -> None:
    """Queue again, as if never tried, images that could not be had at the address that they had before."""
    keys = [(row["listing"], row["image_id"]) for row in rows]
    moved = [key for key, row in zip(keys, rows, strict=True) if any(row[name] != old[key][name] for name in ADDRESS)]
    again = {"to_download": 1, "outcome": None, "attempts": 0, "retry_at": 0}
    values = [{"listing": listing_id, "image_id": image_id, **again} for listing_id, image_id in moved]
    bulk.update(ImageStatus, values, [ImageStatus.listing, ImageStatus.image_id])


def _image_row(listing: Mapping[str, Any], image: ImageRecord, is_primary: bool) -> dict[str, Any]:
    return {
        "listing": listing["listing_id"],
        "image_id": image.image_id,
        "shop_id": listing["shop"],
        "hex": image.hex,
        "suffix": image.suffix,
        "url": image.url,
        "is_primary": int(is_primary),
        "when_made": listing["when_made"],
        "price": Money(listing["price_amount"], listing["price_divisor"], None).major,
    }
