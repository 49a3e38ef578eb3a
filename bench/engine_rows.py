"""The rows that this program writes, by hand: from JSON to tuples to SQLite, as plain as it can be done.

The floor and Scrapy share it, so that what differs between them is how the answers come. It takes the JSON as it
should be: a key of the wrong kind ends it, and nothing is read back that a first crawl does not need. It imports the
standard library alone, as it runs in the peers' environment too.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

PRAGMAS = (  # of runtime/database.py
    "PRAGMA journal_mode = wal",
    "PRAGMA synchronous = full",
    "PRAGMA fullfsync = 1",
    "PRAGMA checkpoint_fullfsync = 1",
    "PRAGMA foreign_keys = 1",
    "PRAGMA busy_timeout = 1000",
    "PRAGMA cache_size = -65536",
    "PRAGMA temp_store = memory",
    "PRAGMA journal_size_limit = 67108864",
)
CYCLE = 1
WEEK = 7 * 86_400
LIMIT_PER_DAY = 100_000_000
ENDPOINTS = {"page": "findAllListingsActive", "batch": "getListingsByListingIds", "tree": "getBuyerTaxonomyNodes"}
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
ADDRESS = re.compile(r"^https?://[^/]+(?:/[0-9]+/r)?/il/([0-9a-f]+)/([0-9]+)/il_[0-9a-zA-Z]+\.\2_([0-9A-Za-z]+)\.jpg$")
ODD_ADDRESS = re.compile(r"/il/([0-9a-f]+)/([0-9]+)/il_[0-9a-zA-Z]+\.\2_([0-9A-Za-z]+)\.jpg(?:\?.*)?$")
ERA = re.compile(r"^([0-9]{4})(?:_[0-9]{4}|s)$")

SEEN = """INSERT INTO indexed_listings (listing_id, shop_id, when_made, wanted, taxonomy_id, price, price_currency,
    first_seen_at, last_seen_at, last_seen_cycle, last_interval_id, detail_due_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (listing_id) DO UPDATE SET shop_id = coalesce(excluded.shop_id, shop_id),
    when_made = coalesce(excluded.when_made, when_made),
    wanted = CASE WHEN excluded.when_made IS NULL THEN wanted ELSE excluded.wanted END,
    taxonomy_id = excluded.taxonomy_id, price = excluded.price, price_currency = excluded.price_currency,
    last_seen_at = excluded.last_seen_at, last_seen_cycle = excluded.last_seen_cycle,
    last_interval_id = excluded.last_interval_id, detail_due_at = CASE
        WHEN excluded.detail_due_at IS NULL OR (NOT excluded.wanted AND detail_cycle) THEN NULL
        WHEN detail_due_at IS NULL THEN excluded.detail_due_at
        WHEN idle_count THEN min(detail_due_at, excluded.detail_due_at) ELSE detail_due_at END"""
SEEN_AGAIN = """SELECT count(*) FROM indexed_listings
    WHERE listing_id IN ({holes}) AND last_interval_id = ? AND last_seen_cycle = ?"""
SHOP_SEEN = "UPDATE indexed_shops SET seen_cycle = ?, seen_listing_id = ? WHERE shop_id = ? AND seen_cycle < ?"
# Scrapy's answers come in any order, so a page may come after the end of its interval.
PAGE = """UPDATE intervals SET status = CASE WHEN finished_at IS NULL THEN 'walking' ELSE status END,
    reported_count = ?1, count_at_start = coalesce(count_at_start, ?1), count_at_end = ?1, pages = pages + 1,
    distinct_rows = distinct_rows + ?2, repeats = repeats + ?3, passes = passes + ?4,
    started_at = coalesce(started_at, ?5) WHERE id = ?6"""
FRESH = "SELECT shop_id FROM indexed_shops WHERE known = 1 AND detail_cycle = ? AND shop_id IN ({holes})"
SHOP_NAMED = "INSERT INTO shops (shop_id) VALUES (?) ON CONFLICT DO NOTHING"
SHOP_INDEXED = """INSERT INTO indexed_shops (shop_id, seen_cycle, detail_due_at) VALUES (?, ?, ?)
    ON CONFLICT (shop_id) DO UPDATE SET seen_cycle = excluded.seen_cycle"""
SHOP = """INSERT INTO shops (shop_id, snapshot_timestamp, create_date, url, is_shop_us_based,
    shipping_from_country_iso, shop_location_country_iso) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (shop_id) DO UPDATE SET snapshot_timestamp = excluded.snapshot_timestamp,
    create_date = excluded.create_date, url = excluded.url, is_shop_us_based = excluded.is_shop_us_based,
    shipping_from_country_iso = excluded.shipping_from_country_iso,
    shop_location_country_iso = excluded.shop_location_country_iso WHERE shops.snapshot_timestamp IS NULL"""
SHOP_DYNAMIC = "INSERT INTO shops_dynamic VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
SHOP_READ = """INSERT INTO indexed_shops (shop_id, seen_cycle, detail_due_at, detail_cycle, known, review_due, told_at)
    VALUES (?, ?, ?, ?, 1, ?, ?) ON CONFLICT (shop_id) DO UPDATE SET seen_cycle = excluded.seen_cycle,
    detail_due_at = excluded.detail_due_at, detail_cycle = excluded.detail_cycle, known = 1, gone = 0,
    review_due = max(review_due, excluded.review_due), told_at = excluded.told_at"""
STATIC_COLUMNS = [
    "listing_id",
    "snapshot_timestamp",
    "shop_id",
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
    "price_amount",
    "price_divisor",
    "price_currency",
    "taxonomy_id",
    "production_partners",
]
LISTING = f"""INSERT INTO listings ({", ".join(STATIC_COLUMNS)}) VALUES ({", ".join("?" * len(STATIC_COLUMNS))})
    ON CONFLICT DO NOTHING"""
LISTING_DYNAMIC = """INSERT INTO listings_dynamic (listing_id, snapshot_timestamp, state, ending_timestamp, quantity,
    num_favorers, views, price_amount, price_divisor, price_currency) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING"""
IMAGE = """INSERT INTO image_status (listing_id, image_id, shop_id, hex, suffix, url, is_primary, when_made, price)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (listing_id, image_id) DO UPDATE SET hex = excluded.hex,
    suffix = excluded.suffix, url = excluded.url, is_primary = excluded.is_primary"""
DETAIL = """INSERT INTO indexed_listings (listing_id, shop_id, when_made, wanted, taxonomy_id, first_seen_at,
    last_seen_at, last_seen_cycle, detail_due_at, detail_cycle, idle_count, known, image_count, images_missing,
    images_digest) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (listing_id) DO UPDATE SET shop_id = excluded.shop_id, when_made = excluded.when_made,
    wanted = excluded.wanted, taxonomy_id = excluded.taxonomy_id, detail_due_at = excluded.detail_due_at,
    detail_cycle = excluded.detail_cycle, known = excluded.known, image_count = excluded.image_count,
    idle_count = CASE WHEN excluded.idle_count THEN idle_count + 1 ELSE 0 END,
    images_missing = excluded.images_missing, images_digest = excluded.images_digest"""
USED = """UPDATE api_usage SET request_count = request_count + 1, rate_limit_remaining = ?
    WHERE recorded_at = ? AND service = 'etsy' AND endpoint = ?"""
FIRST_USED = """INSERT INTO api_usage (service, endpoint, request_count, rate_limit_remaining, recorded_at)
    VALUES ('etsy', ?, 1, ?, ?)"""
STATE = "INSERT INTO sync_state (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
PLANNED = """INSERT INTO intervals (id, cycle, taxonomy_id, min_price, max_price, sort_order, forced, parent_id,
    status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending')"""
ENDED = "UPDATE intervals SET status = ?, verdict = ?, tolerance = ?, note = ?, finished_at = ? WHERE id = ?"


@dataclass(frozen=True)
class Step:
    """One step of a recorded crawl: the call (`target` is the path with its query), and what was planned with it.

    `kind` is page, batch, tree or, for a step without a call, none. `known` are the keys of `sync_state` that it
    wrote, `planned` the intervals that it added, `ended` those that it brought to an end.
    """

    target: str | None
    kind: str
    interval_id: int
    first_of_pass: int
    position: str
    known: dict[str, str]
    planned: list[list[Any]]
    ended: list[list[Any]]


class Detailed(NamedTuple):
    """One listing of a batch as rows, and its shop as it came; of one that is not wanted `indexed` alone."""

    shop_id: int
    indexed: tuple[Any, ...]
    static: tuple[Any, ...] = ()
    dynamic: tuple[Any, ...] = ()
    images: Sequence[tuple[Any, ...]] = ()
    shop: dict[str, Any] | None = None


def load_steps(file: Path) -> list[Step]:
    """Return the steps that a recording holds."""
    return [Step(**step) for step in json.loads(file.read_text(encoding="utf-8"))]


def note_end(file: str, committed_at: float, cpu_seconds_before: float) -> None:
    """Write down when the last transaction was over, and the CPU time since the work began."""
    told = {"committed_at": committed_at, "cpu_seconds": time.process_time() - cpu_seconds_before}
    Path(file).write_text(json.dumps(told), encoding="ascii")


def iso(moment: float) -> str:
    """Return the moment (Unix seconds) as rows carry it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def seen_rows(results: list[dict[str, Any]], step: Step, at: str) -> list[tuple[Any, ...]]:
    """Return a page's rows for the index."""
    rows = []
    for row in results:
        when_made, price = row.get("when_made"), row.get("price") or {}
        wanted = is_wanted(when_made)
        due = at if wanted or when_made is None else None
        shop_id, taxonomy_id, currency = row.get("shop_id"), row.get("taxonomy_id"), price.get("currency_code")
        known = (row["listing_id"], shop_id, when_made, wanted, taxonomy_id, major(price), currency)
        rows.append((*known, at, at, CYCLE, step.interval_id, due))
    return rows


def detailed(row: dict[str, Any], now: float) -> Detailed:
    """Return one listing of a batch as rows."""
    at, listing_id, shop_id, when_made = iso(now), row["listing_id"], row["shop_id"], row.get("when_made")
    wanted, idle, images = is_wanted(when_made), int(row.get("state") != "active"), row.get("images")
    due = iso(now + WEEK * (1 + idle)) if wanted else None
    count, missing = len(images or ()), int(wanted and images is None)
    taxonomy_id = row.get("taxonomy_id")
    asked = (listing_id, shop_id, when_made, wanted, taxonomy_id, at, at, due, CYCLE, idle, wanted, count, missing)
    if not wanted:
        return Detailed(shop_id, (*asked, None))
    price = row.get("price") or {}
    money = (price.get("amount"), price.get("divisor"), price.get("currency_code"))
    pictures = image_rows(images or [], (listing_id, shop_id), (when_made, major(price)))
    indexed = (*asked, digest([(*told[:2], *told[3:7]) for told in pictures]) if pictures else None)
    static, dynamic = static_row(row, at, money), dynamic_row(row, at, money)
    return Detailed(shop_id, indexed, static, dynamic, pictures, row.get("shop"))


def static_row(row: dict[str, Any], at: str, money: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a listing's row of what does not change."""
    told = row.get
    return (
        row["listing_id"],
        at,
        row["shop_id"],
        clean(told("title")),
        clean(told("description")),
        told("creation_timestamp"),
        clean(told("url")),
        told("is_customizable"),
        told("is_personalizable"),
        told("listing_type"),
        texts(told("tags")),
        texts(told("materials")),
        told("processing_min"),
        told("processing_max"),
        told("who_made"),
        told("when_made"),
        told("item_weight"),
        told("item_weight_unit"),
        told("item_length"),
        told("item_width"),
        told("item_height"),
        told("item_dimensions_unit"),
        told("should_auto_renew"),
        told("language"),
        *money,
        told("taxonomy_id"),
        json.dumps(told("production_partners") or [], ensure_ascii=False),
    )


def dynamic_row(row: dict[str, Any], at: str, money: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a listing's row of what changes."""
    told = row.get
    figures = (told("state"), told("ending_timestamp"), told("quantity"), told("num_favorers"), told("views"))
    return (row["listing_id"], at, *figures, *money)


def image_rows(
    images: list[dict[str, Any]], ids: tuple[int, int], facts: tuple[str | None, float | None]
) -> list[tuple[Any, ...]]:
    """Return a listing's images; the one of the lowest rank is the primary one."""
    if not images:
        return []
    rows, primary = [], min(images, key=lambda image: image.get("rank") or 1_000_000)
    for image in images:
        address, odd = image["url_570xN"], None
        found = ADDRESS.match(address)
        if found is None:
            found, odd = ODD_ADDRESS.search(address), address
        if found is None:
            raise ValueError(f"{address} names no picture")
        code, image_id, suffix = found.groups()
        rows.append((ids[0], int(image_id), ids[1], code, suffix, odd, int(image is primary), *facts))
    return rows


def digest(rows: list[tuple[Any, ...]]) -> int:
    """Return what stands for a listing's images in the index."""
    return int.from_bytes(hashlib.blake2b(repr(rows).encode(), digest_size=8).digest(), "big", signed=True)


@cache
def is_wanted(when_made: str | None) -> bool:
    """Return whether a listing was surely made in 2000 or later."""
    era = ERA.match(when_made or "")
    return when_made == "made_to_order" or (era is not None and era[1] >= "2000")


def clean(text: str | None) -> str | None:
    """Return the text with its entities decoded once."""
    if text is None:
        return None
    if "&" in text:
        text = ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return text.replace("\x00", "")


def texts(values: list[str] | None) -> str:
    """Return a list of texts, cleaned, as JSON."""
    return json.dumps([clean(value) for value in values or ()], ensure_ascii=False)


def major(price: dict[str, Any]) -> float | None:
    """Return a price in major units."""
    amount, divisor = price.get("amount"), price.get("divisor")
    return amount / divisor if amount is not None and divisor else None


class Store:
    """Writes into the SQLite file what each step brought, in one transaction a step, with the position."""

    def __init__(self, file: Path) -> None:
        self._database = sqlite3.connect(file, isolation_level=None)
        for pragma in PRAGMAS:
            self._database.execute(pragma)
        self._calls: Counter[int] = Counter()
        self.committed_at = 0.0
        """When the last transaction was over, on the monotonic clock."""

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def write(self, step: Step, rows: Callable[[], object]) -> None:
        """Run `rows` and note the step, in one transaction."""
        self._database.execute("BEGIN IMMEDIATE")
        rows()
        self._note(step, time.time())
        self._database.execute("COMMIT")
        self.committed_at = time.monotonic()

    def write_page(self, step: Step, count: int, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write a search page's rows into the index and the interval's record."""
        run, many = self._database.execute, self._database.executemany
        ids = [row[0] for row in rows]
        again = run(SEEN_AGAIN.format(holes=",".join("?" * len(ids))), [*ids, step.interval_id, CYCLE]).fetchone()[0]
        many(SEEN, rows)
        many(
            SHOP_SEEN,
            [(CYCLE, listing_id, shop_id, CYCLE) for shop_id, listing_id in {row[1]: row[0] for row in rows}.items()],
        )
        run(PAGE, (count, len(rows) - again, again, step.first_of_pass, iso(time.time()), step.interval_id))

    def write_batch(self, listings: Sequence[Detailed]) -> None:
        """Write a batch's shops, listings, images and index rows."""
        many, kept = self._database.executemany, [listing for listing in listings if listing.static]
        self._write_shops(kept, time.time())
        many(LISTING, [listing.static for listing in kept])
        many(LISTING_DYNAMIC, [listing.dynamic for listing in kept])
        many(IMAGE, [image for listing in kept for image in listing.images])
        many(DETAIL, [listing.indexed for listing in listings])

    def _write_shops(self, kept: Sequence[Detailed], now: float) -> None:
        many, at, due = self._database.executemany, iso(now), iso(now + WEEK)
        ids = {listing.shop_id for listing in kept}
        many(SHOP_NAMED, [(shop_id,) for shop_id in ids])
        many(SHOP_INDEXED, [(shop_id, CYCLE, at) for shop_id in ids])
        query = FRESH.format(holes=",".join("?" * len(ids)))
        fresh = {row[0] for row in self._database.execute(query, [CYCLE, *ids])}
        came = {listing.shop_id: listing.shop for listing in kept if listing.shop and listing.shop_id not in fresh}
        shops = [shop.get for shop in came.values() if shop]
        many(SHOP, [_shop_row(told, at) for told in shops])
        many(SHOP_DYNAMIC, [_shop_figures(told, at) for told in shops])
        many(SHOP_READ, [(told("shop_id"), CYCLE, due, CYCLE, _has_reviews(told), int(now)) for told in shops])

    def _note(self, step: Step, now: float) -> None:
        """Write the step's plan and position, the day's quota and the call itself."""
        run, many, remaining = self._database.execute, self._database.executemany, LIMIT_PER_DAY - 1
        if step.kind in ENDPOINTS:
            minute = now - now % 60
            self._calls[int(minute)] += 1
            at, endpoint = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(minute)), ENDPOINTS[step.kind]
            if not run(USED, (remaining, at, endpoint)).rowcount:
                run(FIRST_USED, (endpoint, remaining, at))
        quota = {"limit": LIMIT_PER_DAY, "remaining": remaining, "heard_at": now, "not_before": 0.0, "cut_from": None}
        quota |= {"heard_count": self._calls[int(now - now % 60)], "cut_at": 0.0}
        states = {**step.known, "quota": json.dumps(quota), "position": step.position}
        many(STATE, states.items())
        many(PLANNED, step.planned)
        many(ENDED, [(*end[:-1], iso(now), end[-1]) for end in step.ended])


def _shop_row(told: Callable[[str], Any], at: str) -> tuple[Any, ...]:
    ids = (told("shop_id"), at, told("create_date"), clean(told("url")), told("is_shop_us_based"))
    return (*ids, told("shipping_from_country_iso"), told("shop_location_country_iso"))


def _shop_figures(told: Callable[[str], Any], at: str) -> tuple[Any, ...]:
    first = (told("shop_id"), at, told("update_date"), told("listing_active_count"), told("accepts_custom_requests"))
    return (*first, told("num_favorers"), told("transaction_sold_count"), told("review_average"), told("review_count"))


def _has_reviews(told: Callable[[str], Any]) -> bool:
    return bool(told("review_count")) or told("transaction_sold_count") != 0
