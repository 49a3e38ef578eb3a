"""From the bytes of an answer to records: straight into typed shapes where it is as it should be, else value by value.

    bytes → shapes → records            nearly always; keys that nobody reads are passed over
    bytes → JSON values → records       where a value is of another kind than Etsy's document says, or no value at all

Both ways tell the same of the same answer. The second one makes sense of whatever came, and takes three times as long.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import orjson
from msgspec import MsgspecError
from msgspec.json import Decoder

from crawler.api import parsing, records, shapes

SEARCH_PAGE = Decoder(shapes.SearchPage)
LISTING_BATCH = Decoder(shapes.ListingBatch)
REVIEW_PAGE = Decoder(shapes.ReviewPage)
Told = TypeVar("Told")
Parsed = TypeVar("Parsed")


class NotJson(ValueError):
    """The answer is no JSON at all."""


def untyped(parse: Callable[[Any], Parsed]) -> Callable[[bytes], Parsed]:
    """Return the reader of answers that are too few to be decoded into shapes."""
    return lambda body: parse(load_json(body))


def load_json(body: bytes) -> Any:
    """Return the JSON value; NotJson."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:  # the standard library takes what orjson refuses: lone surrogates, integers beyond 64 bits
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotJson("the answer is no JSON") from error


def read_search_page(body: bytes) -> records.SearchPage:
    """Return one page of findAllListingsActive; NotJson, Unreadable."""
    return _read(body, SEARCH_PAGE, records.search_page_of, parsing.parse_search_page)


def read_listing_batch(body: bytes) -> records.ListingBatch:
    """Return the listings of getListingsByListingIds; NotJson, Unreadable."""
    return _read(body, LISTING_BATCH, records.listing_batch_of, parsing.parse_listing_batch)


def read_review_page(body: bytes, shop_id: int) -> records.ReviewPage:
    """Return one page of getReviewsByShop for the shop that was asked about; NotJson, Unreadable."""
    take, parse = (partial(read, shop_id=shop_id) for read in (records.review_page_of, parsing.parse_review_page))
    return _read(body, REVIEW_PAGE, take, parse)


def _read(
    body: bytes, decoder: Decoder[Told], take: Callable[[Told], Parsed], parse: Callable[[Any], Parsed]
) -> Parsed:
    """Return what `take` makes of the shape, or `parse` of JSON values where the answer has another."""
    try:
        told = decoder.decode(body)
    except (MsgspecError, RecursionError):
        return parse(load_json(body))
    return take(told)
