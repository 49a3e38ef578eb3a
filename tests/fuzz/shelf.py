"""A database for records: each is stored as a step would store it, read back, stored again, and taken back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from peewee import BigIntegerField, IntegerField

from crawler import changes
from crawler.api import parsing, records
from crawler.changes import Change, DetailedListing, DetailedShop
from crawler.freshness import ShopFigures
from crawler.plan import Span
from crawler.store import details, shops, state, writer
from crawler.store import reviews as review_store
from models import CRAWLER_MODELS, MIGRATIONS, ImageStatus, IndexedListing, Listing, Review, Shop
from runtime.database import open_database
from runtime.settings import DEFAULT_DATABASE_URL
from tests.truth import Rows

AT = "2026-11-20T00:00:00Z"
SHOP_ID = 4711
OWN_SHOP = 9
"""Whose a listing is that does not say it."""
PRICE = ("price_amount", "price_divisor", "price_currency")


class Shelf:
    """Holds nothing between two inputs."""

    def __init__(self, home: Path) -> None:
        self.database = open_database(DEFAULT_DATABASE_URL, home, CRAWLER_MODELS, MIGRATIONS)

    def close(self) -> None:
        self.database.close()

    @contextmanager
    def cleared(self) -> Iterator[None]:
        """Take back whatever the block writes."""
        with self.database.atomic() as transaction:
            yield
            transaction.rollback()

    def keep(self, kind: str, record: Any) -> None:
        """Store what a parser of this kind returned; AssertionError where it does not come back as it was."""
        with self.cleared():
            KEEPERS[kind](self, record)
            assert_any_database_takes_it(self.rows)
            assert self.rows("PRAGMA foreign_key_check") == []

    def write(self, change: Change, counts_in: str = "") -> None:
        """Write the change; now and then once more, which must change nothing but the table that counts how often."""
        writer.write([change])
        if len(repr(change)) % 3:  # it costs as much again
            return
        once = self._content(counts_in)
        writer.write([change])
        assert self._content(counts_in) == once

    def _content(self, without: str) -> dict[str, list[tuple[Any, ...]]]:
        return {name: self.rows(f"SELECT * FROM {name}") for name in TABLES if name != without}

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        database: Any = self.database
        return list(database.execute_sql(query, values).fetchall())

    def row(self, model: Any, names: Sequence[str], key: str, value: int) -> tuple[Any, ...]:
        columns = ", ".join(f'"{name}"' for name in names)
        ((*found,),) = self.rows(f'SELECT {columns} FROM {model._meta.table_name} WHERE "{key}" = ?', value)
        return tuple(found)


def assert_any_database_takes_it(rows: Rows) -> None:
    """PostgreSQL is stricter than SQLite: 4 bytes where the table says so, no NUL, no half characters."""
    for table, fields in TABLES.items():
        for row in rows(f"SELECT {', '.join(field.column_name for field in fields)} FROM {table}"):
            for field, value in zip(fields, row, strict=True):
                _assert_fits(field, value)


def _meta(model: Any) -> Any:
    return model._meta


def _assert_fits(field: Any, value: Any) -> None:
    target = field.rel_field if hasattr(field, "rel_field") else field
    if isinstance(value, str):
        value.encode("utf-8")
        assert "\x00" not in value, field
    elif isinstance(value, int) and isinstance(target, IntegerField):
        assert abs(value) < 2 ** (63 if isinstance(target, BigIntegerField) else 31), (field, value)
    elif isinstance(value, float):
        assert math.isfinite(value), field
    assert not isinstance(value, bytes), field


TABLES = {_meta(model).table_name: tuple(_meta(model).sorted_fields) for model in CRAWLER_MODELS}


def _keep_listings(shelf: Shelf, listings: Sequence[records.ListingRecord]) -> None:
    told = {record.listing_id: record for record in listings}
    came = {record.shop.shop_id: record.shop for record in told.values() if record.shop is not None}
    detailed = tuple(
        DetailedListing(
            record, record.shop_id or OWN_SHOP, True, AT, 0, len(record.images or ()), record.images is None
        )
        for record in told.values()
    )
    shelf.write(changes.DetailsSeen(1, detailed, tuple(DetailedShop(shop, AT, True) for shop in came.values()), AT))
    for record in told.values():
        static = (*(getattr(record, name) for name in details.STATIC), *_price(record.price))
        dynamic = (*(getattr(record, name) for name in details.FIGURES), *_price(record.price))
        assert shelf.row(Listing, (*details.STATIC, *PRICE), "listing_id", record.listing_id) == static
        names = ", ".join((*details.FIGURES, *PRICE))
        stored = shelf.rows(f"SELECT {names} FROM listings_dynamic WHERE listing_id = ?", record.listing_id)
        assert stored == [dynamic]
        query = "SELECT image_id, hex, suffix, url FROM image_status WHERE listing_id = ?"
        images = {(image.image_id, image.hex, image.suffix, image.url) for image in record.images or ()}
        assert set(shelf.rows(query, record.listing_id)) == images
        if record.images:
            query = f"SELECT COUNT(*) FROM {_meta(ImageStatus).table_name} WHERE listing_id = ? AND is_primary = 1"
            assert shelf.rows(query, record.listing_id) == [(1,)]
    for shop in came.values():
        _assert_shop(shelf, shop)


def _keep_shop(shelf: Shelf, shop: records.ShopRecord) -> None:
    shelf.write(changes.DetailsSeen(1, (), (DetailedShop(shop, AT, True),), AT))
    figures = shops.latest_figures(shop.shop_id)
    assert figures == ShopFigures(shop.review_count, shop.review_average, shop.transaction_sold_count)
    shelf.write(changes.VisitDone(shop.shop_id, 1, shop.update_date, figures, AT))
    assert shops.visited_figures(shops.find([shop.shop_id])[shop.shop_id]) == figures
    _assert_shop(shelf, shop)


def _assert_shop(shelf: Shelf, shop: records.ShopRecord) -> None:
    static = tuple(getattr(shop, name) for name in shops.STATIC)
    assert shelf.row(Shop, shops.STATIC, "shop_id", shop.shop_id) == static
    dynamic = tuple(getattr(shop, name) for name in shops.FIGURES)
    stored = shelf.rows(f"SELECT {', '.join(shops.FIGURES)} FROM shops_dynamic WHERE shop_id = ?", shop.shop_id)
    assert stored == [dynamic]


def _keep_page(shelf: Shelf, page: records.SearchPage) -> None:
    wanted = {row.listing_id: row for row in page.rows}
    shelf.write(changes.PlanMade(1, (Span(967, 0.0, None),)))
    seen = changes.PageSeen(1, 1, page.count or 0, page.rows, AT, first_of_pass=True)
    shelf.write(seen, counts_in="intervals")
    for row in wanted.values():
        names = ("shop_id", "when_made", "taxonomy_id", "price", "price_currency")
        told = (row.shop_id, row.when_made, row.taxonomy_id, row.price.major, row.price.currency)
        assert shelf.row(IndexedListing, names, "listing_id", row.listing_id) == told


def _keep_images(shelf: Shelf, images: tuple[records.ImageRecord, ...]) -> None:
    listing = parsing.parse_listing({"listing_id": 1, "shop_id": SHOP_ID})
    _keep_listings(shelf, [listing])
    shelf.write(changes.ImagesSeen(1, images))
    stored = set(shelf.rows("SELECT image_id, hex, suffix, url FROM image_status"))
    assert stored == {(image.image_id, image.hex, image.suffix, image.url) for image in images}


def _keep_reviews(shelf: Shelf, page: records.ReviewPage) -> None:
    shops.write_named([SHOP_ID], 1, AT)
    shelf.write(changes.ReviewsSeen(page.reviews, AT))
    told: dict[int, records.ReviewRecord] = {}
    for review in page.reviews:
        told.setdefault(review.transaction_id, review)
    for review in told.values():
        stored = shelf.row(Review, review_store.TOLD, "transaction_id", review.transaction_id)
        assert stored == tuple(getattr(review, name) for name in review_store.TOLD)


def _keep_taxonomy(shelf: Shelf, nodes: Mapping[int, records.TaxonomyNode]) -> None:
    rows = tuple({**asdict(node), "children_ids": list(node.children_ids)} for node in nodes.values())
    shelf.write(changes.TaxonomyRead(rows, tuple(sorted(nodes)), (967,), AT))
    assert state.load("taxonomy")["nodes"] == list(rows)


def _keep_error(shelf: Shelf, error: str) -> None:
    shelf.write(changes.ItemFailed("listing", 1, error, 1, AT), counts_in="failed_items")
    assert shelf.rows("SELECT error FROM failed_items") == [(error,)]


def _price(price: records.Money) -> tuple[Any, ...]:
    return price.amount, price.divisor, price.currency


KEEPERS: Mapping[str, Any] = {
    "search": _keep_page,
    "batch": lambda shelf, batch: _keep_listings(shelf, batch.listings),
    "listing": lambda shelf, listing: _keep_listings(shelf, [listing]),
    "images": _keep_images,
    "shop": _keep_shop,
    "reviews": _keep_reviews,
    "taxonomy": _keep_taxonomy,
    "error": _keep_error,
}
