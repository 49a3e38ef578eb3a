"""One index file: its rows' order, growing, the ladder, and exact scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import OperatorNeeded
from search.index import exact, selftest
from search.index.build import RETEST_GROWTH, RETRAIN_GROWTH, Builder, Older, may_grow
from search.index.exact import Source
from search.index.kinds import KINDS, LADDER, Kind, usable_kinds
from search.index.library import new_index, read_index
from tests.search.vectors import PICTURES, alike, clustered, grow, make_ids, make_source, stored


def nothing() -> None:
    """Nobody asks for a stop."""


LISTINGS = make_ids(60_000)[:, 0]
BUILDER = Builder(LADDER, LISTINGS, nothing)


def test_one_bit_and_both_scalar_kinds_work_with_every_faiss() -> None:
    assert {"1 bit", "SQ8", "SQfp16"} <= {kind.name for kind in usable_kinds()}


@pytest.mark.parametrize("kind", usable_kinds(), ids=lambda kind: kind.name)
def test_every_kind_keeps_the_order_of_rows_on_disk_too(kind: Kind, tmp_path: Path) -> None:
    vectors = clustered(500 * PICTURES, 64)[::PICTURES]
    index = new_index(64, kind.recipe)
    index.train(vectors)
    index.add(vectors)
    index.write(tmp_path / "a.faiss")
    found = read_index(tmp_path / "a.faiss", mapped=kind.is_mapped).search(vectors, 3)
    assert (found == np.arange(500)[:, None]).any(axis=1).all()


def test_rows_of_the_index_are_rows_of_the_store(tmp_path: Path) -> None:
    source = make_source(tmp_path / "store", clustered(6_000, 64))
    built = BUILDER.build(source, tmp_path / "a.faiss", None)
    index = read_index(tmp_path / "a.faiss", mapped=False)
    assert (index.rows, index.dim, built.rows) == (6_000, 64, 6_000)
    rows = np.array([0, 2_499, 2_500, 5_999])
    assert (index.search(stored(source)[rows], 5) == rows[:, None]).any(axis=1).all()


@pytest.mark.parametrize("kind", usable_kinds(), ids=lambda kind: kind.name)
def test_a_grown_index_is_the_one_built_in_one_go_from_the_same_training(kind: Kind, tmp_path: Path) -> None:
    small = make_source(tmp_path / "store", clustered(3_000, 64))
    builder = Builder((kind,), LISTINGS, nothing)
    first = builder.build(small, tmp_path / "small.faiss", None)
    large = grow({"a": small}, 3_200)["a"]
    builder.build(large, tmp_path / "grown.faiss", Older(tmp_path / "small.faiss", first))
    whole = new_index(64, kind.recipe)
    whole.train(small.file.gather(np.arange(3_000)).astype(np.float32))
    whole.add(stored(large))
    whole.write(tmp_path / "whole.faiss")
    assert (tmp_path / "grown.faiss").read_bytes() == (tmp_path / "whole.faiss").read_bytes()


def test_a_grown_index_is_tested_again_when_it_is_a_tenth_larger(tmp_path: Path) -> None:
    source = make_source(tmp_path / "store", clustered(2_000, 64))
    older = Older(tmp_path / "1.faiss", BUILDER.build(source, tmp_path / "1.faiss", None))
    little = BUILDER.build(grow({"a": source}, 2_100)["a"], tmp_path / "2.faiss", older)
    much = BUILDER.build(grow({"a": source}, 2_200)["a"], tmp_path / "3.faiss", older)
    assert (little.tested_rows, much.tested_rows) == (2_000, 2_000 * RETEST_GROWTH)
    assert little.trained_rows == much.trained_rows == 2_000


def test_what_is_learnt_from_few_rows_of_another_make_or_of_more_rows_does_not_grow(tmp_path: Path) -> None:
    source = make_source(tmp_path / "store", clustered(1_000, 64))
    built = BUILDER.build(source, tmp_path / "a.faiss", None)
    assert may_grow(built, source, LADDER)
    assert not may_grow(built, replace(source, make="make-2"), LADDER)
    assert not may_grow(built, replace(source, rows=999), LADDER)
    assert not may_grow(built, replace(source, rows=int(1_000 * RETRAIN_GROWTH)), LADDER)
    assert not may_grow(built, source, LADDER[1:])


def test_hard_data_climbs_the_ladder_until_the_recall_is_enough(tmp_path: Path) -> None:
    easy = BUILDER.build(make_source(tmp_path / "easy", clustered(20_000, 256)), tmp_path / "easy.faiss", None)
    hard = BUILDER.build(make_source(tmp_path / "hard", alike(20_000, 64)), tmp_path / "hard.faiss", None)
    assert (easy.kind, easy.candidates) == ("1 bit", selftest.CANDIDATES[0])
    assert LADDER.index(KINDS[hard.kind]) > 0
    assert min(easy.recall, hard.recall) >= selftest.ENOUGH


def test_an_index_that_grew_bad_is_built_anew(tmp_path: Path) -> None:
    source = make_source(tmp_path / "store", clustered(2_000, 64))
    first = BUILDER.build(source, tmp_path / "1.faiss", None)
    source.file.append(2_000, alike(5_900, 64).astype(np.float16))
    assert may_grow(first, Source(source.file, 7_900, source.make), LADDER)
    second = BUILDER.build(
        Source(source.file, 7_900, source.make), tmp_path / "2.faiss", Older(tmp_path / "1.faiss", first)
    )
    assert second.recall >= selftest.ENOUGH


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_handful_of_rows_has_an_index_too(rows: int, tmp_path: Path) -> None:
    source = make_source(tmp_path / "store", clustered(rows, 64))
    built = BUILDER.build(source, tmp_path / "a.faiss", None)
    assert (built.rows, built.recall) == (rows, 1.0)


def test_equal_vectors_are_a_tie_whichever_was_found(tmp_path: Path) -> None:
    vectors = np.repeat(clustered(240, 64)[::12], 1_000, axis=0)
    built = BUILDER.build(make_source(tmp_path / "store", vectors), tmp_path / "a.faiss", None)
    assert (built.kind, built.recall) == ("1 bit", 1.0)


def test_a_scan_finds_what_sorting_all_scores_finds(tmp_path: Path) -> None:
    source = make_source(tmp_path / "store", clustered(6_000, 64))
    queries = clustered(8, 64, seed=9)
    scores, rows = exact.scan(source, queries, 10, nothing)
    matrix = queries @ stored(source).T
    assert np.array_equal(rows, np.argsort(-matrix, axis=1)[:, :10])
    assert np.allclose(scores, np.sort(matrix, axis=1)[:, ::-1][:, :10], atol=1e-5)


def test_a_scan_stops_when_it_is_asked_to(tmp_path: Path) -> None:
    source = make_source(tmp_path / "store", clustered(100, 64))
    with pytest.raises(KeyboardInterrupt):
        Builder(LADDER, LISTINGS, _raise).build(source, tmp_path / "a.faiss", None)


def test_a_damaged_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.faiss").write_bytes(b"no index")
    with pytest.raises(OperatorNeeded, match="damaged") as raised:
        read_index(tmp_path / "a.faiss", mapped=False)
    assert "index --anew" in raised.value.advice


def _raise() -> None:
    raise KeyboardInterrupt
