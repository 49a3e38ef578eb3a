"""Five small embedders that need no download: each sees one thing, colour, shape or light, and none sees all.

They stand where the real models stand: by the same names, with the same files, at fewer dimensions.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from sandbox import words
from search.background import Cut
from search.catalogue import Catalogue, Make, Vectors
from search.embedders.preprocess import open_picture
from search.embedders.table import MODELS

Pixels = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
SIDE = 192  # pictures larger than that are looked at in half their size
BANDS, TALLEST = 32, 1.0
WHITE = 244
COLOURS = {name: colour for name, colour in words.COLOURS.items() if name != "white"}  # which the ground is
PALETTE = np.array(list(COLOURS.values()), np.float32)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece as it is seen: its pixels, which of them are the piece, and how many pixels are one unit of length."""

    pixels: Pixels
    mask: Mask
    unit_pixels: float

    @property
    def colours(self) -> Pixels:
        """The colours of the piece alone."""
        return self.pixels[self.mask]

    def bands(self, values: Pixels) -> Pixels:
        """Return the sums of values in bands of height, from the floor up."""
        rows = np.nonzero(self.mask.any(axis=1))[0]
        found = np.zeros(BANDS, np.float32)
        if len(rows):
            heights = (rows[-1] - np.arange(len(values))) / self.unit_pixels * BANDS / TALLEST
            there = (heights >= 0) & (heights < BANDS)
            np.add.at(found, heights[there].astype(int), values[there])
        return found


def piece_of(picture: Image.Image) -> Piece:
    """Return the piece of a picture on white; all five look at the same one."""
    kept = picture.info.get("piece")
    if isinstance(kept, Piece):
        return kept
    thumb = picture.reduce(2) if min(picture.size) > SIDE else picture
    pixels = np.asarray(thumb.convert("RGB"), np.float32)
    found = Piece(pixels, np.asarray((pixels < WHITE).any(axis=2), np.bool_), float(min(thumb.size)))
    picture.info["piece"] = found
    return found


def by_name(piece: Piece) -> Pixels:
    """How much of each named colour the piece has, whatever light falls on it."""
    found = piece.colours[::7]
    if not len(found):
        return np.ones(len(PALETTE), np.float32)
    light = found.mean(axis=1, keepdims=True) + 1
    tint, palette = found / light, PALETTE / (PALETTE.mean(axis=1, keepdims=True) + 1)
    away = ((tint[:, None] - palette[None]) ** 2).sum(axis=2) * 30 + ((light - PALETTE.mean(axis=1)[None]) / 60) ** 2
    return np.asarray(np.exp(-away).mean(axis=0), np.float32)


def by_hue(piece: Piece) -> Pixels:
    """A histogram of colours, four steps each way, smoothed by its square root."""
    return histogram(piece.colours)


def by_outline(piece: Piece) -> Pixels:
    """How wide the piece is at each height."""
    widths = piece.bands(piece.mask.sum(axis=1).astype(np.float32)) / piece.unit_pixels**2 * 40
    return np.concatenate([np.sqrt(widths), [0.3]]).astype(np.float32)


def by_edges(piece: Piece) -> Pixels:
    """At which heights something begins or ends: seats, shelves, drawers."""
    grey = np.where(piece.mask, piece.pixels.mean(axis=2), 255.0)
    steps = np.abs(np.diff(grey, axis=0, prepend=grey[:1])).sum(axis=1).astype(np.float32)
    return np.concatenate([np.sqrt(piece.bands(steps) / piece.unit_pixels), [0.5]]).astype(np.float32)


def by_light(piece: Piece) -> Pixels:
    """How its colour is spread over the heights: what is light at the top, what is dark below."""
    sums = [piece.bands(np.where(piece.mask, piece.pixels[..., tone], 0.0).sum(axis=1)) for tone in range(3)]
    number = piece.bands(piece.mask.sum(axis=1).astype(np.float32))
    means = np.stack(sums) / np.maximum(number, 1)
    return np.concatenate([(means / 255).ravel(), [0.2]]).astype(np.float32)


def histogram(colours: Pixels) -> Pixels:
    """Return how often colours occur, each of 64."""
    if not len(colours):
        return np.ones(64, np.float32)
    steps = np.minimum(colours // 64, 3).astype(int)
    counted = np.bincount(steps @ np.array([16, 4, 1]), minlength=64)
    return np.asarray(np.sqrt(counted / counted.sum()), np.float32)


def words_by_name(text: str) -> Pixels:
    """The named colours that a text names."""
    told = text.lower()
    found = np.array([float(name in told) for name in COLOURS], np.float32)
    return found if found.any() else np.ones(len(COLOURS), np.float32)


def words_by_hue(text: str) -> Pixels:
    """The histogram that a piece in the named colours would have."""
    named = [np.array(colour, np.float32) for name, colour in COLOURS.items() if name in text.lower()]
    if not named:
        return np.ones(64, np.float32)
    swatch = np.concatenate([np.outer([0.75, 0.9, 1.15], colour) for colour in named]).astype(np.float32)
    return histogram(np.minimum(swatch, 255))


Feature = Callable[[Piece], Pixels]
FEATURES: dict[str, tuple[Feature, int]] = {
    "clip_vitb32": (by_name, 11),
    "clip_vitl14": (by_hue, 64),
    "dinov2_base": (by_outline, BANDS + 1),
    "dinov2_large": (by_edges, BANDS + 1),
    "dinov3_base": (by_light, 3 * BANDS + 1),
}
WORDS = {"clip_vitb32": words_by_name, "clip_vitl14": words_by_hue}
SMALL: Catalogue = {name: replace(MODELS[name], dim=dim) for name, (_, dim) in FEATURES.items()}


@dataclass(frozen=True, slots=True)
class SmallEmbedder:
    """One of the five; `weights` may be changed to be another make, `noise` to be a worker that lies."""

    name: str
    weights: str = "none"
    noise: float = 0.0

    @property
    def make(self) -> Make:
        return Make(self.name, self.weights, "small", "small")

    def embed_pictures(self, pictures: Sequence[Image.Image]) -> Vectors:
        feature, dim = FEATURES[self.name]
        rows = np.array([feature(piece_of(picture)) for picture in pictures], np.float32).reshape(-1, dim)
        if self.noise:
            rows = rows + np.random.default_rng(1).normal(0, self.noise, rows.shape).astype(np.float32)
        return unit(rows)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return unit(np.array([WORDS[self.name](text) for text in texts], np.float32))


def unit(rows: Pixels) -> Vectors:
    found: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def load_small(name: str) -> SmallEmbedder:
    return SmallEmbedder(name)


class RoomRemover:
    """Takes the sandbox's walls and floors away: what has the colour of the picture's edges at its height."""

    name = "room"

    def remove(self, body: bytes) -> Cut:
        picture = open_picture(body)
        picture = picture.reduce(2) if min(picture.size) > 2 * SIDE else picture
        pixels = np.asarray(picture).astype(np.int16)
        edge = np.concatenate([pixels[:, :12], pixels[:, -12:]], axis=1).mean(axis=1).astype(np.int16)
        mask = np.abs(pixels - edge[:, None]).max(axis=2) > 30
        share = float(mask.mean())
        if share < 0.005:
            return Cut(body, True, share)
        shown = np.where(mask[..., None], pixels, 255).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(shown).save(out, "JPEG", quality=92)
        return Cut(out.getvalue(), False, share)
