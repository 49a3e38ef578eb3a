"""From a picture's bytes to a model's input, by Pillow and NumPy alone: one decoding serves all models.

    bytes → open_picture → RGB picture → prepare → float32, pictures by 3 by crop by crop

The numbers are those of open_clip's and of the Hugging Face processors' own steps; tests hold them to that.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from runtime.errors import ItemTrouble
from search.catalogue import Preprocessing

Pixels = npt.NDArray[np.float32]
FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
MOST_BYTES, MOST_PIXELS = 20_000_000, 50_000_000
MOST_STRETCHED = 50  # a longer strip fills the memory once its shorter side is brought to size
RESAMPLE = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
WHITE = (255, 255, 255)


def open_picture(body: bytes) -> Image.Image:
    """Return the picture as RGB, upright, on white where it is transparent; ItemTrouble where it is none."""
    if len(body) > MOST_BYTES:
        raise ItemTrouble(f"The picture has {len(body)} bytes; at most {MOST_BYTES} are read.")
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(body), formats=FORMATS) as image:
            warnings.simplefilter("ignore")  # of odd EXIF and palettes; a bomb is refused by its size below
            _check_size(image.width, image.height)
            return on_white(ImageOps.exif_transpose(image))
    except (ItemTrouble, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise ItemTrouble("This is no picture that can be read.") from error
    except Exception as error:
        # Pillow's decoders let errors of many kinds out for broken files.
        raise ItemTrouble(f"This is no picture that can be read ({error or type(error).__name__}).") from error


def on_white(image: Image.Image) -> Image.Image:
    """Return the picture as RGB, white where it is transparent."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    ground = Image.new("RGB", seen.size, WHITE)
    ground.paste(seen, mask=seen.getchannel("A"))
    return ground


def prepare(pictures: Sequence[Image.Image], how: Preprocessing) -> Pixels:
    """Return the RGB pictures as a model's input: float32, pictures by 3 by crop by crop."""
    prepared = np.empty((len(pictures), 3, how.crop, how.crop), np.float32)
    for row, picture in zip(prepared, pictures, strict=True):
        row[:] = _prepare_one(picture, how)
    return prepared


def preprocessing_name(how: Preprocessing) -> str:
    """Return all the numbers of a preparation as one line, for the make of the vectors."""
    sides = "squashed" if how.squash else "shorter side"
    steps = (", numbers first" if how.rescale_first else "") + (", even crop" if how.even_crop else "")
    return f"{sides} {how.resize} {how.resample}, middle {how.crop}, mean {how.mean}, std {how.std}{steps}"


def _check_size(width: int, height: int) -> None:
    """Raise ItemTrouble for a picture that decodes to more than is good for the memory."""
    if width * height > MOST_PIXELS:
        raise ItemTrouble(f"The picture has {width} x {height} pixels; at most {MOST_PIXELS} are read.")
    if max(width, height) > MOST_STRETCHED * min(width, height):
        raise ItemTrouble(f"The picture has {width} x {height} pixels: a strip, not a piece of furniture.")


def _prepare_one(picture: Image.Image, how: Preprocessing) -> Pixels:
    """Return one picture as 3 by crop by crop numbers."""
    size = (how.resize, how.resize) if how.squash else _short_side(picture.size, how.resize)
    if how.rescale_first:
        pixels = _resize_numbers(np.asarray(picture, np.float32) / np.float32(255), size, RESAMPLE[how.resample])
    else:
        pixels = np.asarray(picture.resize(size, RESAMPLE[how.resample]), np.float32) / np.float32(255)
    left, top = (_rest(side - how.crop, how.even_crop) for side in size)
    middle = pixels[top : top + how.crop, left : left + how.crop]
    normal = (middle - np.array(how.mean, np.float32)) / np.array(how.std, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1), np.float32)


def _short_side(size: tuple[int, int], to: int) -> tuple[int, int]:
    """Return the size at which the shorter side has `to` pixels."""
    width, height = size
    return (to, int(to * height / width)) if width <= height else (int(to * width / height), to)


def _rest(pixels: int, even: bool) -> int:
    """Return how much of the rest lies before the middle."""
    return round(pixels / 2) if even else pixels // 2


def _resize_numbers(pixels: Pixels, size: tuple[int, int], resample: Image.Resampling) -> Pixels:
    """Return height by width by 3 numbers at another size; Pillow resizes fractions a colour at a time."""
    colours = [Image.fromarray(np.ascontiguousarray(pixels[:, :, colour])) for colour in range(3)]
    return np.stack([np.asarray(colour.resize(size, resample)) for colour in colours], axis=-1)
