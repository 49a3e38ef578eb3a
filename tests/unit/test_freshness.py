"""When something is due again: age limits, doubling, the cycle's horizon, review visits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.freshness import (
    TELLING_SALES,
    Cycle,
    Freshness,
    ShopFigures,
    counted_in,
    is_young,
    review_visit_due,
    revisit_before,
)
from runtime.clock import DAY_SECONDS, iso, parse_iso

NOW = 1_794_000_000.0
WEEKLY = Freshness(max_age_days=7.0, cycle_days=7.0)
HOUR = 3600.0


@pytest.mark.parametrize(
    ("idle_count", "weeks"), [(0, 1), (1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (6, 64), (7, 64), (1000, 64)]
)
def test_what_is_idle_is_asked_for_after_doubling_times_up_to_64_age_limits(idle_count: int, weeks: int) -> None:
    assert parse_iso(WEEKLY.next_due(NOW, idle_count)) == NOW + weeks * 7 * DAY_SECONDS


def test_an_age_limit_may_be_a_fraction_of_a_day() -> None:
    assert parse_iso(Freshness(0.25, 7.0).next_due(NOW, 0)) == NOW + 6 * HOUR


@given(into=st.floats(0, 6.9 * DAY_SECONDS), sooner=st.floats(0, 6.9 * DAY_SECONDS))
def test_a_weekly_cycle_that_reaches_a_listing_sooner_than_the_last_one_finds_it_due(
    into: float, sooner: float
) -> None:
    due_at = WEEKLY.next_due(NOW + into, 0)
    following = Cycle(2, NOW + 7 * DAY_SECONDS)
    assert due_at < WEEKLY.horizon(following, following.started_at + max(0.0, into - sooner))


@given(st.floats(0, 7 * DAY_SECONDS - 1), st.floats(0, 7 * DAY_SECONDS - 1))
def test_what_was_fetched_in_this_cycle_is_not_due_again_before_the_next(into: float, later: float) -> None:
    cycle = Cycle(1, NOW)
    due_at = WEEKLY.next_due(cycle.started_at + into, 0)
    assert not due_at < WEEKLY.horizon(cycle, cycle.started_at + max(into, later))


def test_a_cycle_that_outlasts_its_length_makes_due_what_grows_old_meanwhile() -> None:
    cycle = Cycle(1, NOW)
    late = NOW + 9 * DAY_SECONDS
    assert WEEKLY.horizon(cycle, late) == iso(late)
    assert WEEKLY.next_due(NOW + DAY_SECONDS, 0) < WEEKLY.horizon(cycle, late)


def test_an_age_limit_over_the_cycle_length_skips_cycles() -> None:
    slow = Freshness(max_age_days=14.0, cycle_days=7.0)
    due_at = slow.next_due(NOW + HOUR, 0)
    assert not due_at < slow.horizon(Cycle(2, NOW + 7 * DAY_SECONDS), NOW + 7 * DAY_SECONDS)
    assert due_at < slow.horizon(Cycle(3, NOW + 14 * DAY_SECONDS), NOW + 14 * DAY_SECONDS)


def test_the_next_cycle_begins_a_cycle_length_after_this_one_began_or_now_where_that_is_past() -> None:
    cycle = Cycle(1, NOW)
    assert WEEKLY.next_cycle_at(cycle, NOW + HOUR) == NOW + 7 * DAY_SECONDS
    assert WEEKLY.next_cycle_at(cycle, NOW + 8 * DAY_SECONDS) == NOW + 8 * DAY_SECONDS


FIGURES = ShopFigures(10, 4.5, 100)


NO_SALE, ONE_SALE = ShopFigures(0, None, 0), ShopFigures(0, None, 1)
UNCOUNTED, UNCOUNTED_YET = ShopFigures(None, None, 1), ShopFigures(None, None, TELLING_SALES)


@pytest.mark.parametrize(
    ("now", "visited", "met_before", "due"),
    [
        (FIGURES, None, False, True),
        (ShopFigures(None, None, 0), None, False, False),
        (NO_SALE, None, False, False),
        (ShopFigures(0, None, 3), None, False, True),  # of years ago, which the number does not tell
        (ShopFigures(None, None, None), None, False, True),
        (ShopFigures(2, 5.0, 0), None, False, True),
        (NO_SALE, None, True, False),
        (ONE_SALE, None, True, False),
        (UNCOUNTED, None, True, False),
        (UNCOUNTED, None, False, True),
        (UNCOUNTED_YET, None, True, True),
        (ShopFigures(None, None, None), None, True, True),
        (ShopFigures(1, 5.0, 1), None, True, True),
        (FIGURES, FIGURES, True, False),
        (ShopFigures(11, 4.5, 100), FIGURES, True, True),
        (ShopFigures(9, 4.5, 100), FIGURES, True, True),
        (ShopFigures(10, 4.6, 100), FIGURES, True, True),
        (ShopFigures(10, 4.5, 101), FIGURES, True, False),
        (ShopFigures(None, None, None), FIGURES, True, True),
        (ShopFigures(None, None, 101), ShopFigures(None, None, 100), True, False),
    ],
)
def test_a_shop_is_visited_where_its_reviews_moved_or_where_it_may_have_a_first_one(
    now: ShopFigures, visited: ShopFigures | None, met_before: bool, due: bool
) -> None:
    assert review_visit_due(now, visited, met_before) is due


@pytest.mark.parametrize(
    ("average", "due"), [(4.5, False), (4.504, False), (4.496, False), (4.51, True), (4.49, True), (None, True)]
)
def test_an_average_that_moved_by_less_than_a_star_of_all_reviews_is_rounding(average: float | None, due: bool) -> None:
    now = ShopFigures(100, average, 100)
    assert review_visit_due(now, ShopFigures(100, 4.5, 100), met_before=True) is due


@pytest.mark.parametrize(
    ("figures", "ratings", "expected"),
    [
        (FIGURES, [], FIGURES),
        (FIGURES, [5, 3], ShopFigures(12, 53 / 12, 100)),
        (FIGURES, [5, None], ShopFigures(12, None, 100)),
        (ShopFigures(0, None, 3), [4], ShopFigures(1, 4.0, 3)),
        (ShopFigures(None, None, 3), [4, 5], ShopFigures(2, 4.5, 3)),
        (ShopFigures(7, None, 3), [4], ShopFigures(8, None, 3)),
    ],
)
def test_reviews_that_came_since_the_figures_are_counted_in(
    figures: ShopFigures, ratings: list[int | None], expected: ShopFigures
) -> None:
    assert counted_in(figures, ratings) == expected
    assert not review_visit_due(expected, counted_in(figures, ratings), met_before=True)


@pytest.mark.parametrize(
    ("figures", "due"),
    [(ONE_SALE, False), (UNCOUNTED, False), (UNCOUNTED_YET, True), (ShopFigures(1, 5.0, 1), True), (NO_SALE, False)],
)
def test_a_shop_that_opened_within_the_year_is_visited_where_the_year_has_reviews(
    figures: ShopFigures, due: bool
) -> None:
    assert review_visit_due(figures, None, met_before=False, is_young=True) is due


@pytest.mark.parametrize(("age", "young"), [(0, True), (359, True), (361, False), (4_000, False)])
def test_a_shop_is_young_for_a_year(age: int, young: bool) -> None:
    assert is_young(int(NOW - age * DAY_SECONDS), NOW) is young
    assert not is_young(None, NOW)


@pytest.mark.parametrize(
    ("sold", "days", "due"), [(101, 29, True), (101, 27, False), (100, 99, False), (None, 29, True), (None, 1, False)]
)
def test_sales_alone_bring_a_visit_only_after_28_days(sold: int | None, days: float, due: bool) -> None:
    now = replace(FIGURES, sold_count=sold)
    assert review_visit_due(now, FIGURES, met_before=True, visited_days=days) is due


def test_a_visit_is_old_after_100_days() -> None:
    assert revisit_before(NOW) == iso(NOW - 100 * DAY_SECONDS)
