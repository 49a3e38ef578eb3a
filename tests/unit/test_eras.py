"""Which listings are wanted, by every form that `when_made` takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.eras import is_wanted

WANTED = [
    "made_to_order",
    "2020_2026",
    "2010_2019",
    "2007_2009",
    "2000_2006",
    "2000_2009",
    "2020_2025",
    "2000s",
    "2010s",
]
UNSURE = ["before_2007", "before_2001", "before_2000", "before_2020"]
OLD = ["1990s", "1980s", "1900s", "1800s", "1700s", "before_1700", "1999_2003", "1990_1999"]
ODD: list[str | None] = [
    None,
    "",
    "made_to_order ",
    "MADE_TO_ORDER",
    "2020",
    "2020_",
    "_2026",
    "20200_2026",
    "2020_2026x",
    "x2020_2026",
    "2020s2",
]


@pytest.mark.parametrize("when_made", WANTED)
def test_made_in_2000_or_later_for_sure_is_wanted(when_made: str) -> None:
    assert is_wanted(when_made)


@pytest.mark.parametrize("when_made", UNSURE + OLD)
def test_made_before_2000_or_perhaps_before_is_not_wanted(when_made: str) -> None:
    assert not is_wanted(when_made)


@pytest.mark.parametrize("when_made", ODD)
def test_what_is_no_known_form_is_not_wanted(when_made: str | None) -> None:
    assert not is_wanted(when_made)


@given(st.integers(1000, 9999), st.integers(0, 40))
def test_a_span_of_any_january_is_judged_by_its_first_year(first: int, length: int) -> None:
    assert is_wanted(f"{first}_{min(first + length, 9999)}") == (first >= 2000)


@given(st.integers(1000, 9999))
def test_before_any_year_is_never_sure(year: int) -> None:
    assert not is_wanted(f"before_{year}")


@given(st.text())
def test_any_text_is_judged_without_an_error(text: str) -> None:
    assert is_wanted(text) in (True, False)
