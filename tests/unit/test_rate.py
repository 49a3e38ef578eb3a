"""How fast a count grows, over the last while."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.rate import Rate
from tests.rig import VirtualClock


def test_at_the_moment_of_its_birth_nothing_has_grown() -> None:
    assert Rate(VirtualClock(), 10.0).per_second(0) == 0.0
    assert Rate(VirtualClock(), 10.0).per_second(5) == 0.0


def test_a_steady_growth_is_told_as_it_is_from_the_first_second_on() -> None:
    clock = VirtualClock()
    rate = Rate(clock, 10.0)
    told = []
    for count in range(4, 200, 4):
        clock.advance(1.0)
        told.append(rate.per_second(count))
    assert told == [pytest.approx(4.0)] * len(told)


def test_what_was_before_the_window_does_not_count() -> None:
    clock = VirtualClock()
    rate = Rate(clock, 10.0)
    for count in range(0, 100_000, 1_000):
        clock.advance(1.0)
        rate.per_second(count)
    for _ in range(12):
        clock.advance(1.0)
        now = rate.per_second(99_000)
    assert now == 0.0


def test_a_pause_in_which_nobody_asked_makes_it_slow_and_not_wrong() -> None:
    clock = VirtualClock()
    rate = Rate(clock, 10.0)
    clock.advance(1.0)
    rate.per_second(100)
    clock.advance(99.0)
    assert rate.per_second(100) <= 1.0


def test_asked_very_often_it_tells_the_same_as_asked_now_and_then() -> None:
    """The downloads ask several times a second, for months."""
    clock = VirtualClock()
    rate = Rate(clock, 10.0)
    for count in range(20_000):
        clock.advance(0.01)
        told = rate.per_second(count)
    assert told == pytest.approx(100.0, rel=0.1)


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(0, 50)), min_size=1, max_size=40))
def test_a_count_that_only_grows_never_has_a_negative_rate_and_in_the_end_none(
    steps: list[tuple[float, int]],
) -> None:
    clock, count = VirtualClock(), 0
    rate = Rate(clock, 10.0)
    for seconds, more in steps:
        clock.advance(seconds)
        count += more
        assert rate.per_second(count) >= 0.0
    clock.advance(1_000.0)
    rate.per_second(count)
    clock.advance(1_000.0)
    assert rate.per_second(count) == 0.0
