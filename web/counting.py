"""What is counted of the market, by week and by kind; each statement walks through a whole table.

Readings, of which there are the most, are walked through twice: by category and era together, and by country. By
all three at once they make groups of two or three, too many to be read into memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from peewee import JOIN, Case, fn

from crawler.store import state
from models import IndexedListing, Listing, ListingDynamic, Review, Shop
from runtime import bulk

CURRENCY = "USD"
MOST_KINDS = 25
NOT_TOLD, OTHERS = "–", "others"
CATEGORY, ERA, COUNTRY = IndexedListing.taxonomy_id, IndexedListing.when_made, Shop.shop_location_country_iso
KINDS = {"categories": CATEGORY, "eras": ERA, "countries": COUNTRY}
Rows = list[list[Any]]


@dataclass(slots=True)
class Figures:
    """What was counted of a week, or of a kind in it; `total` is the sum of the `prices` that were read."""

    met: int = 0
    gone: int = 0
    prices: int = 0
    total: float = 0.0

    def add(self, met: int, gone: int, prices: int, total: float | None) -> None:
        """Add what else was counted."""
        self.met += met
        self.gone += gone
        self.prices += prices
        self.total += total or 0.0

    @property
    def average(self) -> float | None:
        """The average price, None where none was read."""
        return round(self.total / self.prices, 2) if self.prices else None


Weekly = dict[tuple[str, Any], Figures]
"""Figures by week (its Monday) and kind."""


def count_all(look: Callable[[], None]) -> dict[str, Rows]:
    """Return all numbers from the database, which is open; `look` is called before each statement.

    "weeks" tells of each week what was met in it (listings, shops, reviews) and how many listings were found gone,
    "prices" how many prices in dollars were read of listings on offer and their average; "categories", "eras" and
    "countries" tell of the most frequent kinds how many listings are known and their average price; the same names
    with "_by_week" tell of each week and kind what "weeks" and "prices" tell of the week.
    """

    def read(query: Any) -> list[tuple[Any, ...]]:
        look()
        return bulk.raw(query)

    sums = _add_up(read)
    met = [_by_week(read(_by_day(model))) for model in (Shop, Review)]
    look()
    names = state.category_names()
    found = {"weeks": _weeks(sums["weeks"], *met), "prices": _prices(sums["weeks"])}
    for name, column in KINDS.items():
        kinds = _most(read(_known_by(column)))
        told = names if column is CATEGORY else None
        found[name] = [[*_named(kind, told), *figures] for kind, *figures in kinds]
        found[f"{name}_by_week"] = _kinds_by_week(sums[name], [kind for kind, *_ in kinds], told)
    return found


def _add_up(read: Callable[[Any], Iterable[tuple[Any, ...]]]) -> dict[str, Weekly]:
    """Return the figures by what they are of: of each week as a whole, and of its kinds."""
    sums: dict[str, Weekly] = {name: defaultdict(Figures) for name in ("weeks", *KINDS)}

    def add(day: str, kinds: Mapping[str, Any], figures: Sequence[Any]) -> None:
        week = _monday(day)
        for name, kind in kinds.items():
            sums[name][week, kind].add(*figures)

    for day, category, era, country, met in read(_met_by_day()):
        add(day, {"weeks": "", "categories": category, "eras": era, "countries": country}, (met, 0, 0, 0.0))
    for day, category, era, *figures in read(_read_by_day(CATEGORY, ERA)):
        add(day, {"weeks": "", "categories": category, "eras": era}, (0, *figures))
    for day, country, *figures in read(_read_by_day(COUNTRY)):
        add(day, {"countries": country}, (0, *figures))
    return sums


def _met_by_day() -> Any:
    """Return the select of how many listings of each category, era and country were first read on each day."""
    day = _day_of(Listing)
    query = Listing.select(day, *KINDS.values(), fn.COUNT(Listing.listing_id))
    return _of_kinds(query, Listing.listing_id).group_by(day, *KINDS.values())


def _read_by_day(*kinds: Any) -> Any:
    """Return the select of how many listings of these kinds were found gone on each day, of prices and their sum."""
    day, state_told = _day_of(ListingDynamic), ListingDynamic.state
    # A cast, not `* 1.0`: of that Peewee makes a whole number, as the column is, and the cents are lost.
    dollars = ListingDynamic.price_amount.cast("DOUBLE PRECISION") / ListingDynamic.price_divisor
    price = Case(None, [(state_told == "active", dollars)], None)
    gone = Case(None, [(state_told == "removed", 1)], None)
    in_dollars = (ListingDynamic.price_currency == CURRENCY) & (ListingDynamic.price_divisor > 0)
    query = ListingDynamic.select(day, *kinds, fn.COUNT(gone), fn.COUNT(price), fn.SUM(price))
    # SQLite sorts the rows to group them: what is not counted is left out before.
    counted = (state_told == "removed") | ((state_told == "active") & in_dollars)
    return _of_kinds(query, ListingDynamic.listing).where(counted).group_by(day, *kinds)


def _of_kinds(query: Any, listing_id: Any) -> Any:
    """Return the select with what is known of each listing's kinds; without any, it is counted all the same."""
    joined = query.join(IndexedListing, JOIN.LEFT_OUTER, on=(IndexedListing.listing_id == listing_id))
    return joined.join(Shop, JOIN.LEFT_OUTER, on=(Shop.shop_id == IndexedListing.shop_id))


def _by_day(model: Any) -> Any:
    day, at = _day_of(model), model.snapshot_timestamp
    return model.select(day, fn.COUNT(at)).where(at.is_null(False)).group_by(day)


def _known_by(column: Any) -> Any:
    """Return the select of how many listings of each kind are known, and of their average price in dollars."""
    dollars = Case(None, [(IndexedListing.price_currency == CURRENCY, IndexedListing.price)], None)
    query = IndexedListing.select(column, fn.COUNT(IndexedListing.listing_id), fn.AVG(dollars))
    if column is COUNTRY:
        query = query.join(Shop, on=(Shop.shop_id == IndexedListing.shop_id))
    return query.where(IndexedListing.known == 1).group_by(column)


def _day_of(model: Any) -> Any:
    # Grouped by its name: to PostgreSQL the same expression with values of its own is another one.
    return fn.SUBSTR(model.snapshot_timestamp, 1, 10).alias("day_of_it")


def _weeks(sums: Weekly, shops: Mapping[str, int], reviews: Mapping[str, int]) -> Rows:
    nothing = Figures()
    return [
        [week, figures.met, shops.get(week, 0), reviews.get(week, 0), figures.gone]
        for week in sorted({week for week, _ in sums} | {*shops, *reviews})
        for figures in [sums.get((week, ""), nothing)]
    ]


def _prices(sums: Weekly) -> Rows:
    return [[week, found.prices, found.average] for (week, _), found in sorted(sums.items()) if found.prices]


def _kinds_by_week(sums: Weekly, kinds: Sequence[Any], names: Mapping[int, str] | None) -> Rows:
    """Return the figures of each week by kind, in this order; of all kinds that are not among these in one."""
    places = {kind: place for place, kind in enumerate(kinds)}
    folded: dict[tuple[str, int], Figures] = defaultdict(Figures)
    for (week, kind), found in sums.items():
        place = places.get(NOT_TOLD if kind is None else kind, len(kinds))
        folded[week, place].add(found.met, found.gone, found.prices, found.total)
    order = [*kinds, OTHERS]
    return [
        [week, *_named(order[place], names), found.met, found.gone, found.prices, found.average]
        for (week, place), found in sorted(folded.items())
    ]


def _named(kind: Any, names: Mapping[int, str] | None) -> list[Any]:
    return [kind] if names is None else [kind, names.get(kind, "")]


def _most(rows: Iterable[tuple[Any, ...]]) -> Rows:
    frequent = sorted(rows, key=lambda row: (-row[1], str(row[0])))[:MOST_KINDS]
    return [
        [NOT_TOLD if kind is None else kind, number, None if average is None else round(average, 2)]
        for kind, number, average in frequent
    ]


def _by_week(days: Iterable[tuple[Any, ...]]) -> dict[str, int]:
    weeks: dict[str, int] = defaultdict(int)
    for day, number in days:
        weeks[_monday(day)] += number
    return dict(weeks)


@lru_cache(maxsize=4096)
def _monday(day: str) -> str:
    try:
        told = date.fromisoformat(day)
    except ValueError:
        return day
    return (told - timedelta(days=told.weekday())).isoformat()
