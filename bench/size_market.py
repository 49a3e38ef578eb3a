"""A home with a database as a crawl of many weeks leaves it, filled in minutes: for `bench.size`.

All listings were found in cycle 1, interval by interval, and read in each cycle since, so rows lie in the file as a
crawl puts them: ids in no order, dynamic rows cycle by cycle. What the simulated market shows is kept in a file of its
own, `market.db`, from which the wire of `bench.size_steps` answers.
"""

from __future__ import annotations

import math
import random
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from bench.size_places import (
    CYCLES,
    FIRST_SHOP,
    ROOT_TAXONOMY,
    ROWS_ADDED,
    WEEK,
    Place,
    add_functions,
    is_filled,
    pace,
    rewind,
)
from crawler.api import parsing
from crawler.plan_files import PlanFiles
from models import CRAWLER_MODELS, MIGRATIONS
from runtime.database import open_database
from runtime.settings import DEFAULT_DATABASE_URL
from sandbox import RealClock, Sandbox, SandboxSettings

PER_SHOP = 60
INTERVAL_ROWS = 11_400
DESCRIPTION_LETTERS = 1_050  # at most; some 600 in the mean
PATTERNS = 50
KEY = "sandbox-key:sandbox-secret"
FIRST_ID, LAST_ID = 500_000_000, 4_400_000_000
FIRST_REVIEW = 1_000_000_000
QUEUED_EVERY, FAILED_EVERY = 100, 1_000  # pictures
PRAGMAS = ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-2000000", "temp_store=MEMORY")


def fill_where_missing(place: Place, listings: int) -> None:
    """Make the home where it is not there, and print how long it took; SystemExit where another one is in its place."""
    if is_filled(place, listings):
        return
    if place.home.exists() and not place.market.exists():
        raise SystemExit(f"{place.home} is there, and is no home of this benchmark: name another folder.")
    shutil.rmtree(place.home, ignore_errors=True)
    print(f"filled {listings:,} listings in {fill(place, listings):.0f} s", flush=True)


def fill(place: Place, listings: int) -> float:
    """Make the home; return how many seconds it took."""
    began = time.perf_counter()
    place.home.mkdir(parents=True)
    patterns = write_templates(place.templates)
    now = int(time.time())
    _make_market(place.market, listings * 4 // 3, patterns)
    open_database(DEFAULT_DATABASE_URL, place.home, CRAWLER_MODELS, MIGRATIONS).close()
    with closing(sqlite3.connect(place.database, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=DELETE")
        for pragma in PRAGMAS:
            database.execute(f"PRAGMA {pragma}")
        database.execute("ATTACH ? AS market", (str(place.market),))
        add_functions(database)
        _Filling(database, now).run()
    _note_marks(place, listings, now)
    rewind(place)
    _write_breaks(place)
    return time.perf_counter() - began


# The market


def write_templates(path: Path) -> dict[str, Any]:
    """Keep answers of the sandbox as patterns: search rows, batch rows, reviews and the category tree."""
    sandbox = Sandbox(SandboxSettings(listings=400, shops=20, calls_per_second=1_000), clock=RealClock())

    def ask(where: str, **params: str) -> Any:
        answer = sandbox.handle("GET", f"/v3/application{where}", params, {"x-api-key": KEY})
        return orjson.loads(answer.body)

    rows = [row for offset in (0, 100, 200, 300) for row in _page(ask, offset)]
    batches = [_batch(ask, rows[start : start + 100]) for start in range(0, len(rows), 100)]
    shops = {row["shop_id"] for row in rows}
    reviews = [row for shop_id in sorted(shops) for row in ask(f"/shops/{shop_id}/reviews", limit="100")["results"]]
    patterns = {
        "search": rows,
        "batch": [row for batch in batches for row in batch],
        "reviews": reviews,
        "tree": ask("/buyer-taxonomy/nodes"),
    }
    # A few of each, since what answers from them counts in the memory that is measured.
    kept = {name: rows if name == "tree" else rows[:PATTERNS] for name, rows in patterns.items()}
    path.write_bytes(orjson.dumps(kept))
    return patterns


def _page(ask: Any, offset: int) -> list[Any]:
    rows: list[Any] = ask("/listings/active", taxonomy_id=str(ROOT_TAXONOMY), limit="100", offset=str(offset))[
        "results"
    ]
    return rows


def _batch(ask: Any, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    ids = ",".join(str(row["listing_id"]) for row in rows)
    found: list[Any] = ask("/listings/batch", listing_ids=ids, includes="Images,Shop")["results"]
    return found


def _make_market(path: Path, number: int, patterns: Mapping[str, Any]) -> None:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as market:
        market.executescript(
            """
            PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
            CREATE TABLE shown(place INTEGER PRIMARY KEY, listing_id, shop_id, wanted, cents, currency, taxonomy_id,
                interval);
            CREATE TABLE phrases(number INTEGER PRIMARY KEY, title, description, slug, tags, materials);
            CREATE TABLE sayings(number INTEGER PRIMARY KEY, review, language);
            CREATE TABLE facts(name PRIMARY KEY, value);
            """
        )
        taxonomies = sorted({row["taxonomy_id"] for row in patterns["search"]})
        market.executemany("INSERT INTO shown VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _shown(number, taxonomies))
        market.execute("CREATE UNIQUE INDEX shown_listing_id ON shown(listing_id)")
        market.execute("CREATE INDEX shown_interval ON shown(interval)")
        market.executemany("INSERT INTO phrases VALUES (?, ?, ?, ?, ?, ?)", _phrases(patterns["batch"]))
        sayings = ((i, row["review"], row["language"]) for i, row in enumerate(patterns["reviews"]))
        market.executemany("INSERT INTO sayings VALUES (?, ?, ?)", sayings)
        market.commit()


def _shown(number: int, taxonomies: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    """Return the market by rising price; in each interval newest first. One in four listings is too old."""
    chance = random.Random(1)
    ids = chance.sample(range(FIRST_ID, LAST_ID), number)
    intervals, shops = math.ceil(number / INTERVAL_ROWS), math.ceil(number * 3 / 4 / PER_SHOP)
    width = math.ceil(number / intervals)
    for interval in range(intervals):
        start = interval * width
        for place, listing_id in enumerate(sorted(ids[start : start + width], reverse=True), start):
            cents = round(500 * 1000 ** (place / number))
            shop_id = FIRST_SHOP + place * 1_000_003 % shops * 7
            currency = "USD" if chance.random() < 0.8 else "EUR"
            taxonomy_id = taxonomies[place % len(taxonomies)]
            yield place, listing_id, shop_id, int(place % 4 != 3), cents, currency, taxonomy_id, interval


def _phrases(batch: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Return texts as the crawler stores them."""
    for number, row in enumerate(batch):
        record = parsing.parse_listing(row)
        slug = (record.url or "").rpartition("/")[2]
        description = (record.description or "")[:DESCRIPTION_LETTERS]
        yield number, record.title, description, slug, record.tags, record.materials


# The home

LISTINGS = """
INSERT INTO listings SELECT listing_id, iso(:at + place / 100 * :pace), shop_id, title, description,
    :at - listing_id % 90000000, 'https://www.etsy.com/listing/' || listing_id || '/' || slug, place % 5 = 0,
    place % 7 = 0, 'physical', tags, materials, 3, 10, 'i_did', 'made_to_order', NULL, NULL, NULL, NULL, NULL, NULL, 1,
    'en-US', cents, 100, currency, taxonomy_id, '[]'
FROM shown JOIN phrases ON number = place % :phrases WHERE interval = :interval AND wanted ORDER BY place
"""
DYNAMIC = """
INSERT INTO listings_dynamic SELECT listing_id, iso(:at + place / 100 * :pace), 'active', :at + listing_id % 9000000,
    1 + place % 20, listing_id % 500, listing_id % 9000, cents, 100, currency
FROM shown WHERE interval = :interval AND wanted ORDER BY place * :shuffle % 65521
"""
IMAGES = """
WITH ranks(rank) AS (VALUES (0), (1), (2), (3), (4)),
pictures AS (SELECT *, place * 5 + rank AS n, listing_id * 8 + rank AS image_id FROM shown, ranks
    WHERE interval = :interval AND wanted ORDER BY place, rank),
tried AS (SELECT *, CASE WHEN n % :queued = 0 THEN NULL WHEN n % :failed = 1 THEN 'not_found' ELSE 'done' END AS came
    FROM pictures)
INSERT INTO image_status(listing_id, image_id, shop_id, hex, suffix, is_primary, when_made, price, to_download,
    download_done, outcome, attempts, format, width, height, size_bytes, digest, downloaded_at)
SELECT listing_id, image_id, shop_id, printf('%06x', image_id * 7 % 16777216), printf('%04x', image_id % 65536),
    rank = 0, 'made_to_order', cents / 100.0, came IS NOT 'not_found', came IS 'done', came, came IS 'not_found',
    iif(came = 'done', 'jpeg', NULL), iif(came = 'done', 570, NULL), iif(came = 'done', 428, NULL),
    iif(came = 'done', 20000 + n % 60000, NULL), iif(came = 'done', lower(hex(randomblob(16))), NULL),
    iif(came = 'done', iso(:at + place / 100 * :pace), NULL)
FROM tried
"""
INDEX = """
INSERT INTO indexed_listings SELECT listing_id, shop_id, iif(wanted, 'made_to_order', '1960s'), wanted, taxonomy_id,
    cents / 100.0, currency, iso(:first + place / 100 * :pace), iso(:at + place / 100 * :pace), :cycle,
    :interval_id + interval, iif(wanted, iso(:at + 604800 + place / 100 * :pace), NULL), iif(wanted, :cycle, 0), 0,
    wanted, iif(wanted, 5, 0), 0, iif(wanted, images_digest(listing_id), NULL)
FROM shown WHERE interval = :interval ORDER BY place
"""
SHOPS = """
INSERT INTO shops SELECT DISTINCT shop_id, iso(:at), :at - shop_id * 7 % 300000000,
    'https://www.etsy.com/shop/Shop' || shop_id, shop_id % 2, 'US', 'US' FROM shown WHERE wanted ORDER BY place
"""
SHOPS_DYNAMIC = """
INSERT INTO shops_dynamic SELECT shop_id, iso(:at + rowid % 172800), :at - shop_id % 900000, 80, 1, shop_id % 3000,
    2 * shop_id % 9000 + :cycle, 4.8, 300 FROM shops
"""
INDEXED_SHOPS = """
INSERT INTO indexed_shops SELECT shop_id, :cycle, iso(:at + 604800 + shop_id % 172800), :cycle, 1, 0,
    :at - shop_id % 600000, iso(:at + shop_id % 172800), 300, 4.8, 2 * shop_id % 9000 + :cycle, shop_id % 33 = 0,
    :cycle, :at + shop_id % 172800, NULL, NULL
FROM shops
"""
REVIEWS_OF = """
WITH kinds(kind) AS (VALUES (0), (1), (2), (3), (4))
INSERT INTO reviews SELECT :first_review + (place * 5 + kind) * 618033989 % 1000000007, iso(:at + 90000), shop_id,
    listing_id, 1000000 + place * 31 % 700000000, 5 - place % 9 / 7, review, language, :at - (place * 5 + kind) * 40
FROM shown, kinds JOIN sayings ON number = (place * 5 + kind) % :sayings
WHERE wanted AND shop_id >= :low AND shop_id < :high ORDER BY shop_id, place
"""
INTERVALS = """
INSERT INTO intervals(cycle, taxonomy_id, min_price, max_price, sort_order, status, reported_count, count_at_start,
    count_at_end, pages, distinct_rows, passes, started_at, finished_at, verdict, tolerance)
SELECT :cycle, 967, iif(interval = 0, 0.0, MIN(cents) / 100.0), LEAD(MIN(cents) / 100.0) OVER (ORDER BY interval),
    'desc', 'done', COUNT(*), COUNT(*), COUNT(*), COUNT(*) / 100 + 1, COUNT(*), 1, iso(:at + MIN(place) / 100 * :pace),
    iso(:at + MAX(place) / 100 * :pace), 'complete', 120 FROM shown GROUP BY interval ORDER BY interval
"""


class _Filling:
    """Fills the crawler's tables from the market, cycle by cycle."""

    def __init__(self, database: sqlite3.Connection, now: int) -> None:
        self._database = database
        self._now = now
        self._places = self._one("SELECT COUNT(*) FROM shown")
        self._intervals = range(self._one("SELECT COUNT(DISTINCT interval) FROM shown"))

    def run(self) -> None:
        """Fill all tables."""
        self._do(INTERVALS, 1)
        self._do(SHOPS, 1)
        for interval in self._intervals:
            for statement in (LISTINGS, IMAGES, DYNAMIC):
                self._do(statement, 1, interval=interval)
        self._reviews()
        self._do(SHOPS_DYNAMIC, 1)
        for cycle in range(2, CYCLES + 1):
            self._do(INTERVALS, cycle)
            for interval in self._intervals:
                self._do(DYNAMIC, cycle, interval=interval)
            self._do(SHOPS_DYNAMIC, cycle)
        self._do(INDEXED_SHOPS, CYCLES)
        for interval in self._intervals:
            self._do(INDEX, CYCLES, interval=interval)

    def _reviews(self) -> None:
        """Fill the reviews shop by shop, as visits bring them."""
        self._database.execute("CREATE INDEX market.shown_shop_id ON shown(shop_id)")
        low, high = self._database.execute("SELECT MIN(shop_id), MAX(shop_id) + 1 FROM shops").fetchone()
        step = math.ceil((high - low) / 20)
        for start in range(low, high, step):
            self._do(REVIEWS_OF, 1, low=start, high=start + step)
        self._database.execute("DROP INDEX market.shown_shop_id")

    def _do(self, statement: str, cycle: int, **values: int) -> None:
        at = self._now - (CYCLES + 1 - cycle) * WEEK
        told = {
            "at": at,
            "first": self._now - CYCLES * WEEK,
            "pace": pace(self._places),
            "cycle": cycle,
            "shuffle": 40_503 + 2 * cycle,
            "interval_id": 1 + (cycle - 1) * len(self._intervals),
            "queued": QUEUED_EVERY,
            "failed": FAILED_EVERY,
            "first_review": FIRST_REVIEW,
            "phrases": self._one("SELECT COUNT(*) FROM phrases"),
            "sayings": self._one("SELECT COUNT(*) FROM sayings"),
        }
        self._database.execute(statement, {**told, **values})

    def _one(self, query: str) -> int:
        return int(self._database.execute(query).fetchone()[0])


def _note_marks(place: Place, listings: int, now: int) -> None:
    """Note the last rows, so that whatever a measurement adds can be taken away again; that the fill is whole, too."""
    with closing(sqlite3.connect(place.database)) as database, closing(sqlite3.connect(place.market)) as market:
        for table in ROWS_ADDED:
            last = database.execute(f"SELECT MAX(rowid) FROM {table}").fetchone()[0]
            market.execute("INSERT INTO facts VALUES (?, ?)", (table, last))
        market.executemany("INSERT INTO facts VALUES (?, ?)", [("filled_at", now), ("listings", listings)])
        market.commit()


def _write_breaks(place: Place) -> None:
    """Write the price breaks as a cycle's end does."""
    with closing(sqlite3.connect(place.database)) as database:
        breaks = [row[0] for row in database.execute("SELECT min_price FROM intervals WHERE cycle = ?", (CYCLES,))]
    PlanFiles(place.home / "data" / "db", place.home).write_breaks({ROOT_TAXONOMY: breaks}, {})
