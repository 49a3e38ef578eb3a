"""Line and bar charts as SVG, drawn here: a browser needs nothing else. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 8.0, 10.0, 24.0
TICKS = 4
LABEL_WIDTH = 76.0


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name and its values, one for each label; None where nothing is known."""

    name: str
    values: Sequence[float | None]


Draw = Callable[[Series, int, int, float], str]


def line_chart(title: str, labels: Sequence[str], series: Sequence[Series]) -> str:
    """Return the lines as SVG, with `title` for who cannot see it; an empty text where there is nothing to draw."""
    return _chart(title, labels, series, _line)


def bar_chart(title: str, labels: Sequence[str], series: Series) -> str:
    """Return the bars as SVG; an empty text where there is nothing to draw."""
    return _chart(title, labels, [series], _bars)


def _chart(title: str, labels: Sequence[str], series: Sequence[Series], draw: Draw) -> str:
    drawable = [Series(one.name, [_finite(value) for value in one.values]) for one in series]
    known = [value for one in drawable for value in one.values if value is not None]
    if not any(known) or not labels:
        return ""
    top = nice_top(max(known))
    parts = [*_grid(top), *_labels(labels)]
    for number, one in enumerate(drawable):
        parts.append(draw(one, number, len(labels), top))
    size = f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}"'
    return f'<svg class="chart" role="img" {size}><title>{escape(title)}</title>{"".join(parts)}</svg>'


def nice_top(most: float) -> float:
    """Return a round number that is no less than `most`."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 2.5, 4, 5, 8, 10) if step * power >= most * (1 - 1e-9))


def _grid(top: float) -> list[str]:
    found = []
    for number in range(TICKS + 1):
        value = top * number / TICKS
        y = _y(value, top)
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


def _line(series: Series, number: int, count: int, top: float) -> str:
    """Return the line, broken where nothing is known, with a dot where a value stands alone."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(series.values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((_x(place, count), _y(value, top)))
    drawn = []
    for points in pieces:
        if len(points) == 1:
            drawn.append(f'<circle class="dot s{number % 6}" cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="2.5"/>')
        elif points:
            told = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            drawn.append(f'<polyline class="line s{number % 6}" points="{told}"/>')
    return "".join(drawn)


def _bars(series: Series, number: int, count: int, top: float) -> str:
    width = max(1.0, (WIDTH - LEFT - RIGHT) / count * 0.8)
    bars = []
    for place, value in enumerate(series.values):
        if value:
            y = _y(value, top)
            bars.append(
                f'<rect class="bar s{number % 6}" x="{_x(place, count) - width / 2:.1f}" y="{y:.1f}" '
                f'width="{width:.1f}" height="{HEIGHT - BOTTOM - y:.1f}"/>'
            )
    return "".join(bars)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _x(place: int, count: int) -> float:
    return LEFT + (place + 0.5) * (WIDTH - LEFT - RIGHT) / count


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - max(0.0, value) / top * (HEIGHT - TOP - BOTTOM)


def _number(value: float) -> str:
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if sign == 'k' else size):g}{sign}"
    return f"{value:g}"
