"""The pictures of the page in docs/: `make screenshots`."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path

from runtime.clock import DAY_SECONDS
from tests.system.process import ROOT
from tests.web.browsing import CHROMIUM, chromium
from tests.web.serving import serving
from tests.web.site import make_site

CYCLES = 6
PAGES = {"now": "", "market": "market", "search": "search?q=oak", "health": "health"}


def main() -> int:
    """Make a data set of the sandbox, serve it and take a picture of each page."""
    if CHROMIUM is None:
        print("There is no Chromium here: install it (Debian: apt-get install chromium).", file=sys.stderr)
        return 2
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="screenshots-") as folder:
        home = Path(folder) / "home"
        make_site(home, 1000, CYCLES, time.time() - (CYCLES - 1) * 7 * DAY_SECONDS - 1800)
        with serving(home) as address, chromium() as browser:
            page = browser.new_page(viewport={"width": 1000, "height": 760})
            for name, below in PAGES.items():
                page.goto(address + below)
                while "It is being counted" in page.content():
                    page.wait_for_timeout(500)
                    page.reload()
                page.screenshot(path=ROOT / "docs" / f"web-{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
