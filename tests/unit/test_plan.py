"""The interval plan: cutting, merging, and that no price falls between two pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from crawler import plan
from crawler.plan import Span

CAP = plan.DEFAULT_CAP_OFFSET
prices = st.floats(0.01, 50_000, allow_nan=False).map(lambda price: round(price, 2))
ends = st.tuples(
    st.floats(0, 20_000).map(lambda price: round(price, 2)),
    st.one_of(st.none(), st.floats(0.0, 20_000).map(lambda width: round(width, 2))),
)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    low, width = draw(ends)
    return Span(967, low, None if width is None else round(low + width, 2))


def covers(pieces: list[Span], whole: Span) -> bool:
    """Say whether the pieces, in order, cover the range and share nothing but their ends."""
    shared = all(left.max_price == right.min_price for left, right in itertools.pairwise(pieces))
    return (pieces[0].min_price, pieces[-1].max_price) == (whole.min_price, whole.max_price) and shared


@given(st.lists(st.floats(0, 10_000).map(lambda price: round(price, 2)), min_size=1, unique=True))
def test_breaks_become_intervals_and_the_same_breaks_again(found: list[float]) -> None:
    breaks = sorted(found)
    made = plan.spans_of_breaks(967, breaks)
    assert plan.breaks_of_spans(made) == breaks
    assert made[-1].max_price is None
    assert covers(made, Span(967, breaks[0], None))


@given(spans(), st.lists(prices, max_size=300), st.integers(2, plan.MOST_PIECES))
def test_the_pieces_of_a_cut_cover_the_range_without_gap_or_overlap(
    span: Span, known: list[float], pieces: int
) -> None:
    cut = plan.cut(span, known, pieces)
    assert covers(cut, span)
    assert len(cut) <= max(pieces, 3)
    breaks = [piece.min_price for piece in cut[1:]]
    assert all(span.min_price < price for price in breaks)
    assert all(left < right for left, right in itertools.pairwise(breaks))
    assert span.max_price is None or all(price < span.max_price for price in breaks)
    assert all(price == round(price, 2) for price in breaks)


@example(Span(967, 0.02, 1.02), [], 2)
@given(spans(), st.lists(prices, max_size=300), st.integers(2, plan.MOST_PIECES))
def test_a_cut_makes_progress_or_the_interval_is_declared_one_price(
    span: Span, known: list[float], pieces: int
) -> None:
    cut = plan.cut(span, known, pieces)
    if len(cut) > 1:
        widths = [(piece.max_price or 1e9) - piece.min_price for piece in cut]
        assert max(widths) < (span.max_price or 1e9) - span.min_price
    else:
        assert span.max_price is not None and span.max_price - span.min_price < 0.1


@given(st.floats(1, 5_000).map(lambda price: round(price, 2)), st.integers(20, 400))
def test_repeated_cuts_of_one_popular_price_end(price: float, number: int) -> None:
    waiting, rounds = [Span(967, 0.0, None)], 0
    while True:
        holding = [s for s in waiting if s.min_price <= price and (s.max_price is None or price <= s.max_price)]
        span = holding[0]
        waiting = plan.cut(span, [price] * number, 2)
        rounds += 1
        if len(waiting) == 1:
            break
        assert rounds < 60, span
    assert span.max_price is not None and span.max_price - span.min_price < 0.1


@given(st.integers(CAP + 101, 90_000), st.integers(0, 20_000))
def test_the_piece_count_leaves_room_for_two_standard_errors_of_the_sample(count: int, sample: int) -> None:
    pieces = plan.piece_count(count, sample, CAP)
    assert 2 <= pieces <= plan.MOST_PIECES
    share = 1 / pieces
    error = (share * (1 - share) / max(1, sample)) ** 0.5
    assert pieces == plan.MOST_PIECES or count * (share + 2 * error) <= CAP + 100


@pytest.mark.parametrize(
    ("count", "sample", "pieces"), [(20_000, 20_000, 2), (24_000, 20_000, 3), (600_000, 20_000, 8), (90_000, 1, 8)]
)
def test_few_pieces_where_the_sample_is_good_and_many_where_it_is_not(count: int, sample: int, pieces: int) -> None:
    assert plan.piece_count(count, sample, CAP) == pieces


def no_prices(span: Span) -> list[float]:
    return []


def reported(spans: list[Span], *counts: int | None) -> dict[tuple[int, float, float | None], int]:
    pairs = zip(spans, counts, strict=True)
    return {(span.taxonomy_id, span.min_price, span.max_price): n for span, n in pairs if n is not None}


THREE = plan.spans_of_breaks(967, [0.0, 10.0, 20.0])


def test_small_neighbours_are_merged_and_their_outer_ends_kept() -> None:
    revised = plan.revise(THREE, reported(THREE, 2_000, 3_000, 4_000), no_prices, CAP)
    assert revised == [Span(967, 0.0, None)]


def test_neighbours_that_together_come_near_the_cap_stay_apart() -> None:
    assert plan.revise(THREE, reported(THREE, 6_000, 6_000, 6_000), no_prices, CAP) == THREE


def test_an_interval_near_the_cap_is_cut_beforehand_at_the_known_prices() -> None:
    known = [10 + number / 100 for number in range(1000)]
    revised = plan.revise(THREE, reported(THREE, 11_000, 11_900, 11_000), lambda _: known, CAP)
    assert covers(revised, Span(967, 0.0, None))
    assert len(revised) == 4
    assert revised[1].max_price == pytest.approx(15, abs=0.2)


def test_intervals_that_a_person_wrote_stay_as_they_are() -> None:
    assert plan.revise(THREE, {}, no_prices, CAP) == THREE
    assert plan.revise(THREE, reported(THREE, 10, None, 10), no_prices, CAP) == THREE


def test_intervals_of_different_categories_are_never_merged() -> None:
    two = [Span(967, 0.0, None), Span(968, 0.0, None)]
    assert plan.revise(two, reported(two, 5, 5), no_prices, CAP) == two


@given(st.lists(st.one_of(st.none(), st.integers(0, 40_000)), min_size=1, max_size=12), st.lists(prices, max_size=60))
def test_a_revised_plan_covers_what_the_plan_before_it_covered(counts: list[int | None], known: list[float]) -> None:
    before = plan.spans_of_breaks(967, [float(5 * number) for number in range(len(counts))])
    revised = plan.revise(before, reported(before, *counts), lambda _: known, CAP)
    assert covers(revised, Span(967, 0.0, None))


@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=12))
def test_a_plan_revised_with_honest_counts_merges_nothing_past_the_cap(counts: list[int]) -> None:
    assume(any(counts))
    before = plan.spans_of_breaks(967, [float(5 * number) for number in range(len(counts))])
    revised = plan.revise(before, reported(before, *counts), no_prices, CAP)
    for piece in revised:
        inside = [
            count
            for span, count in zip(before, counts, strict=True)
            if piece.min_price <= span.min_price
            and (piece.max_price is None or (span.max_price or 1e9) <= piece.max_price)
        ]
        assert len(inside) <= 1 or sum(inside) <= plan.cap_rows(CAP)


PRICE = Span(967, 42.0, 42.05)


def test_one_price_within_twice_the_cap_is_walked_in_both_orders() -> None:
    made = plan.one_price_spans(PRICE, 3, [968, 973], 24_200, CAP)
    assert [(span.taxonomy_id, span.sort_order, span.forced) for span in made] == [
        (967, "desc", True),
        (967, "asc", True),
    ]


def test_one_price_beyond_that_is_reached_through_every_child_category_and_both_orders_for_what_lies_in_none() -> None:
    made = plan.one_price_spans(PRICE, 3, [968, 973], 24_201, CAP)
    assert [(span.taxonomy_id, span.sort_order) for span in made] == [
        (968, "desc"),
        (973, "desc"),
        (967, "desc"),
        (967, "asc"),
    ]
    assert [span.forced for span in made] == [False, False, True, True]
    assert {(span.min_price, span.max_price, span.parent_id) for span in made} == {(42.0, 42.05, 3)}


def test_one_price_of_a_category_without_children_is_walked_in_both_orders_whatever_it_holds() -> None:
    assert len(plan.one_price_spans(PRICE, 3, [], 90_000, CAP)) == 2
