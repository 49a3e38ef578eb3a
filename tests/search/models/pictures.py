"""Pictures for tests, drawn from a seed."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def photograph(width: int = 300, height: int = 220, seed: int = 1) -> Image.Image:
    """Return a picture with both smooth and sharp parts."""
    numbers = np.random.default_rng(seed)
    rough = numbers.integers(0, 256, (max(2, height // 16), max(2, width // 16), 3), dtype=np.uint8)
    picture = Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)
    corner = numbers.integers(0, 256, (height // 3, width // 3, 3), dtype=np.uint8)
    picture.paste(Image.fromarray(corner), (width // 4, height // 4))
    return picture


def as_png(picture: Image.Image) -> bytes:
    body = io.BytesIO()
    picture.save(body, "PNG")
    return body.getvalue()
