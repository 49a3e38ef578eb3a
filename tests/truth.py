"""Holds a data set against what is true in the sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from sandbox import Sandbox
from sandbox.taxonomy import DESCENDANTS, FURNITURE

COLLECTED_TABLES = (
    "shops",
    "shops_dynamic",
    "listings",
    "listings_dynamic",
    "reviews",
    "image_status",
    "indexed_listings",
    "indexed_shops",
    "failed_items",
)
Rows = Callable[..., list[tuple[Any, ...]]]
STATIC = [
    "listing_id",
    "shop_id",
    "title",
    "description",
    "creation_timestamp",
    "url",
    "is_customizable",
    "is_personalizable",
    "listing_type",
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
]
LISTS = ("tags", "materials", "production_partners")
DYNAMIC = ["state", "ending_timestamp", "quantity", "num_favorers", "views"]
SHOP = [
    "shop_id",
    "create_date",
    "url",
    "is_shop_us_based",
    "shipping_from_country_iso",
    "shop_location_country_iso",
]
SHOP_DYNAMIC = [
    "update_date",
    "listing_active_count",
    "accepts_custom_requests",
    "num_favorers",
    "transaction_sold_count",
    "review_average",
    "review_count",
]
REVIEW = [
    "transaction_id",
    "shop_id",
    "listing_id",
    "buyer_user_id",
    "rating",
    "review",
    "language",
    "create_timestamp",
]
ADDRESS = re.compile(r"/il/([0-9a-f]+)/(\d+)/il_570xN\.\d+_(\w+)\.jpg")


def is_wanted(when_made: str | None) -> bool:
    """Say it in other words than the code under test."""
    if not when_made or when_made.startswith("before"):
        return False
    return when_made == "made_to_order" or int(when_made[:4]) >= 2000


def differences(rows: Rows, sandbox: Sandbox) -> list[str]:
    """Return in what the data set differs from a market that stood still; empty where in nothing."""
    truth = sandbox.truth()
    wanted = {
        key: listing
        for key, listing in truth.listings.items()
        if is_wanted(listing["when_made"]) and listing["state"] == "active" and _is_found_by_search(listing)
    }
    shop_ids = {listing["shop_id"] for listing in wanted.values()}
    found = _listing_differences(rows, wanted)
    found += _dynamic_differences(rows, wanted)
    found += _image_differences(rows, {key: truth.images[key] for key in wanted})
    shops = {key: shop for key, shop in truth.shops.items() if key in shop_ids}
    found += _shop_differences(rows, shops)
    found += _review_differences(rows, {k: r for k, r in truth.reviews.items() if r["shop_id"] in shop_ids})
    return found


def _is_found_by_search(listing: dict[str, Any]) -> bool:
    return listing["taxonomy_id"] in DESCENDANTS[FURNITURE]


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _compare(name: str, got: dict[Any, Any], expected: dict[Any, Any]) -> list[str]:
    found = [f"{name} {key} is missing" for key in expected.keys() - got.keys()]
    found += [f"{name} {key} should not be there" for key in got.keys() - expected.keys()]
    for key in expected.keys() & got.keys():
        if got[key] != expected[key]:
            found.append(f"{name} {key}: {got[key]!r} is not {expected[key]!r}")
    return found


def _listing_differences(rows: Rows, wanted: dict[int, Any]) -> list[str]:
    columns = [*STATIC, "price_amount", "price_divisor", "price_currency", *LISTS]
    got = {}
    for row in rows(f"SELECT {', '.join(columns)} FROM listings"):
        got[row[0]] = (*row[: -len(LISTS)], *(json.loads(text) for text in row[-len(LISTS) :]))
    expected = {
        key: (
            *(_plain(listing[name]) for name in STATIC),
            *(listing["price"][name] for name in ("amount", "divisor", "currency_code")),
            *(listing.get(name, []) for name in LISTS),
        )
        for key, listing in wanted.items()
    }
    return _compare("listing", got, expected)


def _dynamic_differences(rows: Rows, wanted: dict[int, Any]) -> list[str]:
    columns = ["listing_id", *DYNAMIC, "price_amount", "price_divisor", "price_currency"]
    query = f"SELECT {', '.join(columns)} FROM listings_dynamic ORDER BY snapshot_timestamp"
    got = {row[0]: row[1:] for row in rows(query)}
    expected = {
        key: (
            *(_plain(listing[name]) for name in DYNAMIC),
            *(listing["price"][name] for name in ("amount", "divisor", "currency_code")),
        )
        for key, listing in wanted.items()
    }
    return _compare("listing's latest row", got, expected)


def _image_differences(rows: Rows, images: dict[int, list[dict[str, Any]]]) -> list[str]:
    got = {
        (listing_id, image_id): (hex_part, suffix, primary)
        for listing_id, image_id, hex_part, suffix, primary in rows(
            "SELECT listing_id, image_id, hex, suffix, is_primary FROM image_status"
        )
    }
    expected = {}
    for listing_id, told in images.items():
        for image in told:
            match = ADDRESS.search(image["url_570xN"])
            assert match, image
            expected[listing_id, int(match[2])] = (match[1], match[3], int(image["rank"] == 1))
    return _compare("image", got, expected)


def _shop_differences(rows: Rows, shops: dict[int, Any]) -> list[str]:
    got = {row[0]: row for row in rows(f"SELECT {', '.join(SHOP)} FROM shops")}
    expected = {key: tuple(_plain(shop[name]) for name in SHOP) for key, shop in shops.items()}
    found = _compare("shop", got, expected)
    query = f"SELECT shop_id, {', '.join(SHOP_DYNAMIC)} FROM shops_dynamic ORDER BY snapshot_timestamp"
    latest = {row[0]: row[1:] for row in rows(query)}
    figures = {key: tuple(_plain(shop[name]) for name in SHOP_DYNAMIC) for key, shop in shops.items()}
    return found + _compare("shop's latest row", latest, figures)


def _review_differences(rows: Rows, reviews: dict[int, Any]) -> list[str]:
    got = {row[0]: row for row in rows(f"SELECT {', '.join(REVIEW)} FROM reviews")}
    expected = {key: tuple(review[name] for name in REVIEW) for key, review in reviews.items()}
    return _compare("review", got, expected)
