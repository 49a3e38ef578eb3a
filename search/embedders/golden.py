"""Golden vectors: what a model must give for fixed pictures and texts, on every device, before it is trusted.

    golden_vectors on the processor at full precision → save_golden, once for each make
    golden_vectors on a worker's device → check_golden against that

Reason: CLIP on Apple's MPS and half precision on some drivers have given wrong numbers without an error.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from runtime.errors import OperatorNeeded
from runtime.files import sync_file, trouble_in_words
from search.catalogue import Embedder, Make, Vectors

PICTURES, TEXTS, MAKE = "pictures", "texts", "make"
LEAST_COSINE = 0.999
LENGTH_TOLERANCE = 1e-3
NUMBER_OF_PICTURES = 16
GOLDEN_TEXTS = (
    "mid century modern teak sideboard",
    "a small round oak side table",
    "vintage brass floor lamp with a linen shade",
    "Eames style lounge chair & ottoman, black leather",
    "mirror",
    "hand-carved walnut bookshelf, 180 cm, five shelves",
    "Fauteuil en rotin des années 60 – très bon état",
    "rustic farmhouse dining table set with six chairs, reclaimed pine, seats eight, made to order in any size",
)


def golden_pictures() -> tuple[Image.Image, ...]:
    """Return 16 drawn pictures, the same to the last bit on every machine: whole numbers only, no library draws."""
    return tuple(_draw(number) for number in range(NUMBER_OF_PICTURES))


def golden_vectors(embedder: Embedder, has_text: bool) -> dict[str, Vectors]:
    """Return the model's vectors of the golden pictures, and of the golden texts where it reads words."""
    found = {PICTURES: embedder.embed_pictures(golden_pictures())}
    return found | ({TEXTS: embedder.embed_texts(GOLDEN_TEXTS)} if has_text else {})


def check_golden(reference: Mapping[str, Vectors], measured: Mapping[str, Vectors]) -> None:
    """Raise OperatorNeeded where the measured vectors are not those of the reference, saying how they differ."""
    if set(measured) != set(reference):
        raise _refusal(f"it gave {sorted(measured)}, not {sorted(reference)}")
    for kind, wanted in reference.items():
        found = measured[kind]
        if found.shape != wanted.shape:
            raise _refusal(f"the {kind} came as {found.shape}, not {wanted.shape}")
        if not np.isfinite(found).all():
            raise _refusal(f"the {kind} hold what is no number")
        rows = found.astype(np.float64)
        off = float(np.abs(np.linalg.norm(rows, axis=1) - 1).max())
        if off > LENGTH_TOLERANCE:
            raise _refusal(f"the {kind} are not of length one (off by {off:.3g})")
        cosines = (rows * wanted).sum(axis=1)
        if cosines.min() < LEAST_COSINE:
            raise _refusal(f"cosine {cosines.min():.4f} for number {cosines.argmin()} of the {kind}")


def golden_path(folder: Path, make: Make) -> Path:
    """Return the file in which the golden vectors of a make are kept."""
    return folder / f"{make.model}-{make.id}.npz"


def save_golden(folder: Path, make: Make, vectors: Mapping[str, Vectors]) -> Path:
    """Write the golden vectors of a make, whole or not at all, and return the file; OperatorNeeded."""
    path = golden_path(folder, make)
    aside = path.with_suffix(".aside")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            np.savez(file, allow_pickle=False, **{MAKE: np.array(_told(make)), **vectors})
            file.flush()
            sync_file(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise trouble_in_words(error, path) from error
    return path


def load_golden(folder: Path, make: Make) -> dict[str, Vectors]:
    """Return the golden vectors of a make; OperatorNeeded where they are missing, damaged or of another make."""
    path = golden_path(folder, make)
    try:
        # From memory: NumPy leaves a damaged file open.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as held:
            if str(held[MAKE]) != _told(make):
                raise ValueError("they are of another make")
            return {kind: held[kind] for kind in held.files if kind != MAKE}
    except FileNotFoundError as error:
        raise OperatorNeeded(f"There are no golden vectors of {make.model} in {folder} for this make.") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise OperatorNeeded(
            f"The golden vectors in {path} cannot be read ({error}).", advice="Delete the file: it is then made anew."
        ) from error


def _told(make: Make) -> str:
    return json.dumps(asdict(make), sort_keys=True)


def _refusal(why: str) -> OperatorNeeded:
    return OperatorNeeded(
        f"The model does not reproduce the golden vectors: {why}.",
        advice="Take other weights or another device (the processor is the slow and sure one).",
    )


def _draw(number: int) -> Image.Image:
    """Return a picture of a disc, a box and stripes over a slope of colours; its number sets their places."""
    height, width = 240 + 24 * (number % 5), 240 + 36 * (number % 4)
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    ground = [(x * (number + 3) // 5 + y * channel // 2 + 37 * number) % 256 for channel in (1, 2, 3)]
    pixels = np.stack(ground, axis=-1).astype(np.uint8)
    radius, middle = 30 + 5 * number, (height // 2 - 4 * number, width // 3 + 6 * number)
    pixels[(y - middle[0]) ** 2 + (x - middle[1]) ** 2 < radius**2] = (15 * number, 255 - 13 * number, 90)
    box = (y > height * 5 // 8) & (x > width // 8) & (x < width // 2 + 7 * number)
    pixels[box & ((x // (4 + number)) % 2 == 0)] = (240, 16 * number % 256, 30 + 9 * number)
    pixels[(y * (number + 1) + x * 3) % 97 < 3 + number % 7] = (250, 250, 245)
    return Image.fromarray(pixels)
