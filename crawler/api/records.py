"""What the API's answers say, as frozen records; with refusals.py the only file that knows Etsy's JSON keys.

`parse_` functions are pure. Every key may be missing and every value null: a record holds None there. What
has no identity (no id) or no shape (a list where an object should be) raises Unreadable.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from crawler.api.fields import (
    read_count,
    read_flag,
    read_id,
    read_integer,
    read_json_array,
    read_list,
    read_real,
    read_text,
)

ADDRESS = re.compile(
    r"(?P<plain>^https?://[^/]+(?:/[0-9]+/r)?)?/il/(?P<hex>[0-9a-f]+)/(?P<id>[1-9][0-9]{0,17})"
    r"/il_[0-9a-zA-Z]+\.(?P=id)_(?P<suffix>[0-9A-Za-z]+)\.jpg(?P<query>\?.*)?$"
)
LAST_RANK = 1_000_000  # of an image that has none
MOST_ROWS = 10_000  # a hundred times a page; what has more is no page, and more than one statement takes
IMAGE_SIZES = ("url_570xN", "url_fullxfull", "url_170x135", "url_75x75")
Record = TypeVar("Record")


class Unreadable(ValueError):
    """The answer is JSON and makes no sense as what was asked for."""


@dataclass(frozen=True, slots=True)
class Money:
    """A price as the API gives it: amount / divisor in the currency."""

    amount: int | None
    divisor: int | None
    currency: str | None

    @property
    def major(self) -> float | None:
        """The price in major units, None where it cannot be told."""
        return self.amount / self.divisor if self.amount is not None and self.divisor else None


@dataclass(frozen=True, slots=True)
class SearchRow:
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


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image of a listing; `url` is the whole address where hex and suffix do not rebuild it."""

    image_id: int
    rank: int | None
    hex: str
    suffix: str
    url: str | None


@dataclass(frozen=True, slots=True)
class ShopRecord:
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


@dataclass(frozen=True, slots=True)
class ListingRecord:
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


@dataclass(frozen=True, slots=True)
class ReviewRecord:
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


def parse_search_page(payload: Any) -> SearchPage:
    """Return one page of findAllListingsActive."""
    count, results = _count_and_results(payload)
    rows, unreadable = _each(results, parse_search_row)
    return SearchPage(count, tuple(rows), len(unreadable))


def parse_search_row(row: dict[str, Any]) -> SearchRow:
    """Return what a search says of one listing."""
    return SearchRow(
        listing_id=_identity(row, "listing_id"),
        shop_id=read_id(row, "shop_id"),
        when_made=read_text(row, "when_made"),
        taxonomy_id=read_integer(row, "taxonomy_id"),
        price=parse_money(row.get("price")),
    )


def parse_listing_batch(payload: Any) -> ListingBatch:
    """Return the listings of getListingsByListingIds; one bad listing does not spoil the others."""
    _, results = _count_and_results(payload)
    listings, failures = _each(results, parse_listing)
    unreadable = {}
    for row, reason in failures:
        listing_id = read_id(row, "listing_id") if isinstance(row, dict) else None
        if listing_id is not None:
            unreadable[listing_id] = reason
    return ListingBatch(tuple(listings), unreadable)


def parse_listing(row: Any) -> ListingRecord:
    """Return one listing with its shop and images, of a batch or of getListing."""
    if not isinstance(row, dict):
        raise Unreadable(f"a listing is a {type(row).__name__}, not an object")
    shop_record, images = _optional(row.get("shop"), parse_shop), row.get("images")
    return ListingRecord(
        listing_id=_identity(row, "listing_id"),
        shop_id=read_id(row, "shop_id") or (shop_record.shop_id if shop_record else None),
        title=read_text(row, "title"),
        description=read_text(row, "description"),
        creation_timestamp=read_integer(row, "creation_timestamp"),
        url=read_text(row, "url"),
        is_customizable=read_flag(row, "is_customizable"),
        is_personalizable=read_flag(row, "is_personalizable"),
        listing_type=read_text(row, "listing_type"),
        tags=read_json_array(row, "tags"),
        materials=read_json_array(row, "materials"),
        processing_min=read_integer(row, "processing_min"),
        processing_max=read_integer(row, "processing_max"),
        who_made=read_text(row, "who_made"),
        when_made=read_text(row, "when_made"),
        item_weight=read_real(row, "item_weight"),
        item_weight_unit=read_text(row, "item_weight_unit"),
        item_length=read_real(row, "item_length"),
        item_width=read_real(row, "item_width"),
        item_height=read_real(row, "item_height"),
        item_dimensions_unit=read_text(row, "item_dimensions_unit"),
        should_auto_renew=read_flag(row, "should_auto_renew"),
        language=read_text(row, "language"),
        price=parse_money(row.get("price")),
        taxonomy_id=read_integer(row, "taxonomy_id"),
        production_partners=read_json_array(row, "production_partners"),
        state=read_text(row, "state"),
        ending_timestamp=read_integer(row, "ending_timestamp"),
        quantity=read_integer(row, "quantity"),
        num_favorers=read_integer(row, "num_favorers"),
        views=read_integer(row, "views"),
        shop=shop_record,
        images=parse_images(images) if isinstance(images, list) else None,
    )


def parse_shop(row: Any) -> ShopRecord:
    """Return one shop, of getShop or of a listing's `shop`."""
    if not isinstance(row, dict):
        raise Unreadable(f"a shop is a {type(row).__name__}, not an object")
    return ShopRecord(
        shop_id=_identity(row, "shop_id"),
        create_date=read_integer(row, "create_date"),
        url=read_text(row, "url"),
        is_shop_us_based=read_flag(row, "is_shop_us_based"),
        shipping_from_country_iso=read_text(row, "shipping_from_country_iso"),
        shop_location_country_iso=read_text(row, "shop_location_country_iso"),
        update_date=read_integer(row, "update_date"),
        listing_active_count=read_integer(row, "listing_active_count"),
        accepts_custom_requests=read_flag(row, "accepts_custom_requests"),
        num_favorers=read_integer(row, "num_favorers"),
        transaction_sold_count=read_count(row, "transaction_sold_count"),
        review_average=read_real(row, "review_average"),
        review_count=read_count(row, "review_count"),
    )


def parse_images(rows: Any) -> tuple[ImageRecord, ...]:
    """Return the readable images of a list, each image once."""
    rows = rows.get("results") if isinstance(rows, dict) else rows
    if not isinstance(rows, list):
        raise Unreadable("the images are no list")
    # The first mention of an image wins, and the order of the answer is kept.
    images, _ = _each(rows, parse_image)
    return tuple({image.image_id: image for image in reversed(images)}.values())[::-1]


def parse_image(row: dict[str, Any]) -> ImageRecord:
    """Return one image; the id in its address is the true one, `listing_image_id` may differ."""
    address = read_text(row, IMAGE_SIZES[0]) or next(filter(None, (read_text(row, size) for size in IMAGE_SIZES)), None)
    match = ADDRESS.search(address or "")
    rank = read_integer(row, "rank")
    if address is None or match is None:
        return ImageRecord(_identity(row, "listing_image_id"), rank, "", "", address)
    plain, hex_part, image_id, suffix, query = match.groups()
    return ImageRecord(int(image_id), rank, hex_part, suffix, None if plain and not query else address)


def primary_image_id(images: tuple[ImageRecord, ...]) -> int | None:
    """Return the id of the primary image: rank 1, else the lowest rank, else the first; None for no images."""
    if not images:
        return None
    return min(images, key=lambda image: image.rank if image.rank is not None else LAST_RANK).image_id


def parse_review_page(payload: Any, shop_id: int) -> ReviewPage:
    """Return one page of getReviewsByShop for the shop that was asked about."""
    count, results = _count_and_results(payload)
    reviews, unreadable = _each(results, lambda row: parse_review(row, shop_id))
    return ReviewPage(count, tuple(reviews), len(unreadable))


def parse_review(row: dict[str, Any], shop_id: int) -> ReviewRecord:
    """Return one review; it is told from others by `transaction_id`, or by a number made of what it says."""
    listing_id, buyer = read_integer(row, "listing_id"), read_integer(row, "buyer_user_id")
    created = read_integer(row, "create_timestamp")
    created = created if created is not None else read_integer(row, "created_timestamp")
    transaction_id = read_id(row, "transaction_id")
    if transaction_id is None:
        transaction_id = _stand_in(shop_id, listing_id, buyer, created)
    return ReviewRecord(
        transaction_id=transaction_id,
        shop_id=shop_id,
        listing_id=listing_id,
        buyer_user_id=buyer,
        rating=read_integer(row, "rating"),
        review=read_text(row, "review"),
        language=read_text(row, "language"),
        create_timestamp=created,
    )


def parse_taxonomy(payload: Any) -> dict[int, TaxonomyNode]:
    """Return all nodes of a taxonomy answer by id, however deep they are nested."""
    _, results = _count_and_results(payload)
    nodes: dict[int, TaxonomyNode] = {}
    # A list instead of recursion: a hostile answer may be nested deeper than Python recurses.
    waiting: list[tuple[Any, int | None]] = [(row, None) for row in results]
    while waiting:
        row, parent_id = waiting.pop()
        if not isinstance(row, dict) or (node_id := read_id(row, "id")) is None or node_id in nodes:
            continue
        children = [child for child in read_list(row, "children") if isinstance(child, dict)]
        ids = tuple(child_id for child in children if (child_id := read_id(child, "id")) is not None)
        nodes[node_id] = TaxonomyNode(node_id, read_text(row, "name") or "", parent_id, ids)
        waiting += [(child, node_id) for child in children]
    return nodes


def parse_money(value: Any) -> Money:
    """Return a price; all None where there is none."""
    if not isinstance(value, dict):
        return Money(None, None, None)
    return Money(read_integer(value, "amount"), read_integer(value, "divisor"), read_text(value, "currency_code"))


def _count_and_results(payload: Any) -> tuple[int | None, list[Any]]:
    if not isinstance(payload, dict) or not isinstance(payload.get("results"), list):
        raise Unreadable("the answer has no list of results")
    results: list[Any] = payload["results"]
    return read_count(payload, "count"), results


def _each(rows: list[Any], parse: Callable[[dict[str, Any]], Record]) -> tuple[list[Record], list[tuple[Any, str]]]:
    """Return the rows that parse, and each of the others with its reason."""
    if len(rows) > MOST_ROWS:
        raise Unreadable(f"{len(rows)} rows are more than any answer has")
    parsed, failures = [], []
    for row in rows:
        try:
            if not isinstance(row, dict):
                raise Unreadable(f"a row is a {type(row).__name__}, not an object")
            parsed.append(parse(row))
        except Unreadable as reason:
            failures.append((row, str(reason)))
    return parsed, failures


def _identity(row: dict[str, Any], key: str) -> int:
    value = read_id(row, key)
    if value is None:
        raise Unreadable(f"{key} is missing or no id")
    return value


def _optional(value: Any, parse: Callable[[Any], Record]) -> Record | None:
    try:
        return parse(value) if value is not None else None
    except Unreadable:
        return None


def _stand_in(*parts: int | None) -> int:
    # Negative, so that it can never be a transaction_id that the API gives.
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return -(int.from_bytes(digest[:7], "big") + 1)
