"""Where the files of `bench.size` lie, and how its home is put back to the end of the last whole cycle."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from crawler.api import parsing, records
from crawler.planning import first_cursor
from runtime.clock import iso

ROOT_TAXONOMY = 967
CYCLES, DAY, WEEK = 10, 86_400, 7 * 86_400
PICTURES = 5
FIRST_NEW_ID, FIRST_NEW_REVIEW = 4_401_000_000, 3_000_000_000  # of listings and reviews that a measurement adds
FIRST_SHOP = 10_000_000
QUOTA = 100_000
CYCLE_SECONDS = 2 * DAY  # in which a cycle reads all listings
ROWS_ADDED = ("listings_dynamic", "image_status", "shops_dynamic")
REWIND = """
DELETE FROM listings_dynamic WHERE rowid > :listings_dynamic;
DELETE FROM image_status WHERE rowid > :image_status;
DELETE FROM shops_dynamic WHERE rowid > :shops_dynamic;
DELETE FROM listings WHERE listing_id >= :new_id;
DELETE FROM indexed_listings WHERE listing_id >= :new_id;
DELETE FROM reviews WHERE transaction_id >= :new_review;
DELETE FROM intervals WHERE cycle > :cycles;
DELETE FROM failed_items;
DELETE FROM api_usage;
UPDATE indexed_listings SET last_seen_cycle = :cycles, detail_cycle = wanted * :cycles,
    detail_due_at = (SELECT iif(shown.wanted, iso(:filled_at + place / 100 * :pace), NULL)
        FROM shown WHERE shown.listing_id = +indexed_listings.listing_id),
    images_digest = iif(wanted, images_digest(listing_id), NULL)
    WHERE last_seen_cycle > :cycles OR detail_cycle <> wanted * :cycles OR (wanted AND images_digest IS NULL);
UPDATE indexed_shops SET seen_cycle = :cycles, detail_cycle = :cycles,
    detail_due_at = iso(:filled_at + shop_id % 172800), review_due = shop_id % 33 = 0, review_cycle = :cycles,
    visited_review_count = 300, visited_review_average = 4.8
    WHERE seen_cycle <> :cycles OR detail_cycle <> :cycles OR review_cycle <> :cycles;
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a benchmark's files lie."""

    folder: Path

    @property
    def home(self) -> Path:
        """The crawler's home."""
        return self.folder / "home"

    @property
    def database(self) -> Path:
        """The crawler's database."""
        return self.home / "data" / "db" / "etsy_data.db"

    @property
    def market(self) -> Path:
        """What the market shows."""
        return self.folder / "market.db"

    @property
    def templates(self) -> Path:
        """Answers of the API, as patterns for many."""
        return self.folder / "templates.json"


def is_filled(place: Place, listings: int) -> bool:
    """Return whether a home of that size is there."""
    if not place.market.exists() or not place.database.exists():
        return False
    with closing(sqlite3.connect(place.market)) as market:
        try:
            return facts(market).get("listings") == listings
        except sqlite3.OperationalError:  # a fill that was broken off
            return False


def facts(market: sqlite3.Connection) -> dict[str, int]:
    """Return what was noted when the market was made."""
    return dict(market.execute("SELECT name, value FROM facts"))


def pace(places: int) -> int:
    """Return the seconds that a hundred of so many listings take in a cycle."""
    return CYCLE_SECONDS * 100 // max(100, places)


def rewind(place: Place) -> None:
    """Put the home back to the end of the last whole cycle, asleep, and the next one's beginning just missed."""
    now = int(time.time())
    with closing(sqlite3.connect(place.market)) as market:
        told = facts(market)
        places = market.execute("SELECT COUNT(*) FROM shown").fetchone()[0]
    told |= {"cycles": CYCLES, "new_id": FIRST_NEW_ID, "new_review": FIRST_NEW_REVIEW, "pace": pace(places)}
    with closing(sqlite3.connect(place.database, isolation_level=None)) as database:
        add_functions(database)
        database.execute("ATTACH ? AS market", (str(place.market),))
        database.execute("BEGIN IMMEDIATE")
        for statement in filter(str.strip, REWIND.split(";")):
            database.execute(statement, told)
        database.executemany("INSERT OR REPLACE INTO sync_state VALUES (?, ?)", _knowledge(place, now))
        database.executemany(
            "INSERT INTO api_usage(service, endpoint, request_count, rate_limit_remaining, recorded_at) "
            "VALUES ('etsy', ?, ?, ?, ?)",
            _usage(now),
        )
        database.execute("COMMIT")


def add_functions(database: sqlite3.Connection) -> None:
    """Let statements say a moment as rows carry it, and what was told of a listing's images."""
    database.create_function("iso", 1, iso, deterministic=True)
    database.create_function("images_digest", 1, _images_digest, deterministic=True)


def _images_digest(listing_id: int) -> int:
    ids = enumerate(range(listing_id * 8, listing_id * 8 + PICTURES), 1)
    told = (records.ImageRecord(i, rank, f"{i * 7 % 16777216:06x}", f"{i % 65536:04x}", None) for rank, i in ids)
    return records.images_digest(tuple(told))


def plan_again(place: Place) -> None:
    """Put only the position back to the sleep before the cycle, whose plan is made anew."""
    with closing(sqlite3.connect(place.database)) as database:
        database.execute("DELETE FROM intervals WHERE cycle > ?", (CYCLES,))
        database.executemany("INSERT OR REPLACE INTO sync_state VALUES (?, ?)", _knowledge(place, int(time.time())))
        database.commit()


def _knowledge(place: Place, now: int) -> Iterator[tuple[str, str]]:
    """Return what sync_state holds: a sleep that is over, the day's quota, the tree, the last audit."""
    sleep = {"reason": "cycle", "until": iso(now - 60)}
    audit = {"cycle": CYCLES, "finished_at": iso(now - 4 * DAY), "looked_at": {}, "gaps": {}, "examples": {}}
    values: dict[str, Any] = {
        "position": _position("SLEEP", sleep, CYCLES, now - 4 * DAY),
        "cycle": {"number": CYCLES, "started_at": iso(now - WEEK - 60)},
        "quota": {
            "limit": QUOTA,
            "remaining": QUOTA // 2,
            "heard_at": now - 60.0,
            "heard_count": 20,
            "not_before": 0.0,
            "cut_from": None,
            "cut_at": 0.0,
        },
        "taxonomy": _tree(place, now),
        "audit": {**audit, "orphans": {}, "intervals": {}, "failed_items": 0, "repairs_queued": False, "in_sync": True},
        "pictures": {"at": iso(now - DAY), "per_second": 20.0, "held": ""},
    }
    return ((key, json.dumps(value)) for key, value in values.items())


def stand_at(place: Place, state: str) -> None:
    """Put the position at the beginning of a state: VERIFY in the cycle that is over, the others in the next one."""
    cursors: dict[str, dict[str, Any]] = {
        "TAXONOMY": first_cursor((ROOT_TAXONOMY,)),
        "BACKFILL": {"batch_size": 100, "repairs": 0},
        "VERIFY": {"repairs": 0},
        "REVIEWS": {},
    }
    now = int(time.time())
    cycle, started_at = (CYCLES, now - WEEK - 60) if state == "VERIFY" else (CYCLES + 1, now)
    values = {
        "position": _position(state, cursors[state], cycle, now),
        "cycle": {"number": cycle, "started_at": iso(started_at)},
    }
    with closing(sqlite3.connect(place.database)) as database:
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        database.executemany("INSERT OR REPLACE INTO sync_state VALUES (?, ?)", rows)
        database.commit()


def _position(state: str, cursor: Mapping[str, Any], cycle: int, at: int) -> dict[str, Any]:
    return {"state": state, "cursor": dict(cursor), "cycle": cycle, "entered_at": iso(at), "version": 1}


def _tree(place: Place, now: int) -> dict[str, Any]:
    """Return the category tree as the crawler keeps it."""
    nodes = parsing.parse_taxonomy(orjson.loads(place.templates.read_bytes())["tree"])
    below, waiting = [], [ROOT_TAXONOMY]
    while waiting:
        node = nodes[waiting.pop()]
        waiting += node.children_ids
        below.append(
            {"id": node.id, "name": node.name, "parent_id": node.parent_id, "children_ids": list(node.children_ids)}
        )
    others = sorted(set(nodes) - {node["id"] for node in below})
    return {"nodes": below, "other_ids": others, "roots": [ROOT_TAXONOMY], "at": iso(now - 14 * DAY)}


def _usage(now: int) -> Iterator[tuple[Any, ...]]:
    """Return two days' calls by endpoint and minute, and those of the weeks before by the hour."""
    minutes = range(now - 2 * DAY - now % 60, now, 60)
    hours = range(now - CYCLES * WEEK - now % 60, minutes.start, 3600)
    for at in (*hours, *minutes):
        for endpoint, count in (("findAllListingsActive", 7), ("getListingsByListingIds", 5), ("getReviewsByShop", 2)):
            yield endpoint, count, QUOTA // 2, iso(at).replace("T", " ").rstrip("Z")
