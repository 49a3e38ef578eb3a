"""Charts are sound SVG whatever they are of."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

import web
from web.charts import HEIGHT, LONGEST, MARKS, WIDTH, Scale, Series, bar_chart, by_powers, even, line_chart, nice_top

STYLE = (Path(web.__file__).parent / "static" / "style.css").read_text(encoding="utf-8")
HOSTILE = """"><script>alert(1)</script>' & {{ 7*7 }}"""

values = st.lists(
    st.none() | st.floats(allow_nan=True, allow_infinity=True, width=32) | st.integers(0, 10**12), max_size=60
)
SVG = "{http://www.w3.org/2000/svg}"


def tree_of(chart: str) -> ElementTree.Element:
    return ElementTree.fromstring(chart.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


@given(values, st.text(max_size=20).filter(lambda text: text.isprintable()))
def test_a_chart_is_sound_xml_and_lies_within_its_frame(told: list[float | None], title: str) -> None:
    labels = [f"{title} {number}" for number in range(len(told))]
    series = [Series(title, told)] * 3
    charts = [line_chart(title, labels, series, scale, with_legend=True) for scale in (even, by_powers)]
    for chart in (*charts, bar_chart(title, labels, Series("a", told))):
        if chart:
            tree = tree_of(chart)
            assert tree.find(f"{SVG}title") is not None
            for bar in tree.iter(f"{SVG}rect"):
                assert 0 <= float(bar.attrib["y"]) <= HEIGHT and float(bar.attrib["height"]) >= 0
            for line in tree.iter(f"{SVG}polyline"):
                points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
                assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)


@given(st.floats(1e-6, 1e15))
def test_the_top_is_round_and_no_less_than_the_most(most: float) -> None:
    top = nice_top(most)
    assert most * 0.999 <= top <= most * 2.6


def test_a_line_is_broken_where_nothing_is_known() -> None:
    chart = line_chart("t", list("abcde"), [Series("a", [1, 2, None, 3, None])])
    assert chart.count("<polyline") == 1 and chart.count("<path") == 1


def test_there_is_no_chart_of_nothing() -> None:
    assert line_chart("t", [], []) == "" and bar_chart("t", ["a"], Series("a", [0])) == ""


@given(st.floats(1e-6, 1e9), st.sampled_from([even, by_powers]))
def test_an_axis_begins_at_nothing_and_its_lines_are_apart(most: float, scale: Scale) -> None:
    axis = scale(most)
    shares = [axis.share(tick) for tick in axis.ticks]
    assert shares[0] == 0.0 and shares[-1] == pytest.approx(1.0)
    assert all(high - low > 0.08 for low, high in pairwise(shares))
    assert axis.share(-1.0) == 0.0 < axis.share(most) <= 1.0 + 1e-9


def test_on_the_axis_of_powers_ten_times_as_many_are_as_much_higher_everywhere() -> None:
    axis = by_powers(1_000_000)
    steps = [axis.share(10.0 ** (power + 1)) - axis.share(10.0**power) for power in range(2, 6)]
    assert steps == pytest.approx([steps[0]] * 4, rel=0.01)


def test_the_legend_names_each_line_as_it_is_drawn_and_lies_below_the_chart() -> None:
    names = [f"Kind {number}" for number in range(5)] + [HOSTILE]
    chart = line_chart("t", ["a", "b"], [Series(name, [1, 2]) for name in names], with_legend=True)
    tree = tree_of(chart)
    height = float(tree.attrib["viewBox"].split()[3])
    keys = tree.findall(f"{SVG}svg")
    assert [key.findtext(f"{SVG}text") for key in keys] == [*names[:5], f"{HOSTILE[: LONGEST - 1]}…"]
    drawn = [line.attrib["class"] for line in tree.findall(f"{SVG}polyline")]
    assert drawn == [key.find(f"{SVG}polyline").attrib["class"] for key in keys]  # type: ignore[union-attr]
    assert len(set(drawn)) == len(MARKS)
    places = [tuple(float(key.attrib[name]) for name in ("x", "y", "width", "height")) for key in keys]
    assert all(x >= 0 and x + width <= WIDTH and y >= HEIGHT and y + high <= height for x, y, width, high in places)
    assert len({(x, y) for x, y, *_ in places}) == len(names)
    assert "<script" not in chart and "style=" not in chart


def test_there_is_no_legend_unless_it_is_asked_for() -> None:
    tree = tree_of(line_chart("t", ["a", "b"], [Series("a", [1, 2]), Series("b", [2, 3])]))
    assert tree.findall(f"{SVG}svg") == [] and tree.attrib["viewBox"].endswith(f" {HEIGHT:.0f}")


def test_values_that_stand_alone_are_told_apart_without_colours() -> None:
    tree = tree_of(line_chart("t", ["a"], [Series(str(number), [1]) for number in range(len(MARKS))]))
    marks = [mark.attrib["d"] for mark in tree.iter(f"{SVG}path")]
    assert len(set(marks)) == len(marks) == len(MARKS)


def test_lines_are_told_apart_without_colours() -> None:
    dashes = re.findall(r"\.chart \.s[1-9] \{ stroke-dasharray: ([0-9 ]+); \}", STYLE)
    assert len(set(dashes)) == len(dashes) == len(MARKS) - 1  # the first line has none


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_line_stands_out_from_the_paper(scheme: str) -> None:
    """WCAG 1.4.11: 3 to 1."""
    roots = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", roots[("light", "dark").index(scheme)]))
    lines = re.findall(r"\.s\d \{ --own: var\(--(c\d)\); \}", STYLE)
    assert len(set(lines)) == len(lines) >= len(MARKS)
    assert [name for name in lines if contrast(colours[name], colours["paper"]) < 3] == []


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
