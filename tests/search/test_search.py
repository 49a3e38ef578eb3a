"""`run.py search`: queries of every kind, filters that are SQL's own, and clear words for what cannot be."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from imaging.layout import Layout
from runtime.errors import CrawlError, OperatorNeeded, UserMistake
from runtime.parts import Parts
from runtime.settings import load_settings
from search.filters import Filters
from search.query import read_query
from search.search_commands import search
from search.wiring import Kit
from tests.search.home import change, copy_of, crawled, embed_home, rows_of, small_kit
from tests.search.small import SMALL, SmallEmbedder

NONE = Filters()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = copy_of(crawled(), tmp_path_factory.mktemp("search") / "home")
    embed_home(home, index=True)
    yield home


@pytest.fixture
def own_home(home: Path, tmp_path: Path) -> Path:
    return copy_of(home, tmp_path / "home")


def find(home: Path, *told: str, filters: Filters = NONE, top: int = 10) -> list[dict[str, Any]]:
    out = io.StringIO()
    ask(home, out, *told, filters=filters, top=top, as_json=True)
    found: list[dict[str, Any]] = json.loads(out.getvalue())
    return found


def ask(
    home: Path,
    out: io.StringIO,
    *told: str,
    filters: Filters = NONE,
    top: int = 10,
    as_json: bool = False,
) -> None:
    settings = load_settings(home, {})
    layout = Layout(home / "images")
    console = Console(file=out, width=250)
    search(settings, console, told, filters, top, as_json, False, layout.primary.find, SMALL, small_kit)


def listings(home: Path) -> list[int]:
    return [row[0] for row in rows_of(home, "SELECT DISTINCT listing_id FROM vector_rows ORDER BY listing_id")]


def test_a_picture_finds_its_own_listing_first(home: Path) -> None:
    listing_id, image_id = rows_of(home, "SELECT listing_id, image_id FROM image_status WHERE is_primary = 0")[3]
    picture = Layout(home / "images").downloaded.path(image_id, "jpeg")
    found = find(home, str(picture))
    assert found[0]["listing_id"] == listing_id
    assert len(found) == 10


def test_a_listing_s_number_finds_others_that_are_alike_and_not_itself(home: Path) -> None:
    for listing_id in listings(home)[:3]:
        found = find(home, str(listing_id))
        assert listing_id not in [one["listing_id"] for one in found]
        assert find(home, f"listing:{listing_id}") == found


def test_an_image_s_number_is_a_query_too(home: Path) -> None:
    listing_id, image_id = rows_of(home, "SELECT listing_id, image_id FROM image_status WHERE is_primary = 1")[0]
    assert find(home, f"image:{image_id}") == find(home, str(listing_id))


def test_words_find_what_has_the_colour_that_they_name(home: Path) -> None:
    colour = "walnut"
    found = find(home, f"a {colour} chair", top=2)
    assert all(colour in one["title"].lower() for one in found)
    assert set(found[0]["shares"]) == {"clip_vitb32", "clip_vitl14", "clip_vitb32_text", "clip_vitl14_text"}


def test_a_picture_and_words_together_ask_every_file(home: Path) -> None:
    found = find(home, str(listings(home)[0]), "walnut", top=1)
    assert len(found[0]["shares"]) == 7


def test_shares_add_up_to_the_score_and_each_names_the_image_that_it_is_of(home: Path) -> None:
    images = set(rows_of(home, "SELECT listing_id, image_id FROM image_status"))
    for one in find(home, str(listings(home)[0])):
        assert sum(one["shares"].values()) == pytest.approx(one["score"], abs=1e-4)
        assert {(one["listing_id"], image_id) for image_id in one["images"].values()} <= images


LATEST_STATE = (
    "SELECT state FROM listings_dynamic d WHERE d.listing_id = i.listing_id ORDER BY snapshot_timestamp DESC LIMIT 1"
)
IN_THE_US = "'US' IN (shipping_from_country_iso, shop_location_country_iso)"
FILTERS = {
    "price": (Filters(min_price=100, max_price=600), "price BETWEEN 100 AND 600"),
    "era": (Filters(era="made_to_order"), "i.when_made = 'made_to_order'"),
    "shop": (Filters(shop_id=-1), "i.shop_id = {shop}"),
    "state": (Filters(state="active"), f"'active' = ({LATEST_STATE})"),
    "no such state": (Filters(state="sold_out"), "0"),
    "taxonomy": (Filters(taxonomy_id=-1), "i.taxonomy_id = {taxonomy}"),
    "seen since": (Filters(seen_since="2020-01-01"), "last_seen_at >= '2020-01-01'"),
    "never seen": (Filters(seen_since="2099-01-01"), "0"),
    "country": (Filters(country="us"), IN_THE_US),
    "several": (Filters(min_price=100, country="US"), f"price >= 100 AND {IN_THE_US}"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_leaves_exactly_what_sql_leaves(home: Path, name: str) -> None:
    filters, condition = FILTERS[name]
    shop, taxonomy = rows_of(home, "SELECT shop_id, taxonomy_id FROM indexed_listings ORDER BY listing_id")[0]
    if filters.shop_id:
        filters = Filters(shop_id=shop)
    if filters.taxonomy_id:
        filters = Filters(taxonomy_id=taxonomy)
    joined = "vector_rows v JOIN indexed_listings i USING (listing_id) JOIN shops s USING (shop_id)"
    where = condition.format(shop=shop, taxonomy=taxonomy)
    wanted = {row[0] for row in rows_of(home, f"SELECT v.listing_id FROM {joined} WHERE {where}")}
    assert {one["listing_id"] for one in find(home, "walnut", filters=filters, top=1000)} == wanted
    assert name in ("no such state", "never seen") or wanted


def test_the_table_shows_title_price_score_and_each_model_s_share(home: Path) -> None:
    out = io.StringIO()
    ask(home, out, "walnut", top=2)
    one = find(home, "walnut", top=1)[0]
    said = out.getvalue()
    price = f"{one['price']:,.2f} {one['currency']}"
    for words in ("clip_vitb32_text", one["title"][:30], f"{one['score']:.2f}", price):
        assert words in said


def test_what_was_embedded_after_the_last_build_is_found_too(tmp_path: Path) -> None:
    home = copy_of(crawled(), tmp_path / "home")
    waiting = "image_id IN (SELECT image_id FROM image_status ORDER BY image_id DESC LIMIT 9)"
    change(home, f"UPDATE image_status SET download_done = 0 WHERE {waiting}")
    embed_home(home, index=True)
    change(home, "UPDATE image_status SET download_done = 1")
    embed_home(home)  # without a build
    listing_id, image_id = rows_of(home, f"SELECT listing_id, image_id FROM vector_rows WHERE {waiting}")[0]
    picture = Layout(home / "images").downloaded.path(image_id, "jpeg")
    found = find(home, str(picture), top=1)
    assert found[0]["listing_id"] == listing_id
    assert image_id in found[0]["images"].values()


BAD_QUERIES: dict[str, tuple[tuple[str, ...], str]] = {
    "a file that is not there": (("gone.jpg",), "There is no picture gone.jpg"),
    "a listing that is not embedded": (("123",), "listing 123 has no vectors"),
    "an image that is not embedded": (("image:123",), "image 123 has no vectors"),
    "no words": (("  ",), "nothing to look for"),
    "no picture": ((__file__,), "cannot be read as a picture"),
}


@pytest.mark.parametrize("name", BAD_QUERIES)
def test_a_query_that_cannot_be_asked_is_said_in_words(home: Path, name: str) -> None:
    told, words = BAD_QUERIES[name]
    with pytest.raises(UserMistake, match=words):
        find(home, *told)


def test_words_that_are_longer_than_a_file_s_name_are_words() -> None:
    assert read_query(["sofa " * 200]).texts == [("sofa " * 200).strip()]


def test_a_home_without_indexes_says_how_to_build_them(tmp_path: Path) -> None:
    bare = copy_of(crawled(), tmp_path / "home")
    with pytest.raises(OperatorNeeded, match="no index yet") as told:
        find(bare, "walnut")
    assert "python run.py index" in told.value.words()


def other_weights(parts: Parts) -> Kit:
    """Return a kit of which one model has other weights than the stored vectors."""
    kit = small_kit(parts)
    return replace(kit, load=load_other, reference=load_other)


def load_other(name: str) -> SmallEmbedder:
    return SmallEmbedder(name, "newer" if name == "clip_vitb32" else "none")


def test_a_query_by_other_weights_than_the_stored_vectors_is_refused(home: Path) -> None:
    console = Console(file=io.StringIO())
    with pytest.raises(OperatorNeeded, match="clip_vitb32 has other weights"):
        search(
            load_settings(home, {}),
            console,
            ["walnut"],
            NONE,
            5,
            False,
            False,
            lambda number: None,
            SMALL,
            other_weights,
        )


def test_an_index_file_that_is_cut_is_refused(own_home: Path) -> None:
    path = (own_home / "data/embeddings/dinov2_base.faiss").resolve()
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(CrawlError, match=r"dinov2_base\.faiss"):
        find(own_home, "walnut")


def test_an_image_index_that_disagrees_is_refused(own_home: Path) -> None:
    path = (own_home / "data/embeddings/image_index.json").resolve()
    told = json.loads(path.read_text())
    told[0], told[1] = told[1], told[0]
    path.write_text(json.dumps(told, separators=(",", ":")))
    with pytest.raises(CrawlError, match=r"image_index\.json"):
        find(own_home, "walnut")


def test_a_file_that_is_missing_is_said_and_the_others_answer(own_home: Path) -> None:
    (own_home / "data/embeddings/clip_vitl14_text.faiss").resolve().unlink()
    out = io.StringIO()
    ask(own_home, out, "walnut", top=1)
    assert "clip_vitl14_text does not take part" in out.getvalue()
    assert "clip_vitb32" in out.getvalue()
