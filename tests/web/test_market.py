"""The market's numbers are those of the rows, week by week and kind by kind."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from peewee import Database
from rich.console import Console
from starlette.testclient import TestClient

from crawler.store import state
from models import CRAWLER_MODELS, MIGRATIONS, IndexedListing, Listing, ListingDynamic, Shop
from runtime.database import open_database
from runtime.settings import Home
from tests.postgresql import new_database, own_server
from tests.rig import VirtualClock
from tests.upkeep.home import settings_of
from web.counting import MOST_KINDS, NOT_TOLD, OTHERS, Rows, count_all
from web.market import TITLES, Market, market_context
from web.wiring import build, build_parts

MONDAYS = ("2026-10-05", "2026-10-12")
HOSTILE = """"><script>alert(1)</script>' & {{ 7*7 }}"""
NODE = {"id": 967, "name": "Chairs", "parent_id": None, "children_ids": []}
TREE = {"nodes": [NODE], "other_ids": [], "roots": [967], "at": "2026-10-05T00:00:00Z"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with own_server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An open, empty database of either kind, of the home `home`."""
    Home(tmp_path / "home").data.mkdir(parents=True)
    address = settings_of(tmp_path / "home").database_url.get_secret_value()
    if request.param == "postgresql":
        address = new_database(request.getfixturevalue("server"), f"market_{request.node.name.partition('[')[0]}"[:63])
    database = open_database(address, tmp_path / "home", CRAWLER_MODELS, MIGRATIONS)
    yield database
    database.close()


@pytest.fixture
def market(database: Database) -> Database:
    """Two weeks: three listings, of which one goes; two sell in dollars."""
    state.save("taxonomy", TREE)
    Shop.create(shop_id=7, shop_location_country_iso="DE", snapshot_timestamp="2026-10-06T00:00:00Z")
    for listing_id, day, currency in ((1, "2026-10-06", "USD"), (2, "2026-10-11", "USD"), (3, "2026-10-12", "EUR")):
        add(listing_id, f"{day}T01:02:03Z", currency, "1990s" if listing_id == 3 else "2020_2026")
    read(1, "2026-10-13T00:00:00Z", "active", 30_050)
    read(2, "2026-10-18T23:59:59Z", "removed", None)
    return database


@pytest.fixture
def root(market: Database, tmp_path: Path) -> Path:
    """The home of the same market; pages open the one in SQLite."""
    return tmp_path / "home"


on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def add(listing_id: int, at: str, currency: str, era: str | None, category: int | None = 967, shop_id: int = 7) -> None:
    texts = dict.fromkeys(("tags", "materials", "production_partners"), "[]")
    Listing.create(listing_id=listing_id, shop=shop_id, snapshot_timestamp=at, title="Chair", **texts)
    IndexedListing.create(
        listing_id=listing_id,
        shop_id=shop_id,
        wanted=1,
        known=1,
        price=100.0 * listing_id,
        price_currency=currency,
        when_made=era,
        taxonomy_id=category,
        last_seen_cycle=1,
        first_seen_at=at,
        last_seen_at=at,
    )
    read(listing_id, at, "active", 10_000 * listing_id, currency)


def read(listing_id: int, at: str, state_told: str, cents: int | None, currency: str = "USD") -> None:
    price = {"price_amount": cents, "price_divisor": 100, "price_currency": currency}
    ListingDynamic.create(listing=listing_id, snapshot_timestamp=at, state=state_told, **price)


@pytest.mark.usefixtures("market")
def test_weeks_tell_what_was_met_and_what_has_gone_and_prices_to_the_cent() -> None:
    told = count_all(lambda: None)
    assert told["weeks"] == [[MONDAYS[0], 2, 1, 0, 0], [MONDAYS[1], 1, 0, 0, 1]]
    assert told["prices"] == [[MONDAYS[0], 2, 150.0], [MONDAYS[1], 1, 300.5]]


@pytest.mark.usefixtures("market")
def test_kinds_tell_how_many_there_are_and_what_they_cost_in_dollars() -> None:
    told = count_all(lambda: None)
    assert told["categories"] == [[967, "Chairs", 3, 150.0]]
    assert told["eras"] == [["2020_2026", 2, 150.0], ["1990s", 1, None]]
    assert told["countries"] == [["DE", 3, 150.0]]


@pytest.mark.usefixtures("market")
def test_kinds_by_week_tell_what_was_met_and_gone_of_each_and_its_price() -> None:
    told = count_all(lambda: None)
    weeks = [[2, 0, 2, 150.0], [1, 1, 1, 300.5]]
    assert told["categories_by_week"] == [[week, 967, "Chairs", *row] for week, row in zip(MONDAYS, weeks, strict=True)]
    assert told["countries_by_week"] == [[week, "DE", *row] for week, row in zip(MONDAYS, weeks, strict=True)]
    assert told["eras_by_week"] == [
        [MONDAYS[0], "2020_2026", 2, 0, 2, 150.0],
        [MONDAYS[1], "2020_2026", 0, 1, 1, 300.5],
        [MONDAYS[1], "1990s", 1, 0, 0, None],
    ]


@pytest.mark.usefixtures("database")
def test_the_kinds_of_a_week_add_up_to_the_week_also_where_a_kind_is_rare_or_not_told() -> None:
    told = _of_forty_kinds()
    assert [sum(row[place] for row in told["weeks"]) for place in (1, 4)] == [120, 24]
    assert sum(prices for _, prices, _ in told["prices"]) == 120
    for name in ("categories_by_week", "eras_by_week", "countries_by_week"):
        sums = {week: [0, 0, 0] for week, *_ in told["weeks"]}
        for row in told[name]:
            sums[row[0]] = [have + more for have, more in zip(sums[row[0]], row[-4:-1], strict=True)]
        assert [[week, met, gone] for week, (met, gone, _) in sums.items()] == [
            [week, met, gone] for week, met, _, _, gone in told["weeks"]
        ]
        assert {week: prices for week, (_, _, prices) in sums.items()} == {week: n for week, n, _ in told["prices"]}
        kinds = [row[1] for row in told[name]]
        assert len(set(kinds)) == MOST_KINDS + 1 and kinds[-1] == OTHERS
    assert NOT_TOLD in {row[1] for row in told["eras_by_week"]}


def _of_forty_kinds() -> dict[str, Rows]:
    for number in range(40):
        Shop.create(shop_id=number, shop_location_country_iso=f"{chr(65 + number // 20)}{chr(65 + number % 20)}")
    for listing_id in range(1, 121):
        number = listing_id % 40
        at = f"2026-10-{5 + listing_id % 14:02}T00:00:00Z"
        add(listing_id, at, "USD", f"era {number}" if listing_id % 4 else None, 1000 + number, number)
        if listing_id % 5 == 0:
            read(listing_id, "2026-10-14T00:00:01Z", "removed", None)
    IndexedListing.delete().where(IndexedListing.listing_id == 120).execute()
    IndexedListing.update(shop_id=None).where(IndexedListing.listing_id == 119).execute()
    return count_all(lambda: None)


@on_sqlite
def test_between_two_statements_it_looks_whether_the_end_is_wanted(market: Any) -> None:
    happened: list[str] = []
    market.connection().set_trace_callback(lambda statement: happened.append("statement"))
    count_all(lambda: happened.append("look"))
    assert happened[::2] == ["look"] * (len(happened) // 2) and happened[1::2] == ["statement"] * (len(happened) // 2)


@on_sqlite
def test_readings_are_walked_through_no_more_than_twice(market: Any) -> None:
    statements: list[str] = []
    market.connection().set_trace_callback(statements.append)
    count_all(lambda: None)
    assert sum("listings_dynamic" in statement for statement in statements) == 2


@on_sqlite
def test_it_is_counted_once_a_cycle_and_again_after_a_week(root: Path) -> None:
    clock, cycle = VirtualClock(), [1]
    market = Market(Home(root), clock, lambda: cycle[0])
    assert market.refresh() and not market.refresh()
    cycle[0] = 2
    assert market.refresh() and not market.refresh()
    clock.advance(8 * 86_400)
    assert market.refresh()
    (root / "data" / "web" / "market.json").write_text("{", encoding="utf-8")
    assert market.load() is None and market.refresh()


@contextmanager
def page_of(root: Path) -> Iterator[TestClient]:
    built = build(build_parts(settings_of(root), Console(file=io.StringIO())))
    with closing(built.database), TestClient(built.app, base_url="http://localhost") as page:
        yield page


@on_sqlite
def test_the_page_shows_each_table_with_its_numbers_as_csv(root: Path) -> None:
    with page_of(root) as page:
        assert "It is being counted" in page.get("/market").text
        Market(Home(root), VirtualClock(), lambda: 1).refresh()
        text = page.get("/market").text
        assert text.count('<svg class="chart"') == 13  # no review was met
        for name, (_, columns) in TITLES.items():
            rows = list(csv.reader(io.StringIO(page.get(f"/market/{name}.csv").text)))
            assert len(rows) > 1 and rows[0] == list(columns) and f"/market/{name}.csv" in text
        assert page.get("/market/nothing.csv").status_code == 404


@on_sqlite
def test_categories_are_named_where_their_name_is_known(root: Path) -> None:
    add(4, "2026-10-13T00:00:00Z", "USD", None, 968)
    Market(Home(root), VirtualClock(), lambda: 1).refresh()
    with page_of(root) as page:
        text = page.get("/market").text
        assert '<th scope="row">Chairs (967)</th>' in text and '<th scope="row">968</th>' in text
        assert re.findall(r'class="key"[^>]*>([^<]*)<', text)[:2] == ["Chairs (967)", "968"]
        rows = list(csv.reader(io.StringIO(page.get("/market/categories_by_week.csv").text)))
        assert [row[1:3] for row in rows[1:]] == [["967", "Chairs"], ["967", "Chairs"], ["968", ""]]


@pytest.mark.usefixtures("database")
def test_there_are_names_of_categories_only_where_a_sound_tree_is_kept() -> None:
    assert state.category_names() == {}
    state.save("taxonomy", {**TREE, "nodes": [{**NODE, "name": 5}]})
    assert state.category_names() == {}
    state.save("taxonomy", TREE)
    assert state.category_names() == {967: "Chairs"}


@on_sqlite
def test_names_of_kinds_are_shown_as_text(root: Path) -> None:
    state.save("taxonomy", {**TREE, "nodes": [{**NODE, "name": HOSTILE}]})
    IndexedListing.update(when_made=HOSTILE).execute()
    Market(Home(root), VirtualClock(), lambda: 1).refresh()
    with page_of(root) as page:
        text = page.get("/market").text
        assert "<script>alert" not in text and "&lt;script&gt;alert" in text
        assert re.findall(r'class="key"[^>]*>([^<]*)<', text)[0].startswith("&quot;&gt;&lt;script&gt;")


@on_sqlite
def test_numbers_of_an_older_form_are_counted_anew_and_the_page_says_so_meanwhile(root: Path) -> None:
    path = root / "data" / "web" / "market.json"
    path.parent.mkdir()
    older = {"at": "2026-10-18T00:00:00Z", "cycle": 1, "numbers": {"weeks": [[MONDAYS[0], 2, 1, 0, 0]]}}
    path.write_text(json.dumps(older), encoding="utf-8")
    market = Market(Home(root), VirtualClock(), lambda: 1)
    with page_of(root) as page:
        answer = page.get("/market")
        assert answer.status_code == 200 and "It is being counted" in answer.text
        assert page.get("/market/weeks.csv").status_code == 200
        assert market.refresh() and not market.refresh()
        assert "By category" in page.get("/market").text


def test_the_page_draws_the_six_most_frequent_kinds_and_lists_no_weeks_of_kinds() -> None:
    weeks = [f"2026-{number:03}" for number in range(104)]
    numbers: dict[str, Rows] = {
        "eras": [[f"era {kind}" if kind else NOT_TOLD, 100 - kind, 9.5] for kind in range(MOST_KINDS)],
        "eras_by_week": [
            [week, f"era {kind}" if kind else NOT_TOLD, kind, 1, 1, 9.5] for week in weeks for kind in range(MOST_KINDS)
        ],
    }
    sections = market_context({"at": "2026-10-18T00:00:00Z", "numbers": numbers})["sections"]
    assert max(len(section.table.rows) for section in sections) == MOST_KINDS
    for _, chart in next(section.charts for section in sections if section.name == "eras"):
        assert re.findall(r'class="key"[^>]*>([^<]*)<', chart) == [f"era {kind}" for kind in range(1, 7)]
        lines = re.findall(r'<polyline class="line s\d" points="([^"]*)"', chart)
        assert [len(line.split()) for line in lines] == [2] * 6 + [len(weeks)] * 6


def test_a_week_without_a_kind_met_none_of_it_and_read_no_price() -> None:
    numbers: dict[str, Rows] = {
        "eras": [["1990s", 3, 1.0], ["1980s", 2, 1.0]],
        "eras_by_week": [[MONDAYS[0], "1990s", 1, 0, 1, 1.0], [MONDAYS[1], "1980s", 2, 0, 1, 2.0]],
    }
    sections = market_context({"at": "2026-10-18T00:00:00Z", "numbers": numbers})["sections"]
    new, gone, average = next(section.charts for section in sections if section.name == "eras")
    assert new[1].count("<polyline") == 4  # two in the legend
    assert average[1].count("<polyline") == 2 and average[1].count("<path") == 4
    assert gone[1] == ""
