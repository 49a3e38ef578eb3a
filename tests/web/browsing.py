"""A real browser that looks at the page, and what tests read of a page's text."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SERIOUS = ("serious", "critical")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield the Chromium that is installed here, which CHROMIUM says."""
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


def faults(page: Page) -> list[tuple[str, list[str]]]:
    """Return what axe finds serious on the page that is shown, each with some of the elements."""
    wrong = [one for one in Axe().run(page).response["violations"] if one["impact"] in SERIOUS]
    return [(one["id"], [node["html"][:80] for node in one["nodes"]][:3]) for one in wrong]


def width(page: Page) -> int:
    """Return how wide the page that is shown is, in CSS pixels."""
    return int(page.evaluate("document.documentElement.scrollWidth"))


def pieces_in(text: str) -> list[int]:
    """Return the listings of a page's grid, in its order."""
    return [int(number) for number in re.findall(r'href="/listing/(\d+)"><img', text)]


def token_in(text: str) -> str:
    """Return the token of a page's forms."""
    found = re.search(r'name="token" value="([^"]+)"', text)
    assert found is not None
    return found[1]
