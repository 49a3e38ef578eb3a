"""The pages, of a data set that the real crawler made of the sandbox."""

from __future__ import annotations

import html
import io
import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console
from starlette.testclient import TestClient

from runtime.clock import SystemClock
from runtime.instance import single_instance
from runtime.notice import NOTICE
from runtime.settings import Home
from tests.upkeep.home import settings_of
from tests.web.browsing import pieces_in, token_in
from web.guard import POLICY
from web.wiring import build, build_parts


@pytest.fixture(scope="module")
def page(root: Path) -> Iterator[TestClient]:
    built = build(build_parts(settings_of(root), Console(file=io.StringIO())))
    built.watcher.refresh()
    with closing(built.database), TestClient(built.app, base_url="http://127.0.0.1:8080") as client:
        yield client


def rows(root: Path, query: str) -> list[tuple[int, ...]]:
    with closing(sqlite3.connect(root / "data" / "db" / "etsy_data.db")) as database:
        return database.execute(query).fetchall()


def hostile(root: Path) -> int:
    return rows(root, "SELECT MIN(listing_id) FROM listings")[0][0]


def test_every_page_has_the_notice_a_strict_policy_and_the_machines_names(page: TestClient, root: Path) -> None:
    shop = rows(root, "SELECT MIN(shop_id) FROM shops")[0][0]
    for address in ("/", "/health", "/stop", f"/listing/{hostile(root)}", f"/shop/{shop}", "/listing/1", "/nowhere"):
        answer = page.get(address)
        assert NOTICE.replace("'", "&#39;") in answer.text, address
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "<script>" not in answer.text and "style=" not in answer.text and " on" + "click" not in answer.text


def test_the_present_state_is_lit(page: TestClient) -> None:
    text = page.get("/").text
    lit = re.findall(r'<li class="lit"[^>]*><strong>(\w+)</strong>', text)
    assert lit == ["SLEEP"]
    assert "not running" in text and "Stop the crawl" not in text
    assert page.get("/now/live").text in text


def test_what_a_seller_wrote_is_shown_and_does_nothing(page: TestClient, root: Path) -> None:
    text = page.get(f"/listing/{hostile(root)}").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<img src=x" not in text and "{{ 7*7 }}" in text
    assert text.count("<script") == 1  # ours


def test_a_listing_tells_how_old_its_data_are_and_shows_its_pictures(page: TestClient, root: Path) -> None:
    listing_id, image_id = rows(root, "SELECT listing_id, image_id FROM image_status WHERE download_done = 1 LIMIT 1")[
        0
    ]
    text = page.get(f"/listing/{listing_id}").text
    assert re.search(r"Read \d+ (day|hour|minute)s? ago|Read in the future|Read just now", text)
    assert f'src="/picture/{image_id}"' in text
    picture = page.get(f"/picture/{image_id}")
    assert picture.headers["content-type"] in ("image/jpeg", "image/png", "image/gif", "image/webp")
    assert "max-age" in picture.headers["cache-control"]
    assert page.get(f"/primary/{listing_id}").status_code == 200
    assert page.get("/picture/1").headers["content-type"] == "image/svg+xml"


def test_the_readings_of_a_listing_are_the_rows_of_the_database(page: TestClient, root: Path) -> None:
    listing_id = rows(root, "SELECT listing_id FROM listings_dynamic GROUP BY 1 ORDER BY COUNT(*) DESC, 1 LIMIT 1")[0][
        0
    ]
    told = page.get(f"/listing/{listing_id}/readings.csv")
    assert told.headers["content-type"].startswith("text/csv")
    number = rows(root, f"SELECT COUNT(*) FROM listings_dynamic WHERE listing_id = {listing_id}")[0][0]
    assert len(told.text.splitlines()) == number + 1 > 2


def test_the_pieces_of_a_shop_are_all_there_page_by_page(page: TestClient, root: Path) -> None:
    shop, number = rows(root, "SELECT shop_id, COUNT(*) FROM listings GROUP BY 1 ORDER BY 2 DESC LIMIT 1")[0]
    found, address = set[int](), f"/shop/{shop}"
    while address:
        text = page.get(address).text
        found |= set(pieces_in(text))
        more = re.search(r'href="(/shop/\d+\?after=\d+)"', text)
        address = more[1] if more else ""
    assert len(found) == number > 24


@pytest.mark.parametrize(
    "address", ["/listing/9999999999999999999", "/shop/99999999999999999999999", "/picture/9999999999999999999"]
)
def test_numbers_that_no_database_takes_are_not_known(page: TestClient, address: str) -> None:
    assert page.get(address).status_code == 404


@pytest.mark.parametrize("told", ["", "x", "-1", "1 OR 1=1", "٣", "9" * 19])
def test_what_is_no_number_is_told_so(page: TestClient, told: str) -> None:
    assert page.get("/go", params={"number": told}).status_code == 400


def test_a_number_leads_to_the_listing_or_to_the_shop(page: TestClient, root: Path) -> None:
    shop = rows(root, "SELECT MIN(shop_id) FROM shops")[0][0]
    assert (
        page.get("/go", params={"number": hostile(root)}, follow_redirects=False)
        .headers["location"]
        .startswith("/listing/")
    )
    assert page.get("/go", params={"number": shop}, follow_redirects=False).headers["location"] == f"/shop/{shop}"


def test_categories_have_their_names(page: TestClient, root: Path) -> None:
    listing_id, number = rows(root, "SELECT listing_id, taxonomy_id FROM indexed_listings WHERE known = 1 LIMIT 1")[0]
    tree = rows(root, "SELECT value FROM sync_state WHERE key = 'taxonomy'")[0][0]
    name = {node["id"]: node["name"] for node in json.loads(str(tree))["nodes"]}[number]
    assert f"<td>{html.escape(name)}</td>" in page.get(f"/listing/{listing_id}").text
    narrowed = page.get("/search", params={"like": listing_id, "category": number}).text
    assert f'aria-label="Category: any">✕ {html.escape(name)}</a>' in narrowed


@pytest.mark.parametrize("address", ["/stop", "/search"])
@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_form_that_is_broken_is_refused_with_a_page(page: TestClient, address: str, kind: str) -> None:
    answer = page.post(address, headers={"content-type": kind}, content=b"abc")
    assert answer.status_code == 400 and "makes no sense" in answer.text
    assert NOTICE.replace("'", "&#39;") in answer.text


# Stopping


def test_a_stop_without_the_forms_token_is_refused(page: TestClient, root: Path) -> None:
    assert page.post("/stop").status_code == 403
    assert page.post("/stop", data={"token": "x"}).status_code == 403
    assert not (root / "KILL").exists()


def test_a_stop_writes_the_kill_file_of_a_crawl_that_runs(root: Path) -> None:
    built = build(build_parts(settings_of(root), Console(file=io.StringIO())))
    with closing(built.database), TestClient(built.app, base_url="http://127.0.0.1") as page:
        built.watcher.refresh()
        told = {"token": token_in(page.get("/stop").text)}
        assert page.post("/stop", data=told).status_code == 409
        with single_instance(Home(root).lock, SystemClock()):
            built.watcher.refresh()
            assert "Stop the crawl" in page.get("/").text
            assert page.post("/stop", data=told, follow_redirects=False).status_code == 303
        assert (root / "KILL").exists()
    (root / "KILL").unlink()


def test_many_pages_at_once_each_get_their_answer(page: TestClient, root: Path) -> None:
    ids = [row[0] for row in rows(root, "SELECT listing_id FROM listings LIMIT 40")]
    found: list[int] = []
    threads = [threading.Thread(target=lambda i=i: found.append(page.get(f"/listing/{i}").status_code)) for i in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * len(ids)
