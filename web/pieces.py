"""What the pages of one listing and of one shop show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crawler.store.state import category_names
from web import reading
from web.charts import Series, line_chart
from web.pages import csv_of, money
from web.similar import Alike

SHOWN = ("title", "description", "when_made", "taxonomy_id", "first_seen_at", "last_seen_at")
CSV_COLUMNS = ("snapshot_timestamp", "state", "price", "price_currency", "num_favorers", "views", "quantity")


def listing_context(listing_id: int) -> dict[str, Any] | None:
    """Return what the template says of a listing, None where it is not known."""
    listing = reading.find_listing(listing_id)
    if listing is None:
        return None
    readings = reading.readings_of_listing(listing_id)
    priced = [row for row in readings if row["price"] is not None]
    last = priced[-1] if priced else listing
    shop_id = listing.get("shop_id")
    return {
        "listing": {**dict.fromkeys(SHOWN), **listing},
        "category": category_names().get(listing.get("taxonomy_id") or 0),
        "latest": readings[-1] if readings else None,
        "readings": readings,
        "changes": changes(readings),
        "money": money(last.get("price"), last.get("price_currency")),
        "images": reading.images_of_listing(listing_id),
        "reviews": reading.reviews_of_listing(listing_id),
        "of_listing": True,
        "pieces": pieces(reading.pieces_of_shop(shop_id, without=listing_id)) if shop_id else [],
        "charts": drawn(readings, {"price": "Price, in the seller's currency", "num_favorers": "Favourites"}),
    }


def shop_context(shop_id: int, after: int) -> dict[str, Any] | None:
    """Return what the template says of a shop, None where it is not known; its pieces from after that one on."""
    shop = reading.find_shop(shop_id)
    if shop is None:
        return None
    readings = reading.readings_of_shop(shop_id)
    found = reading.pieces_of_shop(shop_id, after)
    names = ("shop_location_country_iso", "shipping_from_country_iso", "create_date")
    return {
        "shop_id": shop_id,
        "shop": {**dict.fromkeys(names), **shop},
        "latest": readings[-1] if readings else None,
        "charts": drawn(readings, {"transaction_sold_count": "Sales", "review_count": "Reviews"}),
        "pieces": pieces(found),
        "more": found[-1]["listing_id"] if len(found) == reading.MOST_PIECES else 0,
        "reviews": reading.reviews_of_shop(shop_id),
        "of_listing": False,
    }


def changes(readings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the readings in which the state is another one than before."""
    before: list[Any] = [object(), *(row["state"] for row in readings)]
    return [row for row, was in zip(readings, before, strict=False) if row["state"] != was]


def drawn(readings: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the charts of these columns with their titles, those left out of which nothing is known."""
    days = [row["snapshot_timestamp"][:10] for row in readings]
    charts = [
        (title, line_chart(title, days, [Series(title, [row[name] for row in readings])]))
        for name, title in columns.items()
    ]
    return [(title, chart) for title, chart in charts if chart]


def pieces(rows: Sequence[Mapping[str, Any]], alike: Mapping[int, Alike] = {}) -> list[dict[str, Any]]:
    """Return listings as a grid shows them; `alike` holds those of them that were found by their looks."""
    return [
        {**row, "money": money(row["price"], row["price_currency"]), "alike": alike.get(row["listing_id"])}
        for row in rows
    ]


def readings_csv(listing_id: int) -> str:
    """Return every reading of a listing as CSV."""
    rows = [[row[name] for name in CSV_COLUMNS] for row in reading.readings_of_listing(listing_id)]
    return csv_of(CSV_COLUMNS, rows)
