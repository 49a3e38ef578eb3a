"""A home with pictures and hostile text, for all tests of the page."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.web.site import make_site

HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(2)>' & {{ 7*7 }} \u202e javascript:alert(3)"""


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after two cycles, with pictures, and one listing whose seller writes hostile text."""
    home = tmp_path_factory.mktemp("web") / "home"
    make_site(home)
    with closing(sqlite3.connect(home / "data" / "db" / "etsy_data.db")) as database, database:
        listing_id = database.execute("SELECT MIN(listing_id) FROM listings").fetchone()[0]
        database.execute(
            "UPDATE listings SET title = ?, description = ?, tags = ?, when_made = ? WHERE listing_id = ?",
            (HOSTILE, HOSTILE, f'["{HOSTILE[:25]}"]', HOSTILE, listing_id),
        )
        database.execute("UPDATE reviews SET review = ?", (HOSTILE,))
    return home
