"""What the API's answers say, as frozen records; pure. shapes.py has Etsy's JSON keys.

`…_of` makes them of shapes. Every key may be missing and every value null: a record holds None there. What has no
identity (no id) raises Unreadable. Those of which an answer has hundreds are msgspec's, made in a fraction of a frozen
dataclass's time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from msgspec import Struct
from msgspec.msgpack import encode
from msgspec.structs import replace

from crawler.api import shapes
from crawler.api.fields import clean, json_array

ADDRESS = re.compile(
    r"(?P<plain>^https?://[^/]+(?:/[0-9]+/r)?)?/il/(?P<hex>[0-9a-f]+)/(?P<id>[1-9][0-9]{0,17})"
    r"/il_[0-9a-zA-Z]+\.(?P=id)_(?P<suffix>[0-9A-Za-z]+)\.jpg(?P<query>\?.*)?$"
)
LAST_RANK = 1_000_000  # of an image that has none
MOST_ROWS = 10_000  # a hundred times a page; what has more is no page, and more than one statement takes
Told = TypeVar("Told")
Record = TypeVar("Record")


class Unreadable(ValueError):
    """The answer is JSON and makes no sense as what was asked for."""


class Money(Struct, frozen=True, gc=False):
    """A price as the API gives it: amount / divisor in the currency."""

    amount: int | None
    divisor: int | None
    currency: str | None

    @property
    def major(self) -> float | None:
        """The price in major units, None where it cannot be told."""
        return self.amount / self.divisor if self.amount is not None and self.divisor else None


NO_MONEY = Money(None, None, None)


class SearchRow(Struct, frozen=True, gc=False):
    """What a search says of one listing; `when_made` is None where the answer left it out."""

    listing_id: int
    shop_id: int | None
    when_made: str | None
    taxonomy_id: int | None
    price: Money


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of a search: the total that the API reports (if it does), and the rows; `unreadable` counts bad ones."""

    count: int | None
    rows: tuple[SearchRow, ...]
    unreadable: int


class ImageRecord(Struct, frozen=True, gc=False, array_like=True):
    """One image of a listing; `url` is the whole address where hex and suffix do not rebuild it."""

    image_id: int
    rank: int | None
    hex: str
    suffix: str
    url: str | None


class ShopRecord(Struct, frozen=True, gc=False):
    """A shop; the field names are the data model's."""

    shop_id: int
    create_date: int | None
    url: str | None
    is_shop_us_based: int | None
    shipping_from_country_iso: str | None
    shop_location_country_iso: str | None
    update_date: int | None
    listing_active_count: int | None
    accepts_custom_requests: int | None
    num_favorers: int | None
    transaction_sold_count: int | None
    review_average: float | None
    review_count: int | None


class ListingRecord(Struct, frozen=True, gc=False):
    """A listing with what came along; the field names are the data model's.

    `shop` and `images` are None where the answer left them out (an empty tuple is a listing without images).
    """

    listing_id: int
    shop_id: int | None
    title: str | None
    description: str | None
    creation_timestamp: int | None
    url: str | None
    is_customizable: int | None
    is_personalizable: int | None
    listing_type: str | None
    tags: str
    materials: str
    processing_min: int | None
    processing_max: int | None
    who_made: str | None
    when_made: str | None
    item_weight: float | None
    item_weight_unit: str | None
    item_length: float | None
    item_width: float | None
    item_height: float | None
    item_dimensions_unit: str | None
    should_auto_renew: int | None
    language: str | None
    price: Money
    taxonomy_id: int | None
    production_partners: str
    state: str | None
    ending_timestamp: int | None
    quantity: int | None
    num_favorers: int | None
    views: int | None
    shop: ShopRecord | None
    images: tuple[ImageRecord, ...] | None


@dataclass(frozen=True, slots=True)
class ListingBatch:
    """The readable listings of a batch, and why each of the others could not be read, by id.

    `server_time` is when the server told them, by its own clock (Unix seconds), None where it does not say.
    """

    listings: tuple[ListingRecord, ...]
    unreadable: Mapping[int, str]
    server_time: float | None = None


class ReviewRecord(Struct, frozen=True, gc=False):
    """A review; `transaction_id` is negative where the API gave none."""

    transaction_id: int
    shop_id: int
    listing_id: int | None
    buyer_user_id: int | None
    rating: int | None
    review: str | None
    language: str | None
    create_timestamp: int | None


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """One page of a shop's reviews, newest first, and the total behind it (if the API tells it).

    `unreadable` counts rows that are no reviews.
    """

    count: int | None
    reviews: tuple[ReviewRecord, ...]
    unreadable: int


@dataclass(frozen=True, slots=True)
class TaxonomyNode:
    """One category; children are listed by id in `children_ids`."""

    id: int
    name: str
    parent_id: int | None
    children_ids: tuple[int, ...]


def search_page_of(told: shapes.SearchPage) -> SearchPage:
    """Return one page of a search."""
    rows, failures = each(told.results, search_row_of)
    return SearchPage(told.count, tuple(rows), len(failures))


def search_row_of(told: shapes.SearchRow) -> SearchRow:
    """Return what a search says of one listing."""
    return SearchRow(
        _identity(told.listing_id, "listing_id"),
        told.shop_id,
        clean(told.when_made),
        told.taxonomy_id,
        money_of(told.price),
    )


def listing_batch_of(told: shapes.ListingBatch) -> ListingBatch:
    """Return the listings of a batch; one bad listing does not spoil the others."""
    listings, failures = each(told.results, listing_of)
    unreadable = {row.listing_id: reason for row, reason in failures if row.listing_id is not None}
    return ListingBatch(tuple(listings), unreadable)


def listing_of(told: shapes.Listing) -> ListingRecord:
    """Return one listing with its shop and images."""
    shop = _shop_or_none(told.shop)
    return ListingRecord(
        listing_id=_identity(told.listing_id, "listing_id"),
        shop_id=told.shop_id or (shop.shop_id if shop else None),
        title=clean(told.title),
        description=clean(told.description),
        creation_timestamp=told.creation_timestamp,
        url=clean(told.url),
        is_customizable=_number(told.is_customizable),
        is_personalizable=_number(told.is_personalizable),
        listing_type=clean(told.listing_type),
        tags=json_array(told.tags),
        materials=json_array(told.materials),
        processing_min=told.processing_min,
        processing_max=told.processing_max,
        who_made=clean(told.who_made),
        when_made=clean(told.when_made),
        item_weight=told.item_weight,
        item_weight_unit=clean(told.item_weight_unit),
        item_length=told.item_length,
        item_width=told.item_width,
        item_height=told.item_height,
        item_dimensions_unit=clean(told.item_dimensions_unit),
        should_auto_renew=_number(told.should_auto_renew),
        language=clean(told.language),
        price=money_of(told.price),
        taxonomy_id=told.taxonomy_id,
        production_partners=json_array(told.production_partners),
        state=clean(told.state),
        ending_timestamp=told.ending_timestamp,
        quantity=told.quantity,
        num_favorers=told.num_favorers,
        views=told.views,
        shop=shop,
        images=None if told.images is None else images_of(told.images),
    )


def completed(
    record: ListingRecord, when_made: str | None, shop_id: int | None, taxonomy_id: int | None
) -> ListingRecord:
    """Return the record with these values where it has none."""
    return replace(
        record,
        when_made=record.when_made if record.when_made is not None else when_made,
        shop_id=record.shop_id if record.shop_id is not None else shop_id,
        taxonomy_id=record.taxonomy_id if record.taxonomy_id is not None else taxonomy_id,
    )


def shop_of(told: shapes.Shop) -> ShopRecord:
    """Return one shop."""
    return ShopRecord(
        shop_id=_identity(told.shop_id, "shop_id"),
        create_date=told.create_date,
        url=clean(told.url),
        is_shop_us_based=_number(told.is_shop_us_based),
        shipping_from_country_iso=clean(told.shipping_from_country_iso),
        shop_location_country_iso=clean(told.shop_location_country_iso),
        update_date=told.update_date,
        listing_active_count=told.listing_active_count,
        accepts_custom_requests=_number(told.accepts_custom_requests),
        num_favorers=told.num_favorers,
        transaction_sold_count=told.transaction_sold_count,
        review_average=told.review_average,
        review_count=told.review_count,
    )


def images_of(told: list[shapes.Image]) -> tuple[ImageRecord, ...]:
    """Return the readable images of a list, each image once."""
    return once(each(told, image_of)[0])


def image_of(told: shapes.Image) -> ImageRecord:
    """Return one image; the id in its address is the true one, `listing_image_id` may differ."""
    address = clean(told.url_570xN)
    match = ADDRESS.search(address or "")
    if match is None:
        return ImageRecord(_identity(told.listing_image_id, "listing_image_id"), told.rank, "", "", address or None)
    plain, hex_part, image_id, suffix, query = match.groups()
    return ImageRecord(int(image_id), told.rank, hex_part, suffix, None if plain and not query else address)


def primary_image_id(images: tuple[ImageRecord, ...]) -> int | None:
    """Return the id of the primary image: rank 1, else the lowest rank, else the first; None for no images."""
    if not images:
        return None
    ranks = [LAST_RANK if image.rank is None else image.rank for image in images]
    return images[ranks.index(min(ranks))].image_id


def images_digest(images: tuple[ImageRecord, ...]) -> int:
    """Return a number of 64 bits, with its sign, that stands for all that these images tell."""
    return int.from_bytes(hashlib.blake2b(encode(images), digest_size=8).digest(), "big", signed=True)


def review_page_of(told: shapes.ReviewPage, shop_id: int) -> ReviewPage:
    """Return one page of a shop's reviews."""
    reviews, failures = each(told.results, lambda row: review_of(row, shop_id))
    return ReviewPage(told.count, tuple(reviews), len(failures))


def review_of(told: shapes.Review, shop_id: int) -> ReviewRecord:
    """Return one review; it is told from others by `transaction_id`, or by a number made of what it says."""
    created = told.create_timestamp if told.create_timestamp is not None else told.created_timestamp
    transaction_id = told.transaction_id
    if transaction_id is None:
        transaction_id = _stand_in(shop_id, told.listing_id, told.buyer_user_id, created)
    return ReviewRecord(
        transaction_id=transaction_id,
        shop_id=shop_id,
        listing_id=told.listing_id,
        buyer_user_id=told.buyer_user_id,
        rating=told.rating,
        review=clean(told.review),
        language=clean(told.language),
        create_timestamp=created,
    )


def money_of(told: shapes.Money | None) -> Money:
    """Return a price; all None where there is none."""
    return NO_MONEY if told is None else Money(told.amount, told.divisor, clean(told.currency_code))


def each(rows: list[Told], parse: Callable[[Told], Record]) -> tuple[list[Record], list[tuple[Told, str]]]:
    """Return the rows that parse, and each of the others with its reason."""
    if len(rows) > MOST_ROWS:
        raise Unreadable(f"{len(rows)} rows are more than any answer has")
    parsed: list[Record] = []
    failures: list[tuple[Told, str]] = []
    for row in rows:
        try:
            parsed.append(parse(row))
        except Unreadable as reason:
            failures.append((row, str(reason)))
    return parsed, failures


def once(images: list[ImageRecord]) -> tuple[ImageRecord, ...]:
    """Return each image once: its first mention wins, and the order of the answer is kept."""
    return tuple({image.image_id: image for image in reversed(images)}.values())[::-1]


def _identity(value: int | None, key: str) -> int:
    if value is None:
        raise Unreadable(f"{key} is missing or no id")
    return value


def _shop_or_none(told: shapes.Shop | None) -> ShopRecord | None:
    return None if told is None or told.shop_id is None else shop_of(told)


def _number(flag: bool | int | None) -> int | None:
    return None if flag is None else int(flag)


def _stand_in(*parts: int | None) -> int:
    # Negative, so that it can never be a transaction_id that the API gives.
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return -(int.from_bytes(digest[:7], "big") + 1)
