"""What the API's answers look like as JSON; with parsing.py and refusals.py the only file that knows Etsy's keys.

An answer as it should be is decoded into these in one go (reading.py). One with anything odd in it comes as plain JSON
values, of which `loosely` takes what makes sense. Either way the texts are still as they were told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, TypeVar, get_type_hints

from msgspec import Meta, Struct

from crawler.api.fields import (
    LARGEST_COUNT,
    LARGEST_ID,
    LARGEST_INTEGER,
    read_count,
    read_flag,
    read_id,
    read_integer,
    read_list,
    read_real,
    read_told,
)

Whole = Annotated[int, Meta(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)] | None
Id = Annotated[int, Meta(ge=1, le=LARGEST_ID)] | None
Count = Annotated[int, Meta(ge=0, le=LARGEST_COUNT)] | None
Real = float | None
Flag = bool | None
Text = str | None
Texts = list[str] | None
Values = list[Any] | None
Shape = TypeVar("Shape", bound=Struct)


class Money(Struct, gc=False):
    """A price."""

    amount: Whole = None
    divisor: Whole = None
    currency_code: Text = None


class SearchRow(Struct, gc=False):
    """What a search tells of a listing that is kept."""

    listing_id: Id = None
    shop_id: Id = None
    when_made: Text = None
    taxonomy_id: Whole = None
    price: Money | None = None


class Image(Struct, gc=False):
    """An image; where this size's address is missing another one serves, so an answer without it is read loosely."""

    url_570xN: Annotated[str, Meta(min_length=1)]  # noqa: N815 - Etsy's spelling
    listing_image_id: Id = None
    rank: Whole = None


class Shop(Struct, gc=False):
    """A shop."""

    shop_id: Id = None
    create_date: Whole = None
    url: Text = None
    is_shop_us_based: Flag = None
    shipping_from_country_iso: Text = None
    shop_location_country_iso: Text = None
    update_date: Whole = None
    listing_active_count: Whole = None
    accepts_custom_requests: Flag = None
    num_favorers: Whole = None
    transaction_sold_count: Count = None
    review_average: Real = None
    review_count: Count = None


class Listing(Struct, gc=False):
    """A listing with its shop and images."""

    listing_id: Id = None
    shop_id: Id = None
    title: Text = None
    description: Text = None
    creation_timestamp: Whole = None
    url: Text = None
    is_customizable: Flag = None
    is_personalizable: Flag = None
    listing_type: Text = None
    tags: Texts = None
    materials: Texts = None
    processing_min: Whole = None
    processing_max: Whole = None
    who_made: Text = None
    when_made: Text = None
    item_weight: Real = None
    item_weight_unit: Text = None
    item_length: Real = None
    item_width: Real = None
    item_height: Real = None
    item_dimensions_unit: Text = None
    should_auto_renew: Flag = None
    language: Text = None
    price: Money | None = None
    taxonomy_id: Whole = None
    production_partners: Values = None
    state: Text = None
    ending_timestamp: Whole = None
    quantity: Whole = None
    num_favorers: Whole = None
    views: Whole = None
    shop: Shop | None = None
    images: list[Image] | None = None


class Review(Struct, gc=False):
    """A review; its time has two names."""

    transaction_id: Id = None
    listing_id: Whole = None
    buyer_user_id: Whole = None
    rating: Whole = None
    review: Text = None
    language: Text = None
    create_timestamp: Whole = None
    created_timestamp: Whole = None


class SearchPage(Struct, gc=False):
    """An answer of findAllListingsActive."""

    results: list[SearchRow]
    count: Count = None


class ListingBatch(Struct, gc=False):
    """An answer of getListingsByListingIds."""

    results: list[Listing]
    count: Count = None


class ReviewPage(Struct, gc=False):
    """An answer of getReviewsByShop."""

    results: list[Review]
    count: Count = None


READERS: Mapping[Any, Callable[[dict[str, Any], str], Any]] = {
    Whole: read_integer,
    Id: read_id,
    Count: read_count,
    Real: read_real,
    Flag: read_flag,
    Text: read_told,
    Texts: read_list,
    Values: read_list,
}


def loosely(shape: type[Shape], row: dict[str, Any], **others: Any) -> Shape:
    """Return what makes sense in the row, None for the rest; `others` are the fields that are no single values."""
    return shape(**{name: read(row, name) for name, read in _readers(shape) if name not in others}, **others)


@cache
def _readers(shape: type[Struct]) -> tuple[tuple[str, Callable[[dict[str, Any], str], Any]], ...]:
    kinds = get_type_hints(shape, include_extras=True)
    return tuple((name, READERS[kind]) for name, kind in kinds.items() if kind in READERS)
