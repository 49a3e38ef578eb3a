"""What each kind of furniture is built of: boxes in a space where the piece is about one unit wide."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from sandbox.words import Piece

Corner = tuple[float, float, float]


class Box(NamedTuple):
    """A box: its lowest corner (x right, y front, z up), its size, its lightness beside the piece."""

    x: float
    y: float
    z: float
    width: float
    depth: float
    height: float
    tone: float = 1.0

    def faces(self, angle: float) -> Iterator[tuple[str, tuple[Corner, ...]]]:
        """Yield name and corners of the faces that are seen with the piece turned by `angle` (radians)."""
        x0, y0, z0 = self.x, self.y, self.z
        x1, y1, z1 = x0 + self.width, y0 + self.depth, z0 + self.height
        front = y1 if math.cos(angle) > 0 else y0
        side = x1 if math.sin(angle) > 0 else x0
        yield "front", ((x0, front, z0), (x1, front, z0), (x1, front, z1), (x0, front, z1))
        yield "side", ((side, y0, z0), (side, y1, z0), (side, y1, z1), (side, y0, z1))
        yield "top", ((x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1))


def boxes_of(piece: Piece, rng: Random) -> list[Box]:
    """Return the boxes of a piece; `rng` gives it proportions of its own."""
    stretch = rng.uniform(0.85, 1.15)
    built = BUILDERS[piece.kind](rng)
    return [box._replace(z=box.z * stretch, height=box.height * stretch) for box in built]


def _legs(width: float, depth: float, height: float, thick: float) -> list[Box]:
    left, front = -width / 2, -depth / 2
    places = [(x, y) for x in (left, left + width - thick) for y in (front, front + depth - thick)]
    return [Box(x, y, 0, thick, thick, height, 0.85) for x, y in places]


def _slab(width: float, depth: float, low: float, height: float, tone: float = 1.0) -> Box:
    return Box(-width / 2, -depth / 2, low, width, depth, height, tone)


def _table(rng: Random) -> list[Box]:
    width, depth, height = rng.uniform(0.9, 1.1), rng.uniform(0.5, 0.8), rng.uniform(0.35, 0.65)
    return [*_legs(width, depth, height, rng.choice((0.05, 0.09))), _slab(width, depth, height, 0.06)]


def _desk(rng: Random) -> list[Box]:
    table = _table(rng)
    return [*table, Box(-0.42, -0.2, 0.3, 0.28, 0.4, 0.2, 0.92)]


def _seat(width: float, height: float, back: float, thick: float) -> list[Box]:
    seat = _slab(width, width, height, thick)
    rest = Box(-width / 2, -width / 2, height + thick, width, 0.06, back)
    return [*_legs(width, width, height, 0.06), seat, rest]


def _chair(rng: Random) -> list[Box]:
    chair = _seat(rng.uniform(0.5, 0.62), 0.42, rng.uniform(0.3, 0.5), rng.choice((0.05, 0.12)))
    arms = [Box(x, -0.25, 0.62, 0.05, 0.5, 0.05) for x in (-0.3, 0.25)]
    return [*chair, *arms] if rng.random() < 0.4 else chair


def _stool(rng: Random) -> list[Box]:
    side, height = rng.uniform(0.4, 0.55), rng.uniform(0.4, 0.8)
    return [*_legs(side, side, height, 0.05), _slab(side, side, height, 0.07)]


def _bench(rng: Random) -> list[Box]:
    height = rng.uniform(0.35, 0.45)
    return [*_legs(1.1, 0.4, height, 0.07), _slab(1.1, 0.4, height, 0.08)]


def _shelf(rng: Random) -> list[Box]:
    boards, height = rng.randint(3, 6), rng.uniform(0.9, 1.1)
    sides = [Box(x, -0.16, 0, 0.05, 0.32, height, 0.9) for x in (-0.4, 0.35)]
    step = height / boards
    return [*sides, *(_slab(0.8, 0.32, step * index, 0.04) for index in range(boards + 1))]


def _chest(rng: Random, width: float, height: float, drawers: int) -> list[Box]:
    body = _slab(width, 0.45, 0.08, height)
    step = height / drawers
    fronts = [
        Box(-width / 2 + 0.03, 0.225, 0.08 + step * row + 0.02, width - 0.06, 0.02, step - 0.04, 1.08)
        for row in range(drawers)
    ]
    return [*_legs(width, 0.45, 0.08, 0.06), body, *fronts]


def _dresser(rng: Random) -> list[Box]:
    return _chest(rng, rng.uniform(0.8, 1.1), rng.uniform(0.5, 0.9), rng.randint(3, 5))


def _nightstand(rng: Random) -> list[Box]:
    return _chest(rng, rng.uniform(0.45, 0.6), rng.uniform(0.45, 0.6), rng.randint(1, 3))


def _cabinet(rng: Random) -> list[Box]:
    return _chest(rng, rng.uniform(0.9, 1.15), rng.uniform(0.4, 0.6), rng.randint(1, 2))


def _trunk(rng: Random) -> list[Box]:
    return [_slab(0.95, 0.5, 0, 0.35), _slab(1.0, 0.55, 0.35, rng.uniform(0.06, 0.14), 1.1)]


def _bed(rng: Random) -> list[Box]:
    head = Box(-0.5, -0.6, 0, 1.0, 0.06, rng.uniform(0.5, 0.8), 0.95)
    return [head, _slab(1.0, 1.15, 0.12, 0.12), _slab(0.94, 1.08, 0.24, 0.14, 1.5)]


def _headboard(rng: Random) -> list[Box]:
    panels = rng.randint(1, 5)
    wide = 1.1 / panels
    height = rng.uniform(0.5, 0.8)
    return [Box(-0.55 + wide * index, -0.04, 0.05, wide - 0.01, 0.08, height) for index in range(panels)]


def _sofa(rng: Random) -> list[Box]:
    width, arm = rng.uniform(1.0, 1.25), rng.uniform(0.08, 0.14)
    sides = [Box(x, -0.3, 0.08, arm, 0.6, 0.42) for x in (-width / 2, width / 2 - arm)]
    back = Box(-width / 2, -0.3, 0.08, width, 0.14, rng.uniform(0.5, 0.65))
    return [*_legs(width, 0.6, 0.08, 0.06), back, _slab(width - 2 * arm, 0.55, 0.1, 0.25, 1.08), *sides]


def _pouf(rng: Random) -> list[Box]:
    side, height = rng.uniform(0.5, 0.7), rng.uniform(0.2, 0.45)
    return [_slab(side, side, 0, height), _slab(side * 0.9, side * 0.9, height, 0.05, 1.1)]


def _rack(rng: Random) -> list[Box]:
    height = rng.uniform(0.95, 1.15)
    hooks = [Box(x, -0.02, height * 0.9, 0.12, 0.04, 0.04) for x in (-0.15, 0.03)]
    return [_slab(0.4, 0.4, 0, 0.05), _slab(0.06, 0.06, 0.05, height), *hooks]


def _divider(rng: Random) -> list[Box]:
    panels = rng.randint(3, 4)
    return [Box(-0.6 + 0.32 * index, (index % 2) * 0.12, 0, 0.3, 0.03, 1.0) for index in range(panels)]


def _lamp(rng: Random) -> list[Box]:
    height = rng.uniform(0.6, 0.9)
    return [_slab(0.3, 0.3, 0, 0.04), _slab(0.04, 0.04, 0.04, height), _slab(0.36, 0.36, height, 0.25, 1.6)]


BUILDERS: dict[str, Callable[[Random], list[Box]]] = {
    "bed": _bed,
    "headboard": _headboard,
    "dresser": _dresser,
    "nightstand": _nightstand,
    "stool": _stool,
    "desk": _desk,
    "table": _table,
    "chair": _chair,
    "cabinet": _cabinet,
    "bench": _bench,
    "rack": _rack,
    "pouf": _pouf,
    "trunk": _trunk,
    "shelf": _shelf,
    "sofa": _sofa,
    "divider": _divider,
    "lamp": _lamp,
}
