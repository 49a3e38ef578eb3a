"""Search by words: what has them all is found, and nothing that a person types breaks it."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from starlette.testclient import TestClient

from models import CRAWLER_MODELS, MIGRATIONS, IndexedListing, Listing, Shop
from runtime.database import open_database
from runtime.settings import Home
from tests.upkeep.home import settings_of
from tests.web.browsing import pieces_in
from web.asked import AskedPictures
from web.text_index import TextIndex
from web.wanted import TEXT, Wanted, read_wanted
from web.wiring import ASKED, WORDS, build, build_parts

TITLES = {
    1: "Walnut Sideboard, Mid Century",
    2: "Sideboard in oak",
    3: "Fauteuil crème, façon Élégante",
    4: "Ein Stuhl aus Nußbaum",
    5: "walnut WALNUT walnut chair",
    6: "椅子 teak",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("words")
    Home(home).data.mkdir(parents=True)
    settings = settings_of(home)
    database = open_database(settings.database_url.get_secret_value(), home, CRAWLER_MODELS, MIGRATIONS)
    Shop.create(shop_id=7, shop_location_country_iso="DE")
    for listing_id, title in TITLES.items():
        add(listing_id, title)
    database.close()
    return home


def add(listing_id: int, title: str) -> None:
    nothing = {"materials": "[]", "production_partners": "[]", "snapshot_timestamp": "2026-01-01T00:00:00Z"}
    Listing.create(listing_id=listing_id, shop=7, title=title, tags='["solid wood", "retro"]', **nothing)
    moments = dict.fromkeys(("first_seen_at", "last_seen_at"), "2026-01-01T00:00:00Z")
    IndexedListing.create(
        listing_id=listing_id,
        shop_id=7,
        wanted=1,
        known=1,
        price=100.0 * listing_id,
        when_made="2020_2026",
        price_currency="EUR",
        taxonomy_id=967,
        last_seen_cycle=1,
        **moments,
    )


@pytest.fixture(scope="module")
def page(root: Path) -> Iterator[TestClient]:
    built = build(build_parts(settings_of(root), Console(file=io.StringIO())))
    TextIndex(root / WORDS, root).follow(lambda: None)
    with closing(built.database), TestClient(built.app, base_url="http://localhost") as client:
        yield client


def found(page: TestClient, **asked: str) -> list[int]:
    return pieces_in(page.get("/search", params=asked).text)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sideboard", {1, 2}),
        ("SIDEBOARD oak", {2}),
        ("side", {1, 2}),
        ("wal", {1, 5}),
        ("creme facon elegante", {3}),
        ("nußbaum", {4}),
        ("椅子", {6}),
        ("retro wood teak", {6}),
        ("zebra", set()),
        ("sideboard zebra", set()),
        ('") OR 1=1 --', set()),
        ("NEAR(walnut, oak)", set()),
        ("-walnut", {1, 5}),
        ("", set()),
    ],
)
def test_what_has_all_the_words_is_found(page: TestClient, words: str, expected: set[int]) -> None:
    assert set(found(page, q=words)) == expected


def test_without_an_image_search_words_are_those_of_the_text(page: TestClient) -> None:
    text = page.get("/search", params={"q": "walnut"}).text
    assert "<select" not in text and 'type="file"' not in text and "no indexes" not in text
    assert "2 pieces have these words in their text" in text
    assert "There are no indexes of pictures yet" in page.get("/search", params={"like": 1}).text


def test_the_best_comes_first(page: TestClient) -> None:
    assert found(page, q="walnut")[0] == 5


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"min": "150"}, {2}),
        ({"max": "150,00"}, {1}),
        ({"min": "100", "max": "200"}, {1, 2}),
        ({"country": "de"}, {1, 2}),
        ({"country": "FR"}, set()),
        ({"era": "1990s"}, set()),
        ({"category": "967"}, {1, 2}),
        ({"category": "1"}, set()),
        ({"min": "rubbish", "country": "Germany", "category": "x" * 99}, {1, 2}),
    ],
)
def test_bounds_leave_out_what_lies_beyond_them(page: TestClient, bounds: dict[str, str], expected: set[int]) -> None:
    assert set(found(page, q="sideboard", **bounds)) == expected


def test_the_address_of_a_result_brings_the_same_again(page: TestClient) -> None:
    wanted = Wanted("oak & wälnut", 10.5, 99.0, "2020_2026", "DE", 967, 12345, "0123456789abcdef" * 2, True, TEXT)
    assert read_wanted(page.build_request("GET", wanted.address).url.params) == wanted


def test_what_narrows_it_down_tells_how_many_are_left_and_leads_back(page: TestClient) -> None:
    text = page.get("/search", params={"q": "retro", "max": "400"}).text
    assert '<a href="/search?q=retro&amp;max=400.0&amp;era=2020_2026">2020–2026</a> 4</li>' in text
    assert '<a href="/search?q=retro&amp;max=400.0&amp;country=DE">DE</a> 4</li>' in text
    text = page.get("/search", params={"q": "retro", "max": "400", "country": "DE"}).text
    assert '<a href="/search?q=retro&amp;max=400.0" aria-label="Country: any">' in text
    assert '<input type="hidden" name="country" value="DE">' in text


@settings(max_examples=80)
@given(st.text(max_size=300))
def test_nothing_that_is_typed_breaks_it(page: TestClient, typed: str) -> None:
    answer = page.get("/search", params={"q": typed.encode("utf-8", "replace").decode()})
    assert answer.status_code == 200


def test_what_is_new_is_taken_in_and_an_index_that_is_lost_is_made_again(root: Path, page: TestClient) -> None:
    index = TextIndex(root / WORDS, root)
    database = open_database(settings_of(root).database_url.get_secret_value(), root, CRAWLER_MODELS, MIGRATIONS)
    add(8, "Bauhaus lamp")
    assert index.follow(lambda: None) == 1
    assert index.follow(lambda: None) == 0
    assert found(page, q="bauhaus") == [8]
    for path in (root / WORDS).parent.iterdir():
        path.unlink()
    assert index.find("bauhaus", 5) == []
    assert index.follow(lambda: None) == len(TITLES) + 1
    assert index.find("bauhaus", 5) == [8]
    database.close()


# Pictures that are looked for


def picture(seed: int, side: int = 900) -> bytes:
    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(seed).randbytes(3 * side * side)).save(out, "PNG")
    return out.getvalue()


def test_the_newest_pictures_are_kept_and_the_oldest_go(root: Path) -> None:
    asked = AskedPictures(root / ASKED, root, most_bytes=6_000_000)
    bodies = [picture(seed) for seed in range(3)]
    digests = []
    for at, body in enumerate(bodies, 1):
        digests.append(asked.take(body))
        os.utime(root / ASKED / digests[-1], (at, at))
    assert asked.read(digests[0]) is None
    assert [asked.read(one) for one in digests[1:]] == bodies[1:]
    assert asked.take(bodies[1]) == digests[1]  # looked for again: it is the newest now
    asked.take(bodies[0])
    assert asked.read(digests[2]) is None and asked.read(digests[1]) == bodies[1]


@pytest.mark.parametrize("name", ["../words.db", "0" * 31, "0" * 33, "G" * 32, ""])
def test_only_digests_are_read(root: Path, name: str) -> None:
    assert AskedPictures(root / ASKED, root).read(name) is None
