"""From a picture to the piece on white.

    bytes → open_picture → plain border? → the white around it is made pure
                         → otherwise the network's mask → white behind it
                         → nothing left? → the picture as it was

What comes back is a JPEG; vectors are made from its decoded pixels, so that they can be made again from what is kept.
"""

from __future__ import annotations

import importlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from runtime.errors import OperatorNeeded, UserMistake
from search.embedders.preprocess import WHITE

Mask = npt.NDArray[np.uint8]
"""Height by width: 0 where the background is, 255 where the piece is."""
FOLDER = "background"
QUALITY = 92
BORDER_SHARE, BORDER_PIXELS, BORDER_WHITE, BORDER_CLEAN = 0.02, 2, 240, 0.99
LEAST_SHARE, MOST_SHARE = 0.01, 0.98
SEEN = 128  # of a mask's 255


@dataclass(frozen=True, slots=True)
class Background:
    """A network of rembg's that removes backgrounds, and under what conditions.

    `certain` is the raw number from which on the network means the piece: 0.5 of a share, 0 of an odds' logarithm.
    """

    name: str
    licence: str
    certain: float = 0.5


TABLE = (
    Background("u2net", "Apache-2.0 by its author, trained on DUTS"),
    Background("u2netp", "Apache-2.0 by its author, trained on DUTS"),
    Background("silueta", "Apache-2.0 by its author, trained on DUTS"),
    Background("isnet-general-use", "code Apache-2.0; weights trained on DIS5K, which is not for trade"),
    Background("birefnet-general-lite", "MIT; trained on DIS5K, which is not for trade", 0.0),
    Background("birefnet-general", "MIT; trained on DIS5K, which is not for trade", 0.0),
)
BACKGROUNDS = {background.name: background for background in TABLE}


@dataclass(frozen=True, slots=True)
class Cut:
    """A picture on white as a JPEG; `kept_original`: nothing was taken away, since too little would be left.

    `share` is the piece's part of the area, 0 to 1, as far as it was found.
    """

    body: bytes
    kept_original: bool
    share: float


class Remover(Protocol):
    """Removes backgrounds; not to be used by two threads at once."""

    @property
    def name(self) -> str:
        """What it is: library, network and the hash of its file; pictures of two names may differ."""

    def remove(self, body: bytes) -> Cut:
        """Return the picture on white; ItemTrouble where the bytes are no picture."""


def build_remover(name: str, models_folder: Path) -> Remover:
    """Return the remover with this network, loaded; UserMistake or OperatorNeeded where it cannot be had."""
    background, path = get_background(name), background_path(name, models_folder)
    if not path.is_file():
        raise OperatorNeeded(
            f"The background model {name} is not in {path}.",
            advice=f"`python run.py models --fetch` downloads it (licence: {background.licence}); "
            "or put the file from rembg's releases there.",
        )
    made: Remover = importlib.import_module("search.background_rembg").load_remover(background, path)
    return made


def get_background(name: str) -> Background:
    """Return the network of this name; UserMistake where there is none."""
    if name not in BACKGROUNDS:
        raise UserMistake(f"There is no background model {name}.", advice=f"There are: {', '.join(BACKGROUNDS)}.")
    return BACKGROUNDS[name]


def background_path(name: str, models_folder: Path) -> Path:
    """Return where a network's file lies, or is to lie."""
    return models_folder / FOLDER / f"{name}.onnx"


def has_plain_border(picture: Image.Image) -> bool:
    """Return whether an RGB picture stands on white already: nearly all of its border is nearly white."""
    pixels = np.asarray(picture)
    wide = max(BORDER_PIXELS, round(BORDER_SHARE * min(picture.size)))
    edges = (pixels[:wide], pixels[-wide:], pixels[:, :wide], pixels[:, -wide:])
    near = np.concatenate([(edge.min(axis=-1) >= BORDER_WHITE).ravel() for edge in edges])
    return bool(near.mean() >= BORDER_CLEAN)


def is_nothing(mask: Mask, certain: bool) -> bool:
    """Return whether a mask leaves nothing sensible: no piece, hardly any, nearly all, or all round the border."""
    seen = mask >= SEEN
    share = float(seen.mean())
    edges = (seen[0], seen[-1], seen[:, 0], seen[:, -1])
    return not certain or not LEAST_SHARE <= share <= MOST_SHARE or all(edge.any() for edge in edges)


def cut_out(picture: Image.Image, mask: Mask, certain: bool = True) -> Cut:
    """Return the RGB picture with white behind the mask, or as it was where the mask leaves nothing sensible."""
    share = float((mask >= SEEN).mean())
    if is_nothing(mask, certain):
        return Cut(as_jpeg(picture), True, share)
    ground = Image.new("RGB", picture.size, WHITE)
    ground.paste(picture, mask=Image.fromarray(mask))
    return Cut(as_jpeg(ground), False, share)


def as_jpeg(picture: Image.Image) -> bytes:
    """Return the picture as a JPEG, colours at full size: thin coloured legs stay."""
    body = io.BytesIO()
    picture.save(body, "JPEG", quality=QUALITY, subsampling=0)
    return body.getvalue()
