"""The search in a real browser: a picture that is chosen, dropped or pasted, the filters, the keyboard.

Skipped where no Chromium is installed (`apt-get install chromium`).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.search.home import copy_of, crawled, embed_home
from tests.search.test_web import embedded, file_of, load
from tests.web.browsing import CHROMIUM, chromium, faults, width
from tests.web.serving import serving_here

SEND = """([body, how]) => {
    const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
    const carried = new DataTransfer();
    carried.items.add(new File([bytes], "chair.jpg", {type: "image/jpeg"}));
    const told = {dataTransfer: carried, clipboardData: carried, bubbles: true, cancelable: true};
    document.body.dispatchEvent(how === "drop" ? new DragEvent(how, told) : new ClipboardEvent(how, told));
}"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = copy_of(crawled(), tmp_path_factory.mktemp("browser") / "home")
    embed_home(home, index=True)
    return home


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with serving_here(home, load) as told:
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


def expect_found(page: Page, listing_id: int) -> None:
    """Wait for the page to look again by itself until the listing stands first."""
    first = page.locator(".grid a:not(.more)").first
    expect(first).to_have_attribute("href", f"/listing/{listing_id}", timeout=60_000)
    expect(page.locator(".grid summary").first).to_contain_text("Score")


def test_a_picture_is_chosen(page: Page, address: str, home: Path, tmp_path: Path) -> None:
    listing_id = embedded(home)[1]
    (tmp_path / "chair.jpg").write_bytes(file_of(home, listing_id))
    page.goto(address + "search")
    page.get_by_label("A picture:").set_input_files(tmp_path / "chair.jpg")
    page.get_by_role("button", name="Find pieces like it").click()
    expect_found(page, listing_id)
    assert re.search(r"/search\?picture=[0-9a-f]{32}$", page.url)
    assert page.get_by_alt_text("The picture that is looked for").evaluate("image => image.naturalWidth") > 100


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(page: Page, address: str, home: Path, how: str) -> None:
    listing_id = embedded(home)[2]
    page.goto(address + "search")
    page.evaluate(SEND, [base64.b64encode(file_of(home, listing_id)).decode(), how])
    page.wait_for_url("**/search?picture=*")
    expect_found(page, listing_id)


def test_without_scripts_a_picture_is_searched_too(browser: Browser, address: str, home: Path, tmp_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    listing_id = embedded(home)[3]
    (tmp_path / "chair.jpg").write_bytes(file_of(home, listing_id))
    page.goto(address + "search")
    page.get_by_label("A picture:").set_input_files(tmp_path / "chair.jpg")
    page.get_by_role("button", name="Find pieces like it").click()
    expect_found(page, listing_id)
    context.close()


def test_the_filters_at_the_side_narrow_it_down_and_let_go(page: Page, address: str, home: Path) -> None:
    page.goto(f"{address}search?like={embedded(home)[0]}")
    before = page.locator(".grid > li").count()
    choice = page.locator(".facets li", has=page.get_by_role("link")).first
    number = int(re.findall(r"\d+", choice.inner_text())[-1])
    choice.get_by_role("link").click()
    assert page.locator(".grid > li").count() == number < before
    page.locator(".facets a", has_text="✕").click()
    assert page.locator(".grid > li").count() == before


def test_the_page_of_a_listing_shows_what_looks_like_it(page: Page, address: str, home: Path) -> None:
    page.goto(f"{address}listing/{embedded(home)[0]}")
    alike = page.get_by_role("region", name="Pieces that look like it")
    expect(alike.locator(".grid > li")).to_have_count(8, timeout=60_000)
    page.get_by_role("link", name="All that look like it").click()
    expect(page.locator(".grid > li")).to_have_count(15, timeout=60_000)


def test_more_like_this_by_keyboard_row_by_row(page: Page, address: str, home: Path) -> None:
    page.set_viewport_size({"width": 1000, "height": 800})
    page.goto(f"{address}search?like={embedded(home)[0]}")
    links = page.locator(".grid a:not(.more)")
    tops = [box["y"] for one in links.all() if (box := one.bounding_box())]
    columns = sum(top == tops[0] for top in tops)
    assert 1 < columns < len(tops)
    for key, place in (("ArrowRight", 0), ("ArrowDown", columns), ("ArrowRight", columns + 1), ("ArrowUp", 1)):
        page.keyboard.press(key)
        expect(links.nth(place)).to_be_focused()
    wanted = links.nth(1).get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{wanted}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_results(browser: Browser, address: str, home: Path, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{address}search?like={embedded(home)[0]}")
    page.locator(".grid summary").first.click()
    wrong = faults(page)
    context.close()
    assert wrong == []


def test_results_are_no_wider_than_a_phone(browser: Browser, address: str, home: Path) -> None:
    context = browser.new_context(viewport={"width": 375, "height": 700})
    page = context.new_page()
    page.goto(f"{address}search?like={embedded(home)[0]}")
    assert width(page) <= 375
    context.close()
