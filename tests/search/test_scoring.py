"""From query vectors to listings: the served indexes against a full scan, filters, newer rows, several pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import UserMistake
from search.catalogue import Vectors
from search.ensemble import FUSIONS
from search.index.exact import Source
from search.index.generation import build_generation
from search.index.library import Rows
from search.index.opened import open_generation
from search.index.rowbook import RowBook
from search.index.served import GATHERED, Served
from search.scoring import Match, Question, search, search_exactly
from tests.search.vectors import PICTURES, grow, make_ids, make_sources, stored, unit

ROWS, NEWER = 60_000, 1_000
NONE = np.empty((0, 2), np.int64)
Home = tuple[Path, dict[str, Source]]


def serve(folder: Path, sources: dict[str, Source], newer: Rows = NONE) -> Served:
    return Served(open_generation(folder, sources), sources, newer)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("embeddings")
    sources = make_sources(folder, ROWS)
    build_generation(folder, sources, make_ids(ROWS), lambda line: None, lambda: None)
    return folder, sources


@pytest.fixture(scope="module")
def served(home: Home) -> Iterator[Served]:
    made = serve(*home)
    yield made
    made.close()


def question(sources: dict[str, Source], rows: list[int], **more: object) -> Question:
    """Ask for what these rows look like, from a little aside."""
    random = np.random.default_rng(rows)
    vectors = {name: stored_rows(source, rows) for name, source in sources.items()}
    moved = {n: unit(v + 0.02 * random.standard_normal(v.shape).astype(np.float32)) for n, v in vectors.items()}
    return Question(moved, **more)  # type: ignore[arg-type]


def stored_rows(source: Source, rows: list[int]) -> Vectors:
    return source.file.gather(np.array(rows)).astype(np.float32)


def listings(matches: list[Match]) -> list[int]:
    return [match.listing_id for match in matches]


def test_the_piece_itself_comes_first_with_the_picture_that_was_asked_for(served: Served, home: Home) -> None:
    ids = make_ids(ROWS)
    for row in (0, 2_499, 31_234, ROWS - 1):
        best = search(served, question(home[1], [row]))[0]
        assert best.listing_id == ids[row, 0]
        assert set(best.rows.values()) == {row}
        assert sum(best.shares.values()) == pytest.approx(best.score, abs=1e-4)
        assert best.agreeing == len(home[1]) and best.above_average > 4


def test_the_served_indexes_answer_as_a_scan_of_everything_does(served: Served, home: Home) -> None:
    asked = [question(home[1], [row]) for row in range(17, ROWS, 3_001)]
    hits = [len(set(listings(search(served, one))) & set(listings(search_exactly(served, one)))) for one in asked]
    assert np.mean(hits) >= 9.9


@pytest.mark.parametrize("number", [1, 300, GATHERED, GATHERED + 1, 55_000])
def test_filters_equal_looking_at_all_allowed_rows(number: int, served: Served, home: Home) -> None:
    source = home[1]["dinov2_base"]
    allowed = np.sort(np.random.default_rng(number).choice(ROWS, number, replace=False))
    query = question(home[1], [4_242]).vectors["dinov2_base"][0]
    found = served.candidates("dinov2_base", query, 12, allowed)
    right = (stored(source) @ query)[allowed]
    assert np.allclose(found.scores, np.sort(right)[::-1][:12], atol=1e-5)
    assert np.isin(found.rows, allowed).all()
    asked = question(home[1], [4_242], allowed=allowed)
    assert listings(search(served, asked)) == listings(search_exactly(served, asked))


def test_a_filter_that_leaves_out_all_that_is_near_finds_the_nearest_of_the_rest(served: Served, home: Home) -> None:
    query = question(home[1], [4_242]).vectors["dinov2_base"][0]
    scores = stored(home[1]["dinov2_base"]) @ query
    allowed = np.sort(np.argsort(scores)[: GATHERED + 5])  # the lowest scores alone
    found = served.candidates("dinov2_base", query, 12, allowed)
    assert np.allclose(found.scores, np.sort(scores[allowed])[::-1][:12], atol=1e-5)


def test_a_filter_without_rows_finds_nothing(served: Served, home: Home) -> None:
    assert search(served, question(home[1], [5], allowed=np.empty(0, np.int64))) == []


def test_rows_left_out_never_count(served: Served, home: Home) -> None:
    own = served.book.rows_of(make_ids(ROWS)[[4_242], 0])
    assert len(own) == PICTURES
    found = search(served, question(home[1], [4_242], without=own))
    assert found and make_ids(ROWS)[4_242, 0] not in listings(found)
    others = search(served, question(home[1], [4_242], without=own[:1]))[0]
    assert others.listing_id == make_ids(ROWS)[4_242, 0] and own[0] not in others.rows.values()


def test_several_pictures_are_scored_by_the_mean_of_their_scores(served: Served, home: Home) -> None:
    both = question({"dinov2_base": home[1]["dinov2_base"]}, [100, 40_000], fusion="cosine sum")
    found = search(served, both)
    assert set(listings(found[:2])) == set(make_ids(ROWS)[[100, 40_000], 0].tolist())
    row = found[0].rows["dinov2_base"]
    each = both.vectors["dinov2_base"] @ stored_rows(home[1]["dinov2_base"], [row])[0]
    assert found[0].score == pytest.approx(each.mean(), abs=1e-5)


def test_weights_choose_whom_to_believe(served: Served, home: Home) -> None:
    asked = question(home[1], [100]).vectors
    torn = {**asked, "dinov2_base": question(home[1], [40_000]).vectors["dinov2_base"]}
    alone = dict.fromkeys(torn, 0.0) | {"dinov2_base": 1.0}
    assert search(served, Question(torn, weights=alone))[0].listing_id == make_ids(ROWS)[40_000, 0]
    assert search(served, Question(torn, weights={"dinov2_base": 0.0}))[0].listing_id == make_ids(ROWS)[100, 0]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_finds_the_piece_itself(fusion: str, served: Served, home: Home) -> None:
    assert search(served, question(home[1], [777], fusion=fusion))[0].listing_id == make_ids(ROWS)[777, 0]


def test_rows_beyond_the_index_are_found_and_files_that_end_earlier_do_not_harm(tmp_path: Path) -> None:
    old = make_sources(tmp_path, 2_000)
    build_generation(tmp_path, old, make_ids(2_000), lambda line: None, lambda: None)
    new = grow(old, 2_000 + NEWER)
    new["clip_vitb32"] = replace(new["clip_vitb32"], rows=2_000)
    served = serve(tmp_path, new, make_ids(2_000 + NEWER)[2_000:])
    allowed = np.arange(2_400, 2_800)
    for row in (3, 1_999, 2_000, 2_500, 2_000 + NEWER - 1):
        found = search(served, question(new, [row]))
        assert found[0].listing_id == make_ids(3_000)[row, 0]
        assert found[0].rows["dinov2_base"] == row
    assert search(served, question(new, [2_500], allowed=allowed))[0].rows["dinov2_base"] == 2_500
    assert np.isnan(served.scores("clip_vitb32", np.array([1_999, 2_000]), np.ones(64, np.float32))).tolist() == [0, 1]
    served.close()


def test_the_files_that_are_there_answer_and_without_any_it_is_said(tmp_path: Path) -> None:
    sources = make_sources(tmp_path, 2_000)
    build_generation(tmp_path, sources, make_ids(2_000), lambda line: None, lambda: None)
    (tmp_path / "dinov2_base.faiss").resolve().unlink()
    served = serve(tmp_path, sources)
    assert "dinov2_base" in served.missing
    found = search(served, question(sources, [55]))
    assert found[0].listing_id == make_ids(2_000)[55, 0] and set(found[0].shares) == {"clip_vitb32", "clip_vitb32_text"}
    with pytest.raises(UserMistake, match="None of the indexes"):
        search(served, question({"dinov2_base": sources["dinov2_base"]}, [55]))
    served.close()


def test_the_book_of_rows_knows_listings_and_images_in_any_order() -> None:
    ids = np.array([[7, 70], [5, 50], [7, 71], [9, 90], [5, 51]])
    book = RowBook(ids)
    assert book.rows_of(np.array([5, 7, 7, 1])).tolist() == [0, 1, 2, 4]
    assert book.rows_of(np.array([4])).tolist() == []
    assert book.listings_of(np.array([3, 0])).tolist() == [9, 7]
    assert book.images_of(np.array([3, 0])).tolist() == [90, 70]
    assert (book.row_of_image(71), book.row_of_image(1), len(book)) == (2, None, 5)


def test_reading_ahead_comes_to_an_end(served: Served) -> None:
    thread = served.prefetch()
    thread.join(30)
    assert not thread.is_alive()
