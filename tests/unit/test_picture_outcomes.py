"""What can come of a picture, when it is tried again, and when the host is left alone."""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging import fetch
from imaging.courtesy import FIRST_HOLD_SECONDS, LONGEST_HOLD_SECONDS, Courtesy
from imaging.outcomes import DONE, LONGEST_PAUSE_SECONDS, OUTCOMES, pause_seconds

FOLDER = Path(fetch.__file__).parent
FOR_GOOD = {"not_found", "placeholder", "bad_address", "foreign_host", "too_large", "too_many_pixels"}
OF_THE_HOST = {"refused", "busy", "server_error", "timeout", "unreachable"}


def named_in_the_code() -> set[str]:
    """Return the names that the code gives to outcomes where it raises Refused."""
    named = set(fetch.STATUSES.values())
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refused":
                texts = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
                named |= {text for text in texts if isinstance(text, str)}
    return named


def test_every_outcome_that_the_code_names_has_a_meaning_and_none_is_left_over() -> None:
    set_elsewhere = {DONE, "missing", "damaged", "refused", "server_error"}
    assert named_in_the_code() | set_elsewhere == set(OUTCOMES)


def test_what_cannot_heal_is_what_the_picture_itself_is() -> None:
    assert {name for name, meaning in OUTCOMES.items() if not meaning.heals} == FOR_GOOD | {DONE}


def test_what_speaks_of_the_host_heals() -> None:
    assert {name for name, meaning in OUTCOMES.items() if meaning.server} == OF_THE_HOST
    assert all(OUTCOMES[name].heals for name in OF_THE_HOST)


def test_every_outcome_is_told_in_words() -> None:
    assert all(meaning.words for meaning in OUTCOMES.values())
    assert len({meaning.words for meaning in OUTCOMES.values()}) == len(OUTCOMES)


# When a picture is tried again


def test_the_first_pause_is_ten_minutes_and_each_is_six_times_the_last() -> None:
    pauses = [pause_seconds(attempts) for attempts in range(1, 7)]
    assert pauses == [600, 3_600, 21_600, 129_600, 777_600, LONGEST_PAUSE_SECONDS]


@given(st.integers(1, 1_000))
def test_pauses_never_shrink_and_end_at_thirty_days(attempts: int) -> None:
    assert pause_seconds(attempts) <= pause_seconds(attempts + 1) <= 30 * 86_400


# When the host is left alone


def failing(courtesy: Courtesy, times: int, now: float = 100.0) -> list[bool]:
    """Let so many tries fail that began and ended at that moment."""
    return [courtesy.failed(now, now, 0.0, at_once=False) for _ in range(times)]


def test_at_first_the_host_may_be_asked() -> None:
    assert Courtesy(8).until < 0


def test_one_failure_after_another_is_the_hosts_trouble_where_as_many_fail_as_there_are_workers() -> None:
    courtesy = Courtesy(8)
    assert failing(courtesy, 7) == [False] * 7
    assert courtesy.until < 100
    assert failing(courtesy, 1) == [True]
    assert courtesy.until == 100 + FIRST_HOLD_SECONDS


def test_a_picture_that_comes_in_between_begins_the_count_anew() -> None:
    courtesy = Courtesy(3)
    failing(courtesy, 2)
    courtesy.came()
    assert failing(courtesy, 3) == [False, False, True]


def test_a_host_that_asks_for_patience_is_left_alone_at_once_and_for_as_long_as_it_asks() -> None:
    courtesy = Courtesy(8)
    assert courtesy.failed(99.0, 100.0, 120.0, at_once=True)
    assert courtesy.until == 220
    assert Courtesy(8).failed(99.0, 100.0, 0.0, at_once=True)


def test_a_host_that_asks_for_less_than_is_its_due_gets_its_due() -> None:
    courtesy = Courtesy(8)
    courtesy.failed(99.0, 100.0, 1.0, at_once=True)
    assert courtesy.until == 100 + FIRST_HOLD_SECONDS


def test_what_was_on_its_way_when_a_hold_began_is_no_news() -> None:
    """All eight workers get the same 429; that is one hold, not eight."""
    courtesy = Courtesy(8)
    assert courtesy.failed(99.0, 100.0, 0.0, at_once=True)
    assert not any(courtesy.failed(99.5, 100.5, 0.0, at_once=True) for _ in range(7))
    assert courtesy.until == 100 + FIRST_HOLD_SECONDS


def test_holds_double_up_to_a_quarter_of_an_hour_until_a_picture_comes() -> None:
    courtesy, now, holds = Courtesy(8), 100.0, []
    for _ in range(12):
        assert courtesy.failed(now, now, 0.0, at_once=True)
        holds.append(courtesy.until - now)
        now = courtesy.until
    assert holds[0] == FIRST_HOLD_SECONDS
    assert all(after == min(2 * before, LONGEST_HOLD_SECONDS) for before, after in pairwise(holds))
    assert holds[-1] == LONGEST_HOLD_SECONDS
    courtesy.came()
    assert courtesy.failed(now, now, 0.0, at_once=True)
    assert courtesy.until == now + FIRST_HOLD_SECONDS


@pytest.mark.parametrize("workers", [1, 8, 64])
def test_a_dead_host_is_asked_less_and_less_often_whatever_the_number_of_workers(workers: int) -> None:
    courtesy, now, asked = Courtesy(workers), 0.0, []
    while now < 3_600:
        asked.append(now)
        failing(courtesy, workers, now)
        now = max(now, courtesy.until)
    assert len(asked) <= 12
