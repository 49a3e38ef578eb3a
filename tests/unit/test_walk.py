"""The walk through one interval: offsets that follow a shrinking list, certificates, incidents."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler import walk
from crawler.walk import Walk

CAP = 12_000
FIRST = Walk(967, 5.45, 8.75, interval_id=4)


def at(offset: int, **told: Any) -> Walk:
    return replace(FIRST, offset=offset, **told)


# Offsets


@pytest.mark.parametrize(
    ("offset", "count", "expected"), [(0, 250, 100), (100, 250, 200), (200, 250, None), (0, 100, None), (0, 0, None)]
)
def test_a_still_list_is_walked_page_by_page_without_overlap(offset: int, count: int, expected: int | None) -> None:
    following = walk.next_walk(at(offset, count=count, first_count=count), count)
    assert (following.offset if following else None) == expected


def test_the_next_page_keeps_what_this_one_reported() -> None:
    following = walk.next_walk(at(0, first_count=250, doubtful_answers=1), 250)
    assert following == at(100, first_count=250, count=250)


def test_once_the_count_has_changed_pages_overlap_by_a_row() -> None:
    following = walk.next_walk(at(300, count=1000, first_count=1000), 1001)
    assert following is not None and following.offset == 399


def test_a_drop_of_the_count_sends_the_walk_back_by_as_much_or_a_row_more() -> None:
    following = walk.next_walk(at(300, count=1000, first_count=1000), 993)
    assert following is not None and following.offset in (292, 293) and following.rewinds == 1


def test_oldest_first_is_moved_neither_by_rises_nor_by_drops() -> None:
    for count in (993, 1000, 1010):
        following = walk.next_walk(at(300, count=1000, first_count=1000, sort_order="asc"), count)
        assert following is not None and (following.offset, following.rewinds) == (400, 0)


@given(
    st.integers(0, 12_000), st.integers(0, 20_000), st.integers(0, 20_000), st.integers(1, 20_000), st.integers(0, 500)
)
def test_a_walk_goes_forward_or_uses_up_its_patience(
    offset: int, count: int, before: int, first: int, rewinds: int
) -> None:
    here = at(offset, count=before, first_count=first, rewinds=rewinds)
    following = walk.next_walk(here, count)
    if following is not None:
        assert 0 <= following.offset <= offset + 100
        assert following.offset < count
        assert following.offset > offset or following.rewinds == rewinds + 1


@settings(deadline=None)
@given(st.integers(101, 12_100), st.randoms(use_true_random=False))
def test_a_count_that_is_noise_costs_a_walk_no_more_than_a_few_pages(size: int, rng: Random) -> None:
    here: Walk | None = at(0)
    pages = 0
    while here is not None:
        told = round(size * (1 + 0.03 * rng.uniform(-1, 1)))
        here = replace(here, first_count=told if here.first_count is None else here.first_count)
        pages += 1
        before, here = here.offset, walk.next_walk(here, told)
        if here is not None and here.offset >= size:
            break
    assert before + 100 >= size * 0.96
    least = math.ceil(size / 100)
    assert pages <= least * 1.06 * 99 / 98 + 4 + math.ceil(least * 0.031) * (2 + size * 0.06 / 100)


class Market:
    """A newest-first list, some of whose rows go while it is walked; new ones come at the front."""

    def __init__(self, size: int, rng: Random) -> None:
        self.rows = list(range(size, 0, -1))
        self._rng = rng
        self._next = size + 1

    def go_on(self, removed: int, added: int) -> None:
        for _ in range(min(removed, len(self.rows))):
            self.rows.pop(self._rng.randrange(len(self.rows)))
        for _ in range(added):
            self.rows.insert(0, self._next)
            self._next += 1


def walk_through(market: Market, moves: list[tuple[int, int]]) -> tuple[set[int], set[int]]:
    """Return what stayed in the market from the first page to the last, and what the walk saw."""
    stayed, seen = set(market.rows), set[int]()
    here: Walk | None = at(0)
    turn = 0
    while here is not None:
        page, count = market.rows[here.offset : here.offset + 100], len(market.rows)
        seen |= set(page)
        if not page and count and here.offset:  # the API answers that the offset is past the end
            here = walk.walk_back(here)
            continue
        first_count = count if here.first_count is None else here.first_count
        here = walk.next_walk(replace(here, first_count=first_count), count)
        if here is not None:
            market.go_on(*moves[turn % len(moves)])
            stayed &= set(market.rows)
            turn += 1
    return stayed, seen


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 2500), st.randoms(use_true_random=False), st.data())
def test_whoever_was_there_throughout_is_seen_though_one_goes_between_any_two_pages(
    size: int, rng: Random, data: st.DataObject
) -> None:
    moves = data.draw(st.lists(st.sampled_from([(0, 0), (1, 0)]), min_size=1, max_size=30))
    stayed, seen = walk_through(Market(size, rng), moves)
    assert stayed <= seen


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 2500), st.integers(2, 60), st.integers(0, 20), st.randoms(use_true_random=False))
def test_whoever_was_there_throughout_is_seen_though_many_go_at_once(
    size: int, gone: int, when: int, rng: Random
) -> None:
    moves = [(0, 0)] * when + [(gone, 0)] + [(0, 0)] * 60
    stayed, seen = walk_through(Market(size, rng), moves)
    assert stayed <= seen


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 2500),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_new_rows_at_the_front_hide_no_row_that_goes(size: int, moves: list[tuple[int, int]], rng: Random) -> None:
    stayed, seen = walk_through(Market(size, rng), moves)
    missed = stayed - seen
    assert not missed or _hidden_at_first(moves)


def test_rows_that_go_and_come_in_turns_hide_no_row_that_goes() -> None:
    for seed in range(20):
        stayed, seen = walk_through(Market(594, Random(seed)), [(1, 0), (0, 1)])
        assert stayed <= seen


def _hidden_at_first(moves: list[tuple[int, int]]) -> bool:
    """Say whether a row went while as many came: the count is the same then, and nothing can tell."""
    return any(removed and removed <= added for removed, added in moves)


@pytest.mark.parametrize(
    ("distinct", "repeats", "last_count", "moved"),
    [(500, 0, 500, False), (499, 0, 500, True), (500, 1, 500, True), (501, 0, 501, True)],
)
def test_a_market_moved_where_counts_differ_or_rows_came_twice(
    distinct: int, repeats: int, last_count: int, moved: bool
) -> None:
    assert walk.has_moved(at(400, first_count=500), distinct, repeats, last_count) is moved


# Certificates


@pytest.mark.parametrize(
    ("first_count", "distinct", "last_count", "verdict"),
    [
        (1000, 1000, 1000, "complete"),
        (1000, 985, 1000, "complete"),
        (1000, 984, 1000, "drifted"),
        (1000, 900, 905, "complete"),
        (900, 890, 1000, "complete"),
        (None, 0, 0, "complete"),
        (None, 0, 5, "complete"),
        (None, 0, 50, "drifted"),
        (12_100, 12_100, 12_100, "complete"),
        (12_500, 12_100, 12_500, "unreachable"),
    ],
)
def test_a_walk_is_complete_within_one_per_cent_and_five_rows(
    first_count: int | None, distinct: int, last_count: int, verdict: str
) -> None:
    assert walk.certify(at(0, first_count=first_count), distinct, last_count, CAP).verdict == verdict


@pytest.mark.parametrize(("count", "verdict"), [(24_200, "complete"), (24_201, "unreachable")])
def test_one_price_is_complete_as_far_as_both_orders_reach(count: int, verdict: str) -> None:
    certificate = walk.certify(at(0, forced=True, first_count=count), 12_100, count, CAP)
    assert certificate.verdict == verdict
    assert certificate.note is not None


@pytest.mark.parametrize(
    ("before", "now", "collapsed"),
    [
        (None, 0, False),
        (99, 0, False),
        (100, 0, True),
        (100, 24, True),
        (100, 25, False),
        (5000, 1249, True),
        (5000, 1250, False),
    ],
)
def test_a_count_that_falls_below_a_quarter_of_a_hundred_or_more_is_an_incident(
    before: int | None, now: int, collapsed: bool
) -> None:
    assert walk.has_collapsed(before, now) is collapsed


@pytest.mark.parametrize(
    ("told", "rows", "count", "doubtful"),
    [
        ({"offset": 0}, 0, 0, True),
        ({"offset": 0}, 0, 50, True),
        ({"offset": 0, "doubtful_answers": 1}, 0, 0, True),
        ({"offset": 0, "doubtful_answers": 2}, 0, 0, False),
        ({"offset": 0}, 1, 1, False),
        ({"offset": 100, "count": 500}, 0, 500, True),
        ({"offset": 100, "count": 500}, 0, 0, True),
        ({"offset": 400, "count": 500}, 0, 500, False),
        ({"offset": 100, "count": 500}, 3, 500, False),
    ],
)
def test_an_empty_page_is_doubted_twice_where_rows_were_expected(
    told: dict[str, Any], rows: int, count: int, doubtful: bool
) -> None:
    assert walk.is_doubtful(replace(FIRST, **told), rows, count, 0) is doubtful


@pytest.mark.parametrize(
    ("order", "offset", "following"),
    [
        ("desc", 11_900, 12_000),
        ("desc", 11_950, 12_000),
        ("desc", 12_000, None),
        ("asc", 800, 900),
        ("asc", 1_000, None),
    ],
)
def test_a_walk_ends_at_the_cap_and_the_other_order_where_the_first_one_began(
    order: str, offset: int, following: int | None
) -> None:
    found = walk.next_within_reach(at(offset, sort_order=order, count=13_000, first_count=13_000), 13_000, CAP)
    assert (found and found.offset) == following


@pytest.mark.parametrize(("answers", "doubtful"), [(0, True), (1, True), (2, False)])
def test_a_page_with_rows_that_make_no_sense_is_asked_for_twice_more(answers: int, doubtful: bool) -> None:
    assert walk.is_doubtful(at(100, count=500, doubtful_answers=answers), 99, 500, 1) is doubtful
    assert not walk.is_doubtful(at(100, count=500, doubtful_answers=answers), 99, 500, 0)


def test_a_list_that_shrank_to_before_the_offset_is_walked_back_a_page_and_not_for_ever() -> None:
    here: Walk | None = at(400, count=450, first_count=450)
    back = 0
    while here is not None:
        offset, rewinds = here.offset, here.rewinds
        here = walk.walk_back(here)
        back += 1
        assert here is None or (here.offset, here.rewinds) == (offset - 100, rewinds + 1)
    assert 2 <= back <= 4
    assert walk.walk_back(at(400, count=400, first_count=400)) is None


# The cursor


@given(
    st.integers(1, 10**6),
    st.floats(0, 1e5),
    st.one_of(st.none(), st.floats(0, 1e5)),
    st.integers(0, 12_000),
    st.booleans(),
)
def test_a_walk_is_its_cursor_and_the_cursor_is_the_walk(
    taxonomy_id: int, low: float, high: float | None, offset: int, forced: bool
) -> None:
    here = Walk(taxonomy_id, low, high, offset, forced=forced, rewinds=3, passes=1)
    assert Walk.of_cursor(here.cursor()) == here


def test_a_cursor_has_the_names_that_the_contract_fixes() -> None:
    assert {"taxonomy_id", "min_price", "max_price", "offset"} <= set(FIRST.cursor())


@pytest.mark.parametrize(
    "cursor",
    [
        {},
        {"taxonomy_id": 967, "min_price": 0.0},
        {"taxonomy_id": 967, "min_price": 0.0, "max_price": None, "offset": -1},
        {"taxonomy_id": 967, "min_price": 0.0, "max_price": None, "offset": "3"},
        {"taxonomy_id": "967", "min_price": 0.0, "max_price": None, "offset": 3},
    ],
)
def test_a_cursor_that_is_none_is_refused(cursor: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Walk.of_cursor(cursor)
