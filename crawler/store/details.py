"""Listings in detail: static rows once, a dynamic row at each sync, their shops and images with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from peewee import Field

from crawler.api.records import ImageRecord, ListingRecord, Money, images_digest, primary_image_id
from crawler.changes import DetailedListing, DetailsSeen, ImagesSeen, ListingsGone
from crawler.store import failures, index, shops
from models import ImageStatus, IndexedListing, Listing, ListingDynamic
from runtime import bulk

STATIC = (
    "listing_id",
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
FIGURES = ("listing_id", "state", "ending_timestamp", "quantity", "num_favorers", "views")
MONEY = ("price_amount", "price_divisor", "price_currency")
static_of, figures_of = attrgetter(*STATIC), attrgetter(*FIGURES)
LISTING_ROW = (
    *(getattr(Listing, name) for name in (*STATIC, *MONEY)),
    Listing.shop,
    Listing.snapshot_timestamp,
)
DYNAMIC_ROW = (
    ListingDynamic.listing,
    *(getattr(ListingDynamic, name) for name in (*FIGURES[1:], *MONEY)),
    ListingDynamic.snapshot_timestamp,
)
IMAGE_KEY: tuple[Field[Any], ...] = (ImageStatus.listing, ImageStatus.image_id)
IMAGE_TOLD: tuple[Field[Any], ...] = (ImageStatus.hex, ImageStatus.suffix, ImageStatus.url, ImageStatus.is_primary)
IMAGE_FACTS: tuple[Field[Any], ...] = (ImageStatus.shop_id, ImageStatus.when_made, ImageStatus.price)
IMAGE_ROW = (*IMAGE_KEY, *IMAGE_TOLD)
WHOLE_IMAGE_ROW = (*IMAGE_ROW, *IMAGE_FACTS)
KEY, ADDRESS, IS_PRIMARY = slice(0, 2), slice(2, 5), 5
LISTING_FACTS = (
    Listing.listing_id,
    Listing.shop,
    Listing.when_made,
    Listing.price_amount,
    Listing.price_divisor,
)


def write_details(change: DetailsSeen) -> None:
    """Write a batch's answer: shops, then the wanted listings, their images, and the index."""
    kept = [listing for listing in change.listings if listing.wanted]
    named = [*(listing.shop_id for listing in kept), *(shop.record.shop_id for shop in change.shops)]
    shops.write_named(named, change.cycle, change.at)
    shops.write_details(change.shops, change.cycle, change.at)
    there = index.find_details(listing.record.listing_id for listing in change.listings)
    digests = {listing_id: told[-1] for listing_id, told in there.items()}
    if kept:
        known = _known(listing.record.listing_id for listing in kept)
        new = [listing for listing in kept if listing.record.listing_id not in known]
        bulk.insert_new_tuples(LISTING_ROW, [_static_row(listing, change.at) for listing in new])
        bulk.insert_new_tuples(DYNAMIC_ROW, [_dynamic_row(listing.record, change.at) for listing in kept])
        told = {listing.record.listing_id: listing.record.images for listing in kept}
        facts = {listing.record.listing_id: _facts_of(listing) for listing in new}
        digests |= _write_images({i: images for i, images in told.items() if images}, digests, facts)
    index.write_details(change.cycle, change.listings, digests, change.at, there)
    failures.clear("listing", [listing.record.listing_id for listing in change.listings])


def write_gone(change: ListingsGone) -> None:
    """Write a `removed` row for each listing that is known and gone."""
    ids = [listing_id for listing_id, _, _ in change.listings]
    known = _known(ids)
    rows = [{"listing": i, "snapshot_timestamp": change.at, "state": "removed"} for i in ids if i in known]
    bulk.insert_new(ListingDynamic, rows)
    index.write_gone(change)
    failures.clear("listing", ids)


def write_images(change: ImagesSeen) -> None:
    """Write the images of one listing that a batch had left out."""
    told: dict[str, int | None] = {"images_missing": 0, "image_count": len(change.images)}
    if change.images:
        told["images_digest"] = _write_images({change.listing_id: change.images}, {}, {})[change.listing_id]
    IndexedListing.update(told).where(IndexedListing.listing_id == change.listing_id).execute()
    failures.clear("images", [change.listing_id])


def _static_row(listing: DetailedListing, at: str) -> tuple[Any, ...]:
    """Return a row of LISTING_ROW."""
    return (*static_of(listing.record), *_money(listing.record.price), listing.shop_id, at)


def _dynamic_row(record: ListingRecord, at: str) -> tuple[Any, ...]:
    """Return a row of DYNAMIC_ROW."""
    return (*figures_of(record), *_money(record.price), at)


def _money(price: Money) -> tuple[int | None, int | None, str | None]:
    return price.amount, price.divisor, price.currency


def _known(listing_ids: Iterable[int]) -> set[int]:
    """Return which of these listings are there."""
    return {row[0] for row in bulk.find(Listing.listing_id, listing_ids, (Listing.listing_id,))}


def _write_images(
    images: Mapping[int, tuple[ImageRecord, ...]],
    digests: Mapping[int, int | None],
    new: Mapping[int, tuple[int, str | None, float | None]],
) -> dict[int, int | None]:
    """Insert new images and correct changed ones; an image that left its listing stays, primary no more.

    At a refresh hardly any image has changed: listings whose images are as in `digests` are passed over. Those that
    were just inserted have none yet; `new` has what each of their images repeats (IMAGE_FACTS). Returns the digests of
    all that were not passed over.
    """
    told = {i: images_digest(records) for i, records in images.items()}
    moved = {i: digest for i, digest in told.items() if i in new or digest != digests.get(i)}
    there = {row[KEY]: row for row in bulk.find(ImageStatus.listing, moved.keys() - new.keys(), IMAGE_ROW)}
    rows = {row[KEY]: row for listing_id in moved for row in _images_told(listing_id, images[listing_id])}
    changed = [row for key, row in rows.items() if there.get(key) != row]
    for key, row in there.items():
        if key not in rows and row[IS_PRIMARY]:
            ImageStatus.update(is_primary=0).where(
                ImageStatus.listing == key[0], ImageStatus.image_id == key[1]
            ).execute()
    listings = bulk.find(Listing.listing_id, {row[0] for row in changed} - new.keys(), LISTING_FACTS)
    facts = {**new, **{listing_id: _facts(*others) for listing_id, *others in listings}}
    bulk.upsert_tuples(WHOLE_IMAGE_ROW, [(*row, *facts[row[0]]) for row in changed], IMAGE_KEY, IMAGE_TOLD)
    _try_anew(changed, {key: row[ADDRESS] for key, row in there.items()})
    return dict(moved)


def _try_anew(changed: Sequence[tuple[Any, ...]], before: Mapping[Any, tuple[Any, ...]]) -> None:
    """Queue images that could not be had and have another address now, as if never tried."""
    moved = [row for row in changed if row[KEY] in before and row[ADDRESS] != before[row[KEY]]]
    again = {"to_download": 1, "outcome": None, "attempts": 0, "retry_at": 0}
    values = [{"listing": row[0], "image_id": row[1], **again} for row in moved]
    bulk.update(ImageStatus, values, IMAGE_KEY, "outcome IS NOT NULL AND download_done = 0")


def _images_told(listing_id: int, records: tuple[ImageRecord, ...]) -> list[tuple[Any, ...]]:
    """Return what an answer tells of each image (IMAGE_ROW)."""
    primary = primary_image_id(records)
    return [
        (listing_id, image.image_id, image.hex, image.suffix, image.url, int(image.image_id == primary))
        for image in records
    ]


def _facts(
    shop_id: int, when_made: str | None, amount: int | None, divisor: int | None
) -> tuple[int, str | None, float | None]:
    """Return what an image's row repeats of its listing (IMAGE_FACTS)."""
    return shop_id, when_made, Money(amount, divisor, None).major


def _facts_of(listing: DetailedListing) -> tuple[int, str | None, float | None]:
    """Return the same of a listing that was just inserted."""
    return listing.shop_id, listing.record.when_made, listing.record.price.major
