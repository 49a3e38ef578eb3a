"""The aspect ratio by which a picture's shape is called: the nearest common one, within a tolerance."""

from __future__ import annotations

TOLERANCE = 0.02  # of the ratio: 3000 x 2010 is called 3:2, as a frame shop would
LANDSCAPE = ((1, 1), (5, 4), (4, 3), (7, 5), (3, 2), (16, 10), (16, 9), (2, 1), (3, 1))
COMMON = (*LANDSCAPE, *((low, high) for high, low in LANDSCAPE if high != low))


def aspect_ratio(width: int, height: int) -> str | None:
    """Return the ratio as `3:2`, None where no common one is near; sides are in pixels and at least 1."""
    if width < 1 or height < 1:
        raise ValueError(f"a picture of {width} x {height} pixels has no shape")
    across, up = min(COMMON, key=lambda ratio: _distance(width, height, *ratio))
    return f"{across}:{up}" if _distance(width, height, across, up) <= TOLERANCE else None


def _distance(width: int, height: int, across: int, up: int) -> float:
    """Return by which share the ratio is missed; the same for a picture and the picture turned by 90 degrees."""
    found, wanted = width * up, height * across
    return abs(found - wanted) / min(found, wanted)
