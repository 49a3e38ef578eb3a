"""The market's numbers are those of the rows, week by week and kind by kind."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console
from starlette.testclient import TestClient

from models import CRAWLER_MODELS, MIGRATIONS, IndexedListing, Listing, ListingDynamic, Shop
from runtime.database import open_database
from runtime.settings import Home
from tests.rig import VirtualClock
from tests.upkeep.home import settings_of
from web.market import Market, count_all
from web.wiring import build, build_parts

MONDAYS = ("2026-10-05", "2026-10-12")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A home of two weeks: three listings, of which one goes; two sell in dollars."""
    home = tmp_path / "home"
    Home(home).data.mkdir(parents=True)
    address = settings_of(home).database_url.get_secret_value()
    database = open_database(address, home, CRAWLER_MODELS, MIGRATIONS)
    Shop.create(shop_id=7, shop_location_country_iso="DE", snapshot_timestamp="2026-10-06T00:00:00Z")
    for listing_id, day, currency in ((1, "2026-10-06", "USD"), (2, "2026-10-11", "USD"), (3, "2026-10-12", "EUR")):
        add(listing_id, f"{day}T01:02:03Z", currency)
    read(1, "2026-10-13T00:00:00Z", "active", 30_000)
    read(2, "2026-10-18T23:59:59Z", "removed", None)
    yield home
    database.close()


def add(listing_id: int, at: str, currency: str) -> None:
    texts = dict.fromkeys(("tags", "materials", "production_partners"), "[]")
    Listing.create(listing_id=listing_id, shop=7, snapshot_timestamp=at, title="Chair", **texts)
    seen = dict.fromkeys(("first_seen_at", "last_seen_at"), at)
    IndexedListing.create(
        listing_id=listing_id,
        shop_id=7,
        wanted=1,
        known=1,
        price=100.0 * listing_id,
        price_currency=currency,
        when_made="1990s" if listing_id == 3 else "2020_2026",
        taxonomy_id=967,
        last_seen_cycle=1,
        **seen,
    )
    read(listing_id, at, "active", 10_000 * listing_id, currency)


def read(listing_id: int, at: str, state: str, cents: int | None, currency: str = "USD") -> None:
    price = {"price_amount": cents, "price_divisor": 100, "price_currency": currency}
    ListingDynamic.create(listing=listing_id, snapshot_timestamp=at, state=state, **price)


def test_weeks_tell_what_was_met_and_what_has_gone(root: Path) -> None:
    told = count_all(lambda: None)
    assert told["weeks"] == [[MONDAYS[0], 2, 1, 0, 0], [MONDAYS[1], 1, 0, 0, 1]]
    assert told["prices"] == [[MONDAYS[0], 2, 150.0], [MONDAYS[1], 1, 300.0]]


def test_kinds_tell_how_many_there_are_and_what_they_cost_in_dollars(root: Path) -> None:
    told = count_all(lambda: None)
    assert told["categories"] == [[967, 3, 150.0]]
    assert told["eras"] == [["2020_2026", 2, 150.0], ["1990s", 1, None]]
    assert told["countries"] == [["DE", 3, 150.0]]


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


def test_the_page_shows_each_table_with_its_numbers_as_csv(root: Path) -> None:
    built = build(build_parts(settings_of(root), Console(file=io.StringIO())))
    with closing(built.database), TestClient(built.app, base_url="http://localhost") as page:
        assert "It is being counted" in page.get("/market").text
        Market(Home(root), VirtualClock(), lambda: 1).refresh()
        text = page.get("/market").text
        assert text.count("<svg class") == 4  # no review was met
        for name in ("weeks", "prices", "categories", "eras", "countries"):
            rows = list(csv.reader(io.StringIO(page.get(f"/market/{name}.csv").text)))
            assert len(rows) > 1 and f"/market/{name}.csv" in text
        assert page.get("/market/nothing.csv").status_code == 404
