"""Answers read value by value, from JSON of which nothing is certain; pure. What makes no sense is None, or left out.

It brings what it finds into the shapes that a good answer is decoded into, so that records.py makes both the same.
"""

from __future__ import annotations

from typing import Any

from crawler.api import records, shapes
from crawler.api.fields import read_count, read_id, read_list, read_text, read_told
from crawler.api.records import MOST_ROWS, Unreadable, each, once

IMAGE_SIZES = ("url_570xN", "url_fullxfull", "url_170x135", "url_75x75")


def parse_search_page(payload: Any) -> records.SearchPage:
    """Return one page of findAllListingsActive."""
    count, results = _count_and_results(payload)
    rows, failures = each(results, parse_search_row)
    return records.SearchPage(count, tuple(rows), len(failures))


def parse_search_row(row: Any) -> records.SearchRow:
    """Return what a search says of one listing."""
    row = _object(row)
    return records.search_row_of(shapes.loosely(shapes.SearchRow, row, price=_told_money(row.get("price"))))


def parse_listing_batch(payload: Any) -> records.ListingBatch:
    """Return the listings of getListingsByListingIds; one bad listing does not spoil the others."""
    _, results = _count_and_results(payload)
    listings, failures = each(results, parse_listing)
    named = {read_id(row, "listing_id"): reason for row, reason in failures if isinstance(row, dict)}
    return records.ListingBatch(tuple(listings), {i: reason for i, reason in named.items() if i is not None})


def parse_listing(row: Any) -> records.ListingRecord:
    """Return one listing with its shop and images, of a batch or of getListing."""
    row = _object(row, "a listing")
    shop = shapes.loosely(shapes.Shop, row["shop"]) if isinstance(row.get("shop"), dict) else None
    images = _told_images(row["images"]) if isinstance(row.get("images"), list) else None
    price = _told_money(row.get("price"))
    return records.listing_of(shapes.loosely(shapes.Listing, row, price=price, shop=shop, images=images))


def parse_shop(row: Any) -> records.ShopRecord:
    """Return one shop, of getShop or of a listing's `shop`."""
    return records.shop_of(shapes.loosely(shapes.Shop, _object(row, "a shop")))


def parse_images(rows: Any) -> tuple[records.ImageRecord, ...]:
    """Return the readable images of a list, each image once."""
    rows = rows.get("results") if isinstance(rows, dict) else rows
    if not isinstance(rows, list):
        raise Unreadable("the images are no list")
    return once(each(rows, parse_image)[0])


def parse_image(row: Any) -> records.ImageRecord:
    """Return one image; the id in its address is the true one, `listing_image_id` may differ."""
    return records.image_of(_told_image(_object(row)))


def parse_review_page(payload: Any, shop_id: int) -> records.ReviewPage:
    """Return one page of getReviewsByShop for the shop that was asked about."""
    count, results = _count_and_results(payload)
    reviews, failures = each(results, lambda row: parse_review(row, shop_id))
    return records.ReviewPage(count, tuple(reviews), len(failures))


def parse_review(row: Any, shop_id: int) -> records.ReviewRecord:
    """Return one review; it is told from others by `transaction_id`, or by a number made of what it says."""
    return records.review_of(shapes.loosely(shapes.Review, _object(row)), shop_id)


def parse_taxonomy(payload: Any) -> dict[int, records.TaxonomyNode]:
    """Return all nodes of a taxonomy answer by id, however deep they are nested."""
    _, results = _count_and_results(payload)
    nodes: dict[int, records.TaxonomyNode] = {}
    # A list instead of recursion: a hostile answer may be nested deeper than Python recurses.
    waiting: list[tuple[Any, int | None]] = [(row, None) for row in results]
    while waiting:
        row, parent_id = waiting.pop()
        if not isinstance(row, dict) or (node_id := read_id(row, "id")) is None or node_id in nodes:
            continue
        children = [child for child in read_list(row, "children") if isinstance(child, dict)]
        ids = tuple(child_id for child in children if (child_id := read_id(child, "id")) is not None)
        nodes[node_id] = records.TaxonomyNode(node_id, read_text(row, "name") or "", parent_id, ids)
        waiting += [(child, node_id) for child in children]
    return nodes


def _told_money(value: Any) -> shapes.Money | None:
    return shapes.loosely(shapes.Money, value) if isinstance(value, dict) else None


def _told_images(rows: list[Any]) -> list[shapes.Image]:
    if len(rows) > MOST_ROWS:
        raise Unreadable(f"{len(rows)} images are more than any listing has")
    return [_told_image(row) for row in rows if isinstance(row, dict)]


def _told_image(row: dict[str, Any]) -> shapes.Image:
    """Return the image with the address of whichever size is told, the usual one first."""
    address = next(filter(None, (read_told(row, size) for size in IMAGE_SIZES)), "")
    return shapes.loosely(shapes.Image, row, url_570xN=address)


def _count_and_results(payload: Any) -> tuple[int | None, list[Any]]:
    if not isinstance(payload, dict) or not isinstance(payload.get("results"), list):
        raise Unreadable("the answer has no list of results")
    results: list[Any] = payload["results"]
    return read_count(payload, "count"), results


def _object(row: Any, what: str = "a row") -> dict[str, Any]:
    if not isinstance(row, dict):
        raise Unreadable(f"{what} is a {type(row).__name__}, not an object")
    return row
