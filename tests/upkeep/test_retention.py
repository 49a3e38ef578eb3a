"""Which backups are kept."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from upkeep.retention import Rule, kept

NOW = datetime(2026, 11, 21, 22, 30, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86_400.0
moments = st.lists(st.floats(NOW - 900 * DAY, NOW + 3 * DAY), max_size=60)
rules = st.builds(Rule, st.integers(1, 48), st.integers(1, 60), st.integers(1, 24))


def after(days: float, every_hours: float, rule: Rule) -> list[float]:
    """Return the backups that are left where one was made every so many hours, and the rule was kept each time."""
    there = set[float]()
    for number in range(int(days * 24 / every_hours) + 1):
        moment = NOW + number * every_hours * HOUR
        there = kept(there | {moment}, moment, rule)
    return sorted(there)


@given(moments, rules)
def test_the_newest_is_kept_and_nothing_that_was_not_there(made: list[float], rule: Rule) -> None:
    left = kept(made, NOW, rule)
    assert left <= set(made)
    assert not made or max(made) in left


@given(moments, rules)
def test_no_more_are_kept_than_the_rule_has_places(made: list[float], rule: Rule) -> None:
    left = [moment for moment in kept(made, NOW, rule) if moment <= NOW]
    assert len(left) <= rule.hours + 1 + rule.days + 1 + rule.months + 1


@given(moments, rules)
def test_what_was_kept_once_is_kept_again(made: list[float], rule: Rule) -> None:
    left = kept(made, NOW, rule)
    assert kept(left, NOW, rule) == left


@given(moments, rules)
def test_each_hour_and_day_that_has_a_backup_keeps_its_newest(made: list[float], rule: Rule) -> None:
    left = kept(made, NOW, rule)
    past = sorted(moment for moment in made if moment <= NOW)
    for moment in past:
        later = [other for other in past if other > moment]
        if moment > NOW - rule.hours * HOUR and not any(other // HOUR == moment // HOUR for other in later):
            assert moment in left
        if moment > NOW - rule.days * DAY and not any(other // DAY == moment // DAY for other in later):
            assert moment in left


def test_a_backup_from_a_clock_that_was_ahead_is_kept_and_keeps_no_other_from_its_place() -> None:
    assert kept([NOW - 5, NOW + 400 * DAY], NOW, Rule()) == {NOW - 5, NOW + 400 * DAY}


def test_two_years_of_a_backup_every_six_hours_leave_a_day_a_month_and_a_year() -> None:
    left = after(730, 6, Rule())
    end = left[-1]
    assert len([moment for moment in left if moment > end - DAY]) == 4
    assert len({int(moment // DAY) for moment in left if moment > end - 30 * DAY}) in (30, 31)
    months = {datetime.fromtimestamp(moment, UTC).strftime("%Y-%m") for moment in left}
    assert len(months) == 12
    assert len(left) <= 4 + 30 + 12


def test_an_hour_has_one_backup_where_more_were_made() -> None:
    left = after(3, 0.25, Rule(hours=24, days=2, months=1))
    end = left[-1]
    hours = [int(moment // HOUR) for moment in left if moment > end - DAY]
    assert len(hours) == len(set(hours)) and len(hours) in (24, 25)
