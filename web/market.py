"""The market over time and by kind: counted in the background once a cycle, kept in data/web/market.json.

Counting walks through whole tables, some half a minute at ten million readings; no page waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from peewee import PeeweeException

from runtime.clock import DAY_SECONDS, Clock, iso, parse_iso
from runtime.errors import CrawlError, Stopped, UserMistake
from runtime.files import make_folders, read_json, write_json
from runtime.repeated import Repeated
from runtime.settings import Home
from web.charts import MARKS, Series, by_powers, even, line_chart
from web.counting import KINDS, NOT_TOLD, Rows, count_all

FORM = 2  # of the numbers in the file: one of another form is counted anew
LOOK_SECONDS, OLD_DAYS = 30.0, 7.0
Charts = list[tuple[str, str]]
log = logging.getLogger(__name__)
WEEKLY = ("new", "gone", "prices read", "average")
TITLES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "weeks": ("First met, and found gone, by week", ("week", "listings", "shops", "reviews", "gone")),
    "prices": ("Average price on offer, in dollars, by week", ("week", "prices read", "average")),
    "categories": ("By category", ("category", "name", "listings", "average price")),
    "eras": ("By era", ("made", "listings", "average price")),
    "countries": ("By the shop's country", ("country", "listings", "average price")),
    "categories_by_week": ("By category and week", ("week", "category", "name", *WEEKLY)),
    "eras_by_week": ("By era and week", ("week", "made", *WEEKLY)),
    "countries_by_week": ("By the shop's country and week", ("week", "country", *WEEKLY)),
}
DRAWN = {
    "new": ("listings first met, by week", by_powers, 0),
    "gone": ("listings found gone, by week", by_powers, 0),
    "average": ("average price on offer, by week", even, None),
}
"""The columns that are drawn by kind: what they show, on which scale, and what a week without a row means."""


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers under a title: the columns' names, the first of which is what the rows are about, and the rows."""

    title: str
    columns: tuple[str, ...]
    rows: Rows

    def column(self, name: str) -> list[Any]:
        """Return the values in this column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: a table, charts with their captions, and words for each table that is there as CSV.

    The table `is_open` where the charts show other numbers.
    """

    name: str
    table: Table
    charts: Charts
    files: Mapping[str, str]
    is_open: bool = False


def tables_of(counted: Mapping[str, Rows]) -> dict[str, Table]:
    """Return the tables by name."""
    return {name: Table(title, columns, counted.get(name, [])) for name, (title, columns) in TITLES.items()}


def market_context(counted: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the template says."""
    if counted is None:
        return {"at": None, "sections": []}
    tables = tables_of(counted["numbers"])
    weeks, prices = tables["weeks"], tables["prices"]
    average = line_chart(prices.title, prices.column("week"), [Series("average", prices.column("average"))])
    sections = [
        Section("weeks", weeks, _charts_of_counts(weeks), {"weeks": "As CSV"}),
        Section("prices", prices, [("average", average)], {"prices": "As CSV"}),
        *(_section_of_kinds(name, tables[name], tables[f"{name}_by_week"]) for name in KINDS),
    ]
    return {"at": counted["at"], "sections": sections}


class Market:
    """Keeps the numbers of a home; they are counted anew when a cycle has ended or a week is over."""

    def __init__(self, home: Home, clock: Clock, cycle: Callable[[], int | None]) -> None:
        self._home = home
        self._path = home.root / "data" / "web" / "market.json"
        self._clock = clock
        self._cycle = cycle

    def load(self) -> Mapping[str, Any] | None:
        """Return what was counted last, and when; None before the first time, and where it has an older form."""
        try:
            told = read_json(self._path) if self._path.exists() else None
        except UserMistake:
            return None
        is_whole = isinstance(told, dict) and told.get("form") == FORM and {"at", "cycle", "numbers"} <= set(told)
        return told if is_whole else None

    def refresh(self, look: Callable[[], None] = lambda: None) -> bool:
        """Count where it is time; return whether it was. `look` is called now and then.

        OSError and the database's errors are raised.
        """
        cycle, there = self._cycle(), self.load()
        if cycle is None or (there and there["cycle"] == cycle and not self._is_old(there["at"])):
            return False
        numbers = count_all(look)
        make_folders(self._path.parent, self._home.root)
        told = {"form": FORM, "at": iso(self._clock.now()), "cycle": cycle, "numbers": numbers}
        write_json(self._path, told)
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


def _charts_of_counts(table: Table) -> Charts:
    weeks, *names = table.columns
    return [
        (name, line_chart(f"{name} by week", table.column(weeks), [Series(name, table.column(name))], by_powers))
        for name in names
    ]


def _section_of_kinds(name: str, kinds: Table, by_week: Table) -> Section:
    """Return the section of these kinds: with their names where they have some, and over the weeks."""
    labels = {row[0]: row[0] for row in kinds.rows}
    shown = kinds
    if "name" in kinds.columns:
        labels = {row[0]: f"{row[1]} ({row[0]})" if row[1] else row[0] for row in kinds.rows}
        columns = (kinds.columns[0], *kinds.columns[2:])
        shown = Table(kinds.title, columns, [[labels[row[0]], *row[2:]] for row in kinds.rows])
    files = {name: "As CSV", f"{name}_by_week": "Week by week as CSV"}
    return Section(name, shown, _charts_of_kinds(labels, by_week), files, is_open=True)


def _charts_of_kinds(labels: Mapping[Any, Any], by_week: Table) -> Charts:
    """Return the charts of the most frequent kinds, which are the first of these labels; NOT_TOLD is no kind."""
    kinds = [kind for kind in labels if kind != NOT_TOLD][: len(MARKS)]
    weeks = sorted(set(by_week.column("week")))
    charts = []
    for column, (words, scale, nothing) in DRAWN.items():
        place = by_week.columns.index(column)
        values = {(row[0], row[1]): row[place] for row in by_week.rows}
        series = [Series(str(labels[kind]), [values.get((week, kind), nothing) for week in weeks]) for kind in kinds]
        title = f"{words}: {', '.join(one.name for one in series)}"
        charts.append((words, line_chart(title, weeks, series, scale, with_legend=True)))
    return charts
