"""The page's pieces that look alike: what `search` finds, with its score."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console
from starlette.testclient import TestClient

from runtime.parts import Parts
from runtime.settings import load_settings
from search.finder import Finder
from search.search_commands import build_finder
from tests.search.home import copy_of, crawled, embed_home, rows_of, small_kit
from tests.search.small import SMALL
from web.wiring import build, build_parts


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(crawled(), tmp_path_factory.mktemp("web") / "home")


def load(parts: Parts) -> Finder:
    return build_finder(parts, SMALL, small_kit)


@pytest.fixture(scope="module")
def page(home: Path) -> Iterator[TestClient]:
    built = build(build_parts(load_settings(home, {}), Console(file=io.StringIO())), load)
    with closing(built.database), TestClient(built.app, base_url="http://localhost") as client:
        text = client.get("/search", params={"like": 1}).text
        assert "There are no indexes of pictures yet" in text
        embed_home(home, index=True)
        yield client


def found(page: TestClient, **asked: str | int) -> list[int]:
    return [int(told) for told in re.findall(r'href="/listing/(\d+)"><img', page.get("/search", params=asked).text)]


def embedded(home: Path) -> list[int]:
    return [row[0] for row in rows_of(home, "SELECT DISTINCT listing_id FROM vector_rows ORDER BY 1")]


def test_pieces_that_look_like_one_are_shown_with_score_and_shares(page: TestClient, home: Path) -> None:
    listing_id = embedded(home)[0]
    alike = found(page, like=listing_id)
    assert alike and listing_id not in alike
    text = page.get("/search", params={"like": listing_id}).text
    assert text.count("<summary>Score") == len(alike)
    assert all(name in text for name in SMALL)
    assert f'href="/search?like={alike[0]}"' in text


def test_bounds_leave_pieces_out(page: TestClient, home: Path) -> None:
    listing_id = embedded(home)[0]
    prices = dict(rows_of(home, "SELECT listing_id, price FROM indexed_listings"))
    most = sorted(prices[one] for one in found(page, like=listing_id))[3]
    bounded = found(page, like=listing_id, max=f"{most:.2f}")
    assert bounded and all(prices[one] <= most + 0.005 for one in bounded)


def test_a_listing_without_vectors_is_told_so(page: TestClient) -> None:
    assert "has no vectors" in page.get("/search", params={"like": 1}).text
