"""The page in a real browser; skipped where no Chromium is installed (`apt-get install chromium`)."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page
from rich.console import Console

from runtime.clock import SystemClock
from runtime.settings import Home
from tests.system.conftest import builder
from tests.system.data_sets import sqlite_files
from tests.upkeep.home import settings_of
from tests.web.browsing import CHROMIUM, chromium, faults, width
from tests.web.serving import serving
from web.market import Market
from web.wiring import build, build_parts


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    with closing(build(build_parts(settings_of(root), Console(file=io.StringIO()))).database):
        Market(Home(root), SystemClock(), lambda: 2).refresh()
    with serving(root) as told:
        yield told


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed here")
    with chromium() as made:
        yield made


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def hostile_listing(root: Path) -> int:
    with closing(sqlite3.connect(root / "data" / "db" / "etsy_data.db")) as database:
        return int(database.execute("SELECT MIN(listing_id) FROM listings").fetchone()[0])


def pages(root: Path) -> list[str]:
    return ["", "market", "search?q=chair", "health", "stop", f"listing/{hostile_listing(root)}", "nowhere"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(browser: Browser, address: str, root: Path, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)  # type: ignore[arg-type]
    page = context.new_page()
    found = {}
    for name in pages(root):
        page.goto(address + name)
        found[name] = faults(page)
    context.close()
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_no_page_is_wider_than_a_phone(browser: Browser, address: str, root: Path) -> None:
    context = browser.new_context(viewport={"width": 375, "height": 700})
    page = context.new_page()
    for name in pages(root):
        page.goto(address + name)
        assert width(page) <= 375, name
    context.close()


@pytest.mark.parametrize("wide", [375, 1000])
def test_the_market_names_each_line_within_its_chart(browser: Browser, address: str, wide: int) -> None:
    context = browser.new_context(viewport={"width": wide, "height": 700})
    page = context.new_page()
    page.goto(address + "market")
    keys = page.locator(".chart svg")
    assert keys.count() >= 6 * 3
    ends = "keys => keys.map(key => key.querySelector('text').getBBox()).map(box => box.x + box.width)"
    assert max(keys.evaluate_all(ends)) <= float(keys.first.get_attribute("width") or 0)
    context.close()


def test_what_a_seller_wrote_opens_no_dialog_and_loads_nothing(page: Page, address: str, root: Path) -> None:
    opened: list[str] = []
    asked: list[str] = []

    def note(dialog: Dialog) -> None:
        opened.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}listing/{hostile_listing(root)}")
    page.wait_for_load_state("networkidle")
    assert opened == []
    assert "<script>alert(1)</script>" in page.inner_text("h1")
    assert [url for url in asked if not url.startswith(address)] == []


def test_search_by_keyboard_alone(page: Page, address: str) -> None:
    page.goto(address + "search")
    page.keyboard.press("/")
    page.keyboard.type("chair")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=chair*")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    second = page.locator(".grid a:not(.more)").nth(1).get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url("**/listing/*")
    assert second is not None and page.url.endswith(second)


def test_without_scripts_everything_but_the_renewal_works(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("link", name="Search").click()
    page.get_by_label("Words").fill("chair")
    page.get_by_role("button", name="Search").click()
    page.locator(".grid a").first.click()
    assert "/listing/" in page.url
    context.close()


def test_the_page_now_renews_itself(page: Page, address: str) -> None:
    page.goto(address)
    with page.expect_response("**/now/live", timeout=20_000) as answer:
        pass
    assert answer.value.status == 200


def test_the_stop_button_ends_a_crawl(page: Page, tmp_path: Path) -> None:
    with builder(tmp_path, sqlite_files) as build:
        crawler = build(market={"listings": 4000}, rate=5)
        crawler.start()
        crawler.wait_for_calls(3)
        with serving(crawler.home) as address:
            page.goto(address)
            page.get_by_role("link", name="Stop the crawl").click()
            page.get_by_role("button", name="Stop it").click()
            assert crawler.wait_for_end() == 0
        assert "the file KILL" in crawler.output
