"""Datasette opens the crawler's database with docs/datasette.yaml: described tables, facets, queries that answer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import pytest
import yaml
from peewee import Model

from models import CRAWLER_MODELS
from runtime.notice import NOTICE
from tests.rig import Rig
from tests.system.process import ROOT
from upkeep.export.notice import TERMS
from upkeep.export.snapshot import schema_of, table_of

METADATA = ROOT / "docs" / "datasette.yaml"
TOLD: Any = yaml.safe_load(METADATA.read_text(encoding="utf-8"))
TABLES: dict[str, Any] = TOLD["databases"]["etsy_data"]["tables"]
QUERIES: dict[str, Any] = TOLD["databases"]["etsy_data"]["queries"]
MODELS = {table_of(model): model for model in CRAWLER_MODELS}
CYCLES = 3


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Three weeks of a market that moves; the database is open, as a crawl's is that goes on."""
    rig = Rig(tmp_path_factory.mktemp("datasette") / "home")
    for cycle in range(1, CYCLES + 1):
        rig.run_cycle(cycle)
        rig.sandbox.move(80)
    yield rig
    rig.close()


@pytest.fixture(scope="module")
def site(rig: Rig) -> Iterator[str]:
    """The address of a Datasette on that database, started as docs/explore.md says."""
    (told,) = re.findall(r"^datasette serve .*$", explore(), re.MULTILINE)
    place = {"data/db/etsy_data.db": str(rig.home.data / "etsy_data.db"), "docs/datasette.yaml": str(METADATA)}
    arguments = [place.get(word, word) for word in told.split()[1:]]
    command = [sys.executable, "-m", "datasette", *arguments, "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    heard = []
    try:
        for line in process.stdout:
            heard.append(line)
            if found := re.search(r"running on (http://127\.0\.0\.1:[0-9]+)", line):
                yield found[1]
                break
        else:
            pytest.fail("".join(heard))
    finally:
        process.terminate()
        process.communicate(timeout=20)


def explore() -> str:
    return (ROOT / "docs" / "explore.md").read_text(encoding="utf-8")


def get(address: str, **params: Any) -> str:
    with build_opener(ProxyHandler({})).open(f"{address}?{urlencode(params)}", timeout=20) as answer:
        assert answer.status == 200
        return str(answer.read().decode())


def rows_of(site: str, query: str, **params: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(get(f"{site}/etsy_data/{query}.json", _shape="array", **params))
    return rows


@pytest.mark.parametrize("model", CRAWLER_MODELS)
def test_each_table_is_described_with_all_its_columns_and_no_others(model: type[Model]) -> None:
    told = TABLES[table_of(model)]
    assert told["description"]
    assert list(told["columns"]) == schema_of(model).names
    assert all(told["columns"].values())
    shown = {*told.get("facets", ()), told.get("sort_desc"), told.get("label_column")} - {None}
    assert shown <= {*told["columns"]}


def test_no_table_is_described_that_is_not_there() -> None:
    assert TABLES.keys() == MODELS.keys()


def test_source_licence_and_notice_are_told() -> None:
    assert NOTICE in TOLD["description"]
    assert TOLD["license_url"] == TERMS and TOLD["source"]


def test_the_front_page_and_the_database_page_show_what_the_metadata_say(site: str) -> None:
    front, page = get(site), get(f"{site}/etsy_data")
    assert TOLD["title"] in front and "not endorsed or certified by Etsy" in front and TERMS in front
    assert [query for query, told in QUERIES.items() if told["title"].replace("'", "&#39;") not in page] == []


@pytest.mark.parametrize("table", MODELS)
def test_each_table_s_page_shows_its_description_its_columns_and_facets(site: str, table: str) -> None:
    page = get(f"{site}/etsy_data/{table}")
    assert TABLES[table]["description"].replace("'", "&#39;") in page
    missing = [name for name, words in TABLES[table]["columns"].items() if words.replace("'", "&#39;") not in page]
    assert missing == []
    told = json.loads(get(f"{site}/etsy_data/{table}.json"))
    assert {*told["facet_results"]} == {*TABLES[table].get("facets", ())}
    if told["filtered_table_rows_count"]:
        assert all(facet["results"] for facet in told["facet_results"].values())


def test_price_history_tells_each_reading_of_a_listing(site: str, rig: Rig) -> None:
    (listing_id, number), *_ = rig.rows(
        "SELECT listing_id, COUNT(*) FROM listings_dynamic GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1"
    )
    rows = rows_of(site, "price_history", listing_id=listing_id)
    assert len(rows) == number >= CYCLES
    assert rows[0]["price"] > 0 and rows[0]["state"] == "active"


def test_new_listings_are_counted_by_week(site: str, rig: Rig) -> None:
    rows = rows_of(site, "new_listings_a_week")
    assert sum(row["listings"] for row in rows) == rig.rows("SELECT COUNT(*) FROM indexed_listings")[0][0]
    assert len(rows) > 1


def test_the_biggest_shops_are_told_by_their_newest_reading(site: str, rig: Rig) -> None:
    rows = rows_of(site, "biggest_shops")
    newest = dict(rig.rows("SELECT shop_id, MAX(snapshot_timestamp) FROM shops_dynamic GROUP BY shop_id"))
    assert {row["shop_id"]: row["snapshot_timestamp"] for row in rows} == newest
    counts = [row["listing_active_count"] for row in rows]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


def test_vanished_listings_are_those_whose_newest_row_says_removed(site: str, rig: Rig) -> None:
    rows = rows_of(site, "vanished_listings")
    states = rig.rows("SELECT listing_id, state, MAX(snapshot_timestamp) FROM listings_dynamic GROUP BY listing_id")
    assert {row["listing_id"] for row in rows} == {listing for listing, state, _ in states if state == "removed"}
    assert rows and all(row["last_price"] > 0 and row["title"] for row in rows)


def test_coverage_is_told_for_each_interval_of_the_newest_cycle(site: str, rig: Rig) -> None:
    rows = rows_of(site, "coverage_by_interval")
    assert len(rows) == rig.rows("SELECT COUNT(*) FROM intervals WHERE cycle = ? AND status = 'done'", CYCLES)[0][0]
    assert {row["verdict"] for row in rows} <= {"complete", "drifted"} and all(row["percent"] > 90 for row in rows)


def test_api_calls_are_added_up_by_day(site: str, rig: Rig) -> None:
    rows = rows_of(site, "api_calls_a_day")
    assert sum(row["calls"] for row in rows) == rig.rows("SELECT SUM(request_count) FROM api_usage")[0][0]
    assert len({row["day"] for row in rows}) >= CYCLES


def test_prices_are_told_by_category(site: str, rig: Rig) -> None:
    rows = rows_of(site, "prices_by_category")
    assert sum(row["listings"] for row in rows) == rig.rows("SELECT SUM(wanted) FROM indexed_listings")[0][0]
    assert all(row["lowest"] <= row["average"] <= row["highest"] for row in rows)


def test_each_query_is_told_of_in_the_documentation() -> None:
    assert {name for name in QUERIES if f"`{name}`" in explore()} == {*QUERIES}


def test_what_is_written_while_it_is_open_is_shown(site: str, rig: Rig) -> None:
    before = rows_of(site, "api_calls_a_day")
    database: Any = rig.database
    database.execute_sql("INSERT INTO api_usage (service, endpoint, recorded_at) VALUES ('s', 'e', '2099-01-01')")
    after = rows_of(site, "api_calls_a_day")
    database.execute_sql("DELETE FROM api_usage WHERE service = 's'")
    assert [row for row in after if row not in before] == [
        {"day": "2099-01-01", "service": "s", "endpoint": "e", "calls": 1, "least_remaining": None}
    ]
