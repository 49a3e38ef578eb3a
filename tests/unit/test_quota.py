"""The day's calls: a sliding window, the server's word first, a floor that is left, waits that end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.api import quota as day
from crawler.api.quota import Quota
from runtime.clock import DAY_SECONDS

NOW = 1_794_000_000.0
MINUTE = 60.0

quotas = st.builds(
    Quota,
    limit=st.none() | st.integers(0, 100_000),
    remaining=st.none() | st.integers(0, 100_000),
    heard_at=st.floats(NOW - 3 * DAY_SECONDS, NOW),
    not_before=st.just(0.0) | st.floats(NOW - DAY_SECONDS, NOW + DAY_SECONDS),
)
usages = st.lists(
    st.tuples(st.integers(0, 3 * 1440).map(lambda minutes: NOW - NOW % MINUTE - minutes * MINUTE), st.integers(1, 300)),
    max_size=40,
)


@pytest.mark.parametrize(
    ("limit", "left"), [(None, 0), (0, 0), (9, 1), (100, 1), (150, 2), (1000, 10), (5000, 50), (100_000, 50)]
)
def test_one_per_cent_of_the_limit_and_at_most_fifty_calls_are_left(limit: int | None, left: int) -> None:
    assert day.floor(Quota(limit=limit)) == left


def test_nothing_is_known_before_the_first_answer_and_a_call_may_go() -> None:
    assert day.available(Quota(), [], NOW) is None
    assert day.next_call_at(Quota(), [(NOW - 5, 10_000)], NOW) == NOW


def test_calls_come_back_one_by_one_a_day_after_they_were_made_not_at_midnight() -> None:
    quota = Quota(limit=1000)
    usage = [(NOW, 600), (NOW + 3600, 300)]
    left = [day.available(quota, usage, NOW + 3600 + hours * 3600) for hours in (0, 22, 23.1, 24.1)]
    assert left == [90, 90, 690, 990]


def test_a_minute_counts_until_its_last_second_is_a_day_old() -> None:
    quota = Quota(limit=1000)
    assert day.available(quota, [(NOW, 600)], NOW + DAY_SECONDS + 59) == 390
    assert day.available(quota, [(NOW, 600)], NOW + DAY_SECONDS + 60) == 990


def test_what_the_header_says_wins_over_our_own_count() -> None:
    heard = day.hear(Quota(), 5000, 7, [], NOW)
    assert day.available(heard, [], NOW) == 7 - 50
    generous = day.hear(Quota(), 5000, 4000, [], NOW)
    assert day.available(generous, [(NOW - 3600, 4990)], NOW) == 4000 - 50


def test_calls_sent_after_the_header_are_taken_off_what_it_said() -> None:
    heard = day.hear(Quota(), 5000, 1000, [], NOW)
    assert day.available(heard, [(NOW - 120, 500), (NOW + 60, 30)], NOW + 70) == 1000 - 30 - 50


def test_calls_of_the_header_s_own_minute_are_taken_off_too_but_for_those_it_knew_of() -> None:
    """Months, seed 5: answers without headers let a whole minute's calls pass uncounted."""
    heard = day.hear(Quota(), 5000, 1000, [(NOW - NOW % MINUTE, 3)], NOW)
    assert day.available(heard, [(NOW - NOW % MINUTE, 3)], NOW) == 1000 - 50
    assert day.available(heard, [(NOW - NOW % MINUTE, 10)], NOW + 1) == 1000 - 7 - 50


def test_calls_that_grew_a_day_old_since_the_header_are_added_to_what_it_said() -> None:
    heard = day.hear(Quota(), 5000, 100, [], NOW)
    usage = [(NOW - DAY_SECONDS + 600, 400)]
    assert day.available(heard, usage, NOW) == 50
    assert day.available(heard, usage, NOW + 700) == 450


def test_more_than_the_limit_never_comes_back() -> None:
    heard = day.hear(Quota(), 1000, 990, [], NOW)
    assert day.available(heard, [(NOW - DAY_SECONDS + 600, 400)], NOW + 700) == 1000 - 10


def test_what_was_heard_a_day_ago_says_nothing_any_more() -> None:
    spent = Quota(limit=5000, remaining=0, heard_at=NOW)
    later = NOW + DAY_SECONDS + 2 * MINUTE
    assert day.next_call_at(spent, [], later) <= later
    assert day.available(spent, [(later - 600, 40)], later) == 5000 - 40 - 50


def test_a_limit_alone_is_counted_down_by_our_own_calls() -> None:
    assert day.available(day.hear(Quota(), 5000, None, [], NOW), [(NOW - 600, 1000)], NOW) == 3950


def test_a_header_that_is_missing_leaves_what_was_known() -> None:
    heard = day.hear(day.hear(Quota(), 5000, 1000, [], NOW), None, None, [], NOW + 5)
    assert (heard.limit, heard.remaining, heard.heard_at) == (5000, 1000, NOW)


def test_a_cut_of_the_limit_is_noticed_and_kept() -> None:
    cut = day.hear(day.hear(Quota(), 100_000, 99_000, [], NOW), 5_000, 4_000, [], NOW + 60)
    assert (cut.limit, cut.cut_from, cut.cut_at) == (5_000, 100_000, NOW + 60)
    after = day.hear(cut, 5_000, 3_999, [], NOW + 120)
    assert (after.cut_from, after.cut_at) == (100_000, NOW + 60)
    assert "cut from 100000" in day.in_words(after, [], NOW + 120)


def test_a_raised_limit_is_no_cut() -> None:
    assert day.hear(Quota(limit=5_000), 10_000, None, [], NOW).cut_from is None


def test_the_server_s_retry_after_is_kept_to_the_second() -> None:
    refused = day.refuse(Quota(limit=5000), 86_400, [], NOW)
    assert day.next_call_at(refused, [], NOW + 86_399) == NOW + 86_400
    assert day.next_call_at(refused, [], NOW + 86_400 + 2 * MINUTE) <= NOW + 86_400 + 2 * MINUTE


def test_a_refusal_without_a_time_waits_for_what_comes_back_first() -> None:
    refused = day.refuse(Quota(limit=5000), None, [(NOW - DAY_SECONDS + 600, 3000)], NOW)
    assert refused.not_before == NOW + 600 + MINUTE


def test_a_wait_lasts_until_a_chunk_of_two_per_cent_is_back_not_for_every_call() -> None:
    quota = Quota(limit=1000, remaining=10, heard_at=NOW)
    usage = [(NOW - DAY_SECONDS + minute * MINUTE, 5) for minute in range(1, 100)]
    at = day.next_call_at(quota, usage, NOW)
    left = day.available(quota, usage, at)
    assert left is not None and 20 <= left < 30


@given(quotas, usages)
def test_a_call_that_may_go_now_has_calls_left_or_looks_once_an_hour_whether_others_left_some(
    quota: Quota, usage: list[tuple[float, int]]
) -> None:
    if day.next_call_at(quota, usage, NOW) <= NOW:
        left = day.available(quota, usage, NOW)
        none_of_ours = not day.used(usage, NOW)
        assert left is None or left > 0 or (none_of_ours and quota.heard_at + 3600 <= NOW)
        assert quota.not_before <= NOW


@given(quotas, usages, st.none() | st.integers(0, 90_000))
def test_a_refused_call_is_never_followed_by_one_at_once(
    quota: Quota, usage: list[tuple[float, int]], retry_after: int | None
) -> None:
    refused = day.refuse(quota, retry_after, usage, NOW)
    at = day.next_call_at(refused, usage, NOW)
    assert at > NOW or retry_after == 0
    assert retry_after is None or at >= NOW + min(retry_after, day.LONGEST_WAIT_SECONDS)


@given(quotas, usages)
def test_what_is_available_is_never_more_than_the_limit_less_the_floor(
    quota: Quota, usage: list[tuple[float, int]]
) -> None:
    left = day.available(quota, usage, NOW)
    if left is not None and quota.limit is not None:
        assert left <= quota.limit - day.floor(quota)


@given(quotas.filter(lambda quota: quota.limit is None or quota.limit > 1), usages)
def test_whatever_happened_a_call_may_go_within_two_days(quota: Quota, usage: list[tuple[float, int]]) -> None:
    now, waits = NOW, 0
    while (at := day.next_call_at(quota, usage, now)) > now:
        now, waits = at, waits + 1
        assert now <= NOW + 2 * DAY_SECONDS + 3600 and waits < 3000


@given(quotas)
def test_what_is_known_survives_being_written_down(quota: Quota) -> None:
    assert Quota.of_json(quota.as_json()) == quota


@pytest.mark.parametrize("value", [None, [], 5, {"unknown": 1}])
def test_damaged_knowledge_is_no_knowledge(value: object) -> None:
    assert Quota.of_json(value) == Quota()


def test_calls_come_back_as_they_were_made_and_again_a_day_after_that() -> None:
    quota = Quota(limit=1000)  # of which ten are left unused
    usage = [(NOW - 7200, 400), (NOW - 3600, 500)]
    first, second = (minute + MINUTE + DAY_SECONDS for minute, _ in usage)
    back = [day.back_at(quota, calls, usage, NOW) for calls in (1, 400, 401, 900, 901, 990, 991, 1390, 1391)]
    left = NOW + DAY_SECONDS  # those that are left are made now
    assert back == [
        first,
        first,
        second,
        second,
        left,
        left,
        first + DAY_SECONDS,
        first + DAY_SECONDS,
        second + DAY_SECONDS,
    ]


def test_calls_that_have_come_back_do_so_once() -> None:
    usage = [(NOW - 2 * DAY_SECONDS, 990), (NOW - 600, 990)]
    assert day.back_at(Quota(limit=1000), 5, usage, NOW) == NOW - 600 + MINUTE + DAY_SECONDS
