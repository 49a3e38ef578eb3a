"""Joining scores: shares add up, each picture of a listing counts once, missing scores harm nobody."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from search import ensemble
from search.ensemble import DEFAULT, FUSIONS, Scores, above_background, fuse, min_max, reciprocal_ranks, standardised

ONES = np.ones(3, np.float32)
NAN = float(np.nan)
SCORES = np.array([[0.9, 0.1, 0.5], [0.2, 0.8, 0.4], [0.6, 0.6, 0.6], [0.1, 0.2, 0.3]], np.float32)
LISTINGS = np.array([7, 7, 8, 9])


def matrices(**values: bool) -> st.SearchStrategy[Scores]:
    shapes = st.tuples(st.integers(1, 12), st.just(3))
    return hnp.arrays(np.float32, shapes, elements=st.floats(-1, 1, width=16, **values))


@given(scores=matrices(), data=st.data(), name=st.sampled_from(sorted(FUSIONS)))
def test_shares_add_up_to_the_score_and_listings_come_best_first(
    scores: Scores, data: st.DataObject, name: str
) -> None:
    listings = data.draw(hnp.arrays(np.int64, len(scores), elements=st.integers(1, 4)))
    holes = data.draw(hnp.arrays(np.bool_, scores.shape))
    weights = data.draw(hnp.arrays(np.float32, 3, elements=st.floats(0, 2, width=16)))
    fused = fuse(np.where(holes, NAN, scores), listings, weights, FUSIONS[name])
    assert np.allclose(fused.shares.sum(axis=1), fused.scores, atol=1e-4)
    assert np.array_equal(np.sort(fused.listings), np.unique(listings))
    assert (np.diff(fused.scores) <= 0).all()
    assert (listings[fused.best] == fused.listings[:, None]).all()
    assert ((fused.agreeing >= 0) & (fused.agreeing <= 3)).all()


def test_by_default_each_file_takes_the_picture_of_the_listing_that_it_likes_best() -> None:
    fused = fuse(SCORES, LISTINGS, ONES)
    assert fused.listings.tolist() == [7, 8, 9]
    assert fused.best.tolist() == [[0, 1, 0], [2, 2, 2], [3, 3, 3]]
    z = standardised(SCORES)
    assert np.allclose(fused.shares[0], [z[0, 0], z[1, 1], z[0, 2]])


def test_the_other_fusions_take_one_picture_for_all_files() -> None:
    fused = fuse(SCORES, LISTINGS, ONES, FUSIONS["cosine sum"])
    assert fused.listings.tolist() == [8, 7, 9]
    assert fused.best.tolist() == [[2, 2, 2], [0, 0, 0], [3, 3, 3]]
    assert fused.scores.tolist() == pytest.approx([1.8, 1.5, 0.6])


def test_a_file_alone_is_any_fusion_with_the_weights_of_the_others_0() -> None:
    for fusion in FUSIONS.values():
        fused = fuse(SCORES, LISTINGS, np.array([0, 1, 0], np.float32), fusion)
        assert fused.listings.tolist() == [7, 8, 9]
        assert not fused.shares[:, [0, 2]].any()


def test_rrf_and_combmnz_are_those_of_the_literature() -> None:
    found = np.array([[0.9, NAN], [0.5, 0.3], [NAN, 0.7]], np.float32)
    ranks = np.array([[1 / 61, NAN], [1 / 62, 1 / 62], [NAN, 1 / 61]])
    assert np.allclose(reciprocal_ranks(found), ranks, equal_nan=True)
    assert np.allclose(min_max(found), np.array([[1, NAN], [0, 0], [NAN, 1]]), equal_nan=True)
    three = np.array([[0.9, 0.4], [0.7, 0.8], [0.5, NAN]], np.float32)
    mnz = fuse(three, np.array([1, 2, 3]), np.ones(2, np.float32), FUSIONS["CombMNZ"])
    assert dict(zip(mnz.listings.tolist(), mnz.scores.tolist(), strict=True)) == pytest.approx({1: 2, 2: 3, 3: 0})


def test_equal_scores_come_in_the_order_of_their_listings() -> None:
    assert fuse(np.ones((3, 3), np.float32), np.array([5, 3, 4]), ONES).listings.tolist() == [3, 4, 5]


def test_a_file_that_says_nothing_changes_no_order() -> None:
    silent = np.hstack([SCORES, np.full((4, 1), NAN, np.float32)])
    for name, fusion in FUSIONS.items():
        if name != "CombMNZ":
            heard = fuse(silent, LISTINGS, np.ones(4, np.float32), fusion)
            assert heard.listings.tolist() == fuse(SCORES, LISTINGS, ONES, fusion).listings.tolist()
            assert not heard.shares[:, 3].any()


def test_a_file_agrees_with_what_is_among_its_own_best_ten() -> None:
    down = np.linspace(1, 0, 30, dtype=np.float32)
    fused = fuse(np.stack([down, down, down[::-1]], axis=1), np.arange(30), ONES)
    agreeing = dict(zip(fused.listings.tolist(), fused.agreeing.tolist(), strict=True))
    assert [agreeing[listing] for listing in (0, 9, 10, 19, 20, 29)] == [2, 2, 0, 0, 1, 1]


def test_the_number_above_average_does_not_depend_on_the_other_candidates() -> None:
    background = np.random.default_rng(1).standard_normal((2_000, 3)).astype(np.float32)
    z = above_background(np.array([[3, 3, 3], [0, 0, 0], [3, 0, NAN]], np.float32), background, ONES)
    assert z.tolist() == pytest.approx([3, 0, 1], abs=0.15)
    weights = np.array([1, 0, 0], np.float32)
    assert above_background(np.array([[3, 9, 9]], np.float32), background, weights)[0] == pytest.approx(3, abs=0.15)


def test_the_default_is_one_of_the_table_and_can_be_cut_to_the_best() -> None:
    assert DEFAULT in FUSIONS
    first = fuse(SCORES, LISTINGS, ONES).first(2)
    assert [len(getattr(first, name)) for name in ensemble.Fused.__slots__] == [2] * 5
