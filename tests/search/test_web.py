"""The page's search by pictures, words and listings: what `search` finds, with its score, and never a long wait."""

from __future__ import annotations

import io
import multiprocessing
import os
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console
from starlette.testclient import TestClient

from runtime.parts import Parts
from runtime.settings import load_settings
from search.live import Live
from tests.search.home import GATE, copy_of, crawled, embed_home, gated_kit, rows_of, small_kit
from tests.search.small import SMALL
from tests.web.browsing import pieces_in, token_in
from web.wiring import build, build_parts

MOST_LOOKS = 600


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(crawled(), tmp_path_factory.mktemp("web") / "home")


def load(parts: Parts) -> Live:
    return Live(parts, SMALL, small_kit)


@pytest.fixture(scope="module")
def page(home: Path) -> Iterator[TestClient]:
    built = build(build_parts(load_settings(home, {}), Console(file=io.StringIO())), load)
    with closing(built.database), closing(built.similar), TestClient(built.app, base_url="http://localhost") as client:
        assert "There are no indexes of pictures yet" in client.get("/search", params={"like": 1}).text
        embed_home(home, index=True)
        yield client


def look(page: TestClient, address: str) -> str:
    """Return the page once the models are done; it says itself that it has to be looked at again."""
    for _ in range(MOST_LOOKS):
        text = page.get(address).text
        if "data-again" not in text:
            return text
    raise AssertionError(text)


def found(page: TestClient, **asked: str | int) -> list[int]:
    return pieces_in(look(page, str(page.build_request("GET", "/search", params=asked).url)))


def embedded(home: Path) -> list[int]:
    return [row[0] for row in rows_of(home, "SELECT DISTINCT listing_id FROM vector_rows ORDER BY 1")]


def file_of(home: Path, listing_id: int) -> bytes:
    """The first picture of a listing, as it was downloaded."""
    first = "SELECT image_id FROM image_status WHERE listing_id = {} ORDER BY is_primary DESC, image_id LIMIT 1"
    ((image_id,),) = rows_of(home, first.format(listing_id))
    return next((home / "images" / "imagedownload").rglob(f"{image_id}.*")).read_bytes()


def upload(page: TestClient, body: bytes, **fields: str) -> str:
    """Send a picture as the form does, and return the address that it leads to."""
    form = {"token": token_in(page.get("/search").text), **fields}
    told = page.post("/search", data=form, files={"picture": ("a.jpg", body)}, follow_redirects=False)
    assert told.status_code == 303, told.text
    return told.headers["location"]


def test_pieces_that_look_like_one_are_shown_with_score_and_shares(page: TestClient, home: Path) -> None:
    listing_id = embedded(home)[0]
    alike = found(page, like=listing_id)
    assert alike and listing_id not in alike
    text = page.get("/search", params={"like": listing_id}).text
    assert text.count("<summary>Score") == len(alike)
    assert all(name in text for name in SMALL)
    assert f'href="/search?like={alike[0]}"' in text


def test_the_page_of_a_listing_shows_those_most_like_it(page: TestClient, home: Path) -> None:
    listing_id = embedded(home)[0]
    assert f'data-later="/listing/{listing_id}/alike"' in page.get(f"/listing/{listing_id}").text
    assert pieces_in(page.get(f"/listing/{listing_id}/alike").text) == found(page, like=listing_id)[:8]
    assert "has no vectors" in page.get("/listing/1/alike").text


def test_bounds_leave_pieces_out(page: TestClient, home: Path) -> None:
    listing_id = embedded(home)[0]
    prices = dict(rows_of(home, "SELECT listing_id, price FROM indexed_listings"))
    most = sorted(prices[one] for one in found(page, like=listing_id))[3]
    bounded = found(page, like=listing_id, max=f"{most:.2f}")
    assert bounded and all(prices[one] <= most + 0.005 for one in bounded)


def test_a_listing_without_vectors_is_told_so(page: TestClient) -> None:
    assert "has no vectors" in page.get("/search", params={"like": 1}).text


def test_a_picture_finds_its_own_piece_and_its_address_can_be_kept(page: TestClient, home: Path) -> None:
    for listing_id in embedded(home)[:5]:
        address = upload(page, file_of(home, listing_id))
        assert pieces_in(look(page, address))[0] == listing_id
        assert pieces_in(look(page, address))[0] == listing_id
    match = re.search(r'src="(/asked/[0-9a-f]{32})"', page.get(address).text)
    assert match is not None
    assert page.get(match[1]).content == file_of(home, listing_id)


def test_the_bounds_of_the_page_go_with_the_picture(page: TestClient, home: Path) -> None:
    address = upload(page, file_of(home, embedded(home)[0]), max="1", as_it_is="1")
    assert "max=1.0" in address and "as_it_is=1" in address
    assert pieces_in(look(page, address)) == []


def test_words_find_what_looks_so_and_by_text_what_has_them(page: TestClient, home: Path) -> None:
    text = look(page, "/search?q=red")
    assert pieces_in(text) and text.count("<summary>Score") == len(pieces_in(text))
    assert "<summary>Score" not in look(page, "/search?q=red&by=text")


def test_a_picture_and_words_are_looked_for_together(page: TestClient, home: Path) -> None:
    address = upload(page, file_of(home, embedded(home)[0]), q="green")
    alone = pieces_in(look(page, address.replace("q=green&", "")))
    assert sorted(pieces_in(look(page, address))) == sorted(alone)
    assert pieces_in(look(page, address)) != alone


def test_what_narrows_it_down_tells_how_many_are_left(page: TestClient, home: Path) -> None:
    text = look(page, f"/search?like={embedded(home)[0]}")
    links = re.findall(r'<li><a href="(/search[^"]+(?:era|country|category)=[^"]+)">[^<]+</a> (\d+)</li>', text)
    assert links
    for address, number in links:
        assert len(pieces_in(look(page, address.replace("&amp;", "&")))) == int(number), address


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "No picture came"),
        (b"GIF89a", "its end is missing"),
        (b"<html><script>alert(1)</script>", "a page, not a picture"),
        (b"\x00" * 5000, "no JPEG, PNG, GIF or WebP"),
        (b"\xff" * 20_000_001, "more than 20 MB"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(page: TestClient, home: Path, body: bytes, why: str) -> None:
    kept = sorted((home / "data" / "web" / "asked").glob("*"))
    told = page.post("/search", data={"token": token_in(page.get("/search").text)}, files={"picture": ("a.jpg", body)})
    assert told.status_code == 400 and why in told.text
    assert sorted((home / "data" / "web" / "asked").glob("*")) == kept


def test_a_picture_without_the_forms_token_is_not_taken(page: TestClient, home: Path) -> None:
    body = file_of(home, embedded(home)[0])
    assert page.post("/search", files={"picture": ("a.jpg", body)}).status_code == 403
    assert page.post("/search", data={"token": "x"}, files={"picture": ("a.jpg", body)}).status_code == 403


def test_a_picture_that_is_not_kept_any_more_is_told_so(page: TestClient) -> None:
    assert "not kept here any more" in page.get(f"/search?picture={'0' * 32}").text
    assert page.get("/asked/..%2f..%2fetc%2fpasswd").status_code == 404
    assert page.get(f"/asked/{'0' * 32}").headers["content-type"] == "image/svg+xml"


def test_models_that_die_are_told_of_and_come_again(page: TestClient) -> None:
    look(page, "/search?q=a+blue+one")
    for process in multiprocessing.active_children():
        if process.name == "models":
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
    assert "The process of the models has ended" in look(page, "/search?q=a+brown+one")
    assert "<summary>Score" in look(page, "/search?q=a+brown+one")


def test_no_page_waits_for_models_that_are_loaded(page: TestClient, home: Path, tmp_path: Path) -> None:
    other = copy_of(home, tmp_path / "home")
    os.mkfifo(other / GATE)
    parts = build_parts(load_settings(other, {}), Console(file=io.StringIO()))
    built = build(parts, lambda parts: Live(parts, SMALL, gated_kit))
    with closing(built.database), closing(built.similar), TestClient(built.app, base_url="http://localhost") as client:
        for words in ("red", "red", "green", "blue", "brown", "black"):
            assert "The models are at work" in client.get("/search", params={"q": words}).text
        assert "have several queries to answer" in client.get("/search", params={"q": "white"}).text
        assert client.get("/").status_code == 200
        assert pieces_in(client.get("/search", params={"like": embedded(home)[0]}).text)  # needs no model
