"""The market over time and by kind: counted in the background once a cycle, kept in data/web/market.json.

Counting walks through whole tables, some ten seconds at ten million readings; no page waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from peewee import Case, PeeweeException, fn

from models import IndexedListing, Listing, ListingDynamic, Review, Shop
from runtime import bulk
from runtime.clock import DAY_SECONDS, Clock, iso, parse_iso
from runtime.errors import CrawlError, Stopped, UserMistake
from runtime.files import make_folders, read_json, write_json
from runtime.repeated import Repeated
from runtime.settings import Home
from web.charts import Series, line_chart

CURRENCY = "USD"
MOST_KINDS = 25
LOOK_SECONDS, OLD_DAYS = 30.0, 7.0
Rows = list[list[Any]]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers under a title: the columns' names, the first of which is what the rows are about, and the rows."""

    title: str
    columns: tuple[str, ...]
    rows: Rows


def count_all(look: Callable[[], None]) -> dict[str, Rows]:
    """Return all numbers from the database, which is open; `look` is called between the statements."""
    found: dict[str, Rows] = {}
    for name, count in COUNTS.items():
        look()
        found[name] = count()
    return found


def by_week() -> Rows:
    """Return for each week (its Monday) what was met in it: listings, shops, reviews; and listings found gone."""
    days = [_by_day(model) for model in (Listing, Shop, Review)] + [_gone_by_day()]
    weeks = sorted({_monday(day) for counted in days for day in counted})
    sums = [dict.fromkeys(weeks, 0) for _ in days]
    for counted, summed in zip(days, sums, strict=True):
        for day, number in counted.items():
            summed[_monday(day)] += number
    return [[week, *(summed[week] for summed in sums)] for week in weeks]


def prices_by_week() -> Rows:
    """Return for each week how many prices in dollars were read of listings on offer, and their average."""
    price = ListingDynamic.price_amount * 1.0 / ListingDynamic.price_divisor
    day = fn.SUBSTR(ListingDynamic.snapshot_timestamp, 1, 10)
    query = ListingDynamic.select(day, fn.COUNT(price), fn.SUM(price)).where(
        ListingDynamic.state == "active", ListingDynamic.price_currency == CURRENCY, ListingDynamic.price_divisor > 0
    )
    weeks: dict[str, list[float]] = {}
    for told, number, total in bulk.tuples(query.group_by(day)):
        week = weeks.setdefault(_monday(told), [0, 0.0])
        week[0] += number
        week[1] += total or 0.0
    return [[week, int(number), round(total / number, 2)] for week, (number, total) in sorted(weeks.items()) if number]


def by_kind(column: Any) -> Rows:
    """Return for the most frequent values of a column how many listings are known, and the average dollar price."""
    query = IndexedListing.select(column, *_figures()).where(IndexedListing.known == 1)
    return _most(query.group_by(column))


def by_country() -> Rows:
    """Return the same for the countries where the shops say that they are."""
    country = Shop.shop_location_country_iso
    query = (
        IndexedListing.select(country, *_figures())
        .join(Shop, on=(Shop.shop_id == IndexedListing.shop_id))
        .where(IndexedListing.known == 1)
    )
    return _most(query.group_by(country))


COUNTS: Mapping[str, Callable[[], Rows]] = {
    "weeks": by_week,
    "prices": prices_by_week,
    "categories": lambda: by_kind(IndexedListing.taxonomy_id),
    "eras": lambda: by_kind(IndexedListing.when_made),
    "countries": by_country,
}
TITLES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "weeks": ("First met, and found gone, by week", ("week", "listings", "shops", "reviews", "gone")),
    "prices": ("Average price on offer, in dollars, by week", ("week", "prices read", "average")),
    "categories": ("By category", ("category", "listings", "average price")),
    "eras": ("By era", ("made", "listings", "average price")),
    "countries": ("By the shop's country", ("country", "listings", "average price")),
}


def tables_of(counted: Mapping[str, Rows]) -> dict[str, Table]:
    """Return the tables by name."""
    return {name: Table(title, columns, counted.get(name, [])) for name, (title, columns) in TITLES.items()}


def market_context(counted: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the template says."""
    if counted is None:
        return {"at": None, "tables": {}, "charts": {}}
    tables = tables_of(counted["numbers"])
    weeks, prices = tables["weeks"], tables["prices"]
    charts = {
        "weeks": [
            (name, line_chart(f"{name} by week", _column(weeks, 0), [Series(name, _column(weeks, place))]))
            for place, name in enumerate(weeks.columns)
            if place
        ],
        "prices": [("average", line_chart(prices.title, _column(prices, 0), [Series("average", _column(prices, 2))]))],
    }
    return {"at": counted["at"], "tables": tables, "charts": charts}


class Market:
    """Keeps the numbers of a home; they are counted anew when a cycle has ended or a week is over."""

    def __init__(self, home: Home, clock: Clock, cycle: Callable[[], int | None]) -> None:
        self._home = home
        self._path = home.root / "data" / "web" / "market.json"
        self._clock = clock
        self._cycle = cycle

    def load(self) -> Mapping[str, Any] | None:
        """Return what was counted last, and when; None before the first time."""
        try:
            told = read_json(self._path) if self._path.exists() else None
        except UserMistake:
            return None
        return told if isinstance(told, dict) and {"at", "cycle", "numbers"} <= set(told) else None

    def refresh(self, look: Callable[[], None] = lambda: None) -> bool:
        """Count where it is time; return whether it was. `look` is called now and then.

        OSError and the database's errors are raised.
        """
        cycle, there = self._cycle(), self.load()
        if cycle is None or (there and there["cycle"] == cycle and not self._is_old(there["at"])):
            return False
        numbers = count_all(look)
        make_folders(self._path.parent, self._home.root)
        write_json(self._path, {"at": iso(self._clock.now()), "cycle": cycle, "numbers": numbers})
        return True

    def _is_old(self, at: str) -> bool:
        return self._clock.now() - parse_iso(at) > OLD_DAYS * DAY_SECONDS


def counter(market: Market, clock: Clock) -> Repeated:
    """Return what counts the market anew where it is time, and looks for that twice a minute."""

    def count(look: Callable[[], None]) -> None:
        try:
            if market.refresh(look):
                log.info("The market was counted.")
        except Stopped:
            raise
        except (CrawlError, OSError, PeeweeException, ValueError) as error:
            log.warning("The market cannot be counted now: %s", error)

    return Repeated("market", count, clock, LOOK_SECONDS)


def _figures() -> Sequence[Any]:
    dollars = Case(None, [(IndexedListing.price_currency == CURRENCY, IndexedListing.price)], None)
    return fn.COUNT(IndexedListing.listing_id), fn.AVG(dollars)


def _most(query: Any) -> Rows:
    rows = sorted(bulk.tuples(query), key=lambda row: (-row[1], str(row[0])))[:MOST_KINDS]
    return [
        ["–" if kind is None else kind, number, None if average is None else round(average, 2)]
        for kind, number, average in rows
    ]


def _by_day(model: Any) -> dict[str, int]:
    day = fn.SUBSTR(model.snapshot_timestamp, 1, 10)
    query = model.select(day, fn.COUNT(day)).where(model.snapshot_timestamp.is_null(False))
    return dict(bulk.tuples(query.group_by(day)))


def _gone_by_day() -> dict[str, int]:
    day = fn.SUBSTR(ListingDynamic.snapshot_timestamp, 1, 10)
    query = ListingDynamic.select(day, fn.COUNT(day)).where(ListingDynamic.state == "removed")
    return dict(bulk.tuples(query.group_by(day)))


def _monday(day: str) -> str:
    try:
        told = date.fromisoformat(day)
    except ValueError:
        return day
    return (told - timedelta(days=told.weekday())).isoformat()


def _column(table: Table, place: int) -> list[Any]:
    return [row[place] for row in table.rows]
