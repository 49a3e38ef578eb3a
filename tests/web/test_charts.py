"""Charts are sound SVG whatever they are of."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from web.charts import HEIGHT, WIDTH, Series, bar_chart, line_chart, nice_top

values = st.lists(
    st.none() | st.floats(allow_nan=True, allow_infinity=True, width=32) | st.integers(0, 10**12), max_size=60
)
SVG = "{http://www.w3.org/2000/svg}"


@given(values, st.text(max_size=20).filter(lambda text: text.isprintable()))
def test_a_chart_is_sound_xml_and_lies_within_its_frame(told: list[float | None], title: str) -> None:
    labels = [f"{title} {number}" for number in range(len(told))]
    for chart in (line_chart(title, labels, [Series("a", told)]), bar_chart(title, labels, Series("a", told))):
        if chart:
            tree = ElementTree.fromstring(chart.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
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
    assert chart.count("<polyline") == 1 and chart.count("<circle") == 1


def test_there_is_no_chart_of_nothing() -> None:
    assert line_chart("t", [], []) == "" and bar_chart("t", ["a"], Series("a", [0])) == ""
