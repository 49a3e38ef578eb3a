"""Line and bar charts as SVG, drawn here: a browser needs nothing else. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 8.0, 10.0, 24.0
TICKS, NEAREST = 4, 0.1
LABEL_WIDTH = 96.0
KEYS_A_ROW, KEY_HEIGHT, SAMPLE, LONGEST = 2, 24.0, 34.0, 36
MARKS = (
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
    "M-3-3h6v6h-6z",
    "M0-4l4 7h-8z",
    "M0-4l4 4l-4 4l-4-4z",
    "M0 4l4-7h-8z",
    "M-1-4h2v3h3v2h-3v3h-2v-3h-3v-2h3z",
)
"""How a value is drawn that stands alone, around (0, 0), by the line's number: no line relies on its colour."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name and its values, one for each label; None where nothing is known."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Axis:
    """The upright axis: the values at which it has a line, and the share of its height that a value takes."""

    ticks: Sequence[float]
    share: Callable[[float], float]


Scale = Callable[[float], Axis]
Draw = Callable[[Series, int, int, Axis], str]


def even(most: float) -> Axis:
    """Return the axis up to `most` on which equal differences are equally high."""
    top = nice_top(most)
    return Axis([top * number / TICKS for number in range(TICKS + 1)], lambda value: max(0.0, value) / top)


def by_powers(most: float) -> Axis:
    """Return the axis up to `most` on which ten times as many are equally higher: for counts, from 0 on."""
    top = nice_top(most)

    def share(value: float) -> float:
        return math.log1p(max(0.0, value)) / math.log1p(top)

    powers = [10.0**power for power in range(math.ceil(math.log10(top)))]
    return Axis([0.0, *(power for power in powers if NEAREST <= share(power) <= 1 - NEAREST), top], share)


def line_chart(
    title: str, labels: Sequence[str], series: Sequence[Series], scale: Scale = even, with_legend: bool = False
) -> str:
    """Return the lines as SVG, with `title` for who cannot see it; an empty text where there is nothing to draw."""
    return _chart(title, labels, series, _line, scale, _legend(series) if with_legend else [])


def bar_chart(title: str, labels: Sequence[str], series: Series) -> str:
    """Return the bars as SVG; an empty text where there is nothing to draw."""
    return _chart(title, labels, [series], _bars, even, [])


def _chart(
    title: str, labels: Sequence[str], series: Sequence[Series], draw: Draw, scale: Scale, legend: Sequence[str]
) -> str:
    drawable = [Series(one.name, [_finite(value) for value in one.values]) for one in series]
    known = [value for one in drawable for value in one.values if value is not None]
    if not any(known) or not labels:
        return ""
    axis = scale(max(known))
    parts = [*_grid(axis), *_labels(labels), *legend]
    for number, one in enumerate(drawable):
        parts.append(draw(one, number, len(labels), axis))
    height = HEIGHT + KEY_HEIGHT * math.ceil(len(legend) / KEYS_A_ROW)
    size = f'viewBox="0 0 {WIDTH:.0f} {height:.0f}"'
    return f'<svg class="chart" role="img" {size}><title>{escape(title)}</title>{"".join(parts)}</svg>'


def _legend(series: Sequence[Series]) -> list[str]:
    """Return a key for each line, in rows below the chart; each is cut off where its part of the row ends."""
    width = (WIDTH - RIGHT) / KEYS_A_ROW
    keys = []
    for number, one in enumerate(series):
        row, place = divmod(number, KEYS_A_ROW)
        middle = KEY_HEIGHT / 2
        name = one.name if len(one.name) <= LONGEST else f"{one.name[: LONGEST - 1]}…"
        keys.append(
            f'<svg x="{RIGHT + place * width:.0f}" y="{HEIGHT + row * KEY_HEIGHT:.0f}" width="{width - RIGHT:.0f}" '
            f'height="{KEY_HEIGHT:.0f}">{_stroke(number, [(0, middle), (SAMPLE, middle)])}'
            f'{_mark(number, SAMPLE / 2, middle)}<text class="key" x="{SAMPLE + 8:.0f}" y="{middle + 4:.0f}">'
            f"{escape(name)}</text></svg>"
        )
    return keys


def nice_top(most: float) -> float:
    """Return a round number that is no less than `most`."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 2.5, 4, 5, 8, 10) if step * power >= most * (1 - 1e-9))


def _grid(axis: Axis) -> list[str]:
    found = []
    for value in axis.ticks:
        y = _y(value, axis)
        found.append(f'<line class="grid" x1="{LEFT:.0f}" x2="{WIDTH - RIGHT:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        found.append(f'<text class="tick" x="{LEFT - 6:.0f}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    return found


def _labels(labels: Sequence[str]) -> list[str]:
    every = max(1, math.ceil(len(labels) * LABEL_WIDTH / (WIDTH - LEFT - RIGHT)))
    return [
        f'<text class="tick" x="{_x(place, len(labels)):.1f}" y="{HEIGHT - 6:.0f}" text-anchor="middle">'
        f"{escape(label)}</text>"
        for place, label in enumerate(labels)
        if place % every == 0
    ]


def _line(series: Series, number: int, count: int, axis: Axis) -> str:
    """Return the line, broken where nothing is known, with a mark where a value stands alone."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(series.values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((_x(place, count), _y(value, axis)))
    drawn = [_mark(number, *points[0]) if len(points) == 1 else _stroke(number, points) for points in pieces if points]
    return "".join(drawn)


def _stroke(number: int, points: Sequence[tuple[float, float]]) -> str:
    told = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="line s{number % len(MARKS)}" points="{told}"/>'


def _mark(number: int, x: float, y: float) -> str:
    place = number % len(MARKS)
    return f'<path class="dot s{place}" transform="translate({x:.1f} {y:.1f})" d="{MARKS[place]}"/>'


def _bars(series: Series, number: int, count: int, axis: Axis) -> str:
    width = max(1.0, (WIDTH - LEFT - RIGHT) / count * 0.8)
    bars = []
    for place, value in enumerate(series.values):
        if value:
            y = _y(value, axis)
            bars.append(
                f'<rect class="bar s{number % len(MARKS)}" x="{_x(place, count) - width / 2:.1f}" y="{y:.1f}" '
                f'width="{width:.1f}" height="{HEIGHT - BOTTOM - y:.1f}"/>'
            )
    return "".join(bars)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _x(place: int, count: int) -> float:
    return LEFT + (place + 0.5) * (WIDTH - LEFT - RIGHT) / count


def _y(value: float, axis: Axis) -> float:
    return HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM)


def _number(value: float) -> str:
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if sign == 'k' else size):g}{sign}"
    return f"{value:g}"
