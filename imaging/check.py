"""Is this a whole picture? By its bytes alone: never by its name or by what the host says of it.

Flipped bits inside a JPEG's scan are found by nobody without the sender's hash: such a picture decodes.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

PLACEHOLDER_BYTES = 1_024
MOST_BYTES = 20_000_000
MOST_PIXELS = 50_000_000
MOST_FRAMES, MOST_FRAMES_PIXELS = 500, 4 * MOST_PIXELS
FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
SIGNS_OF_A_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")
PHONE_JPEG = "MPO"  # a JPEG with another behind it
JPEG_SCAN, JPEG_END, GIF_END = b"\xff\xda", b"\xff\xd9", b"\x3b"
PNG_END = b"IEND\xae\x42\x60\x82"
CUT_SIGNS = ("truncated", "end of", "incomplete", "not enough", "not read enough")


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole picture: its format by its bytes, its size in pixels and bytes, and its digest."""

    format: str
    width: int
    height: int
    size_bytes: int
    digest: str


class Refused(Exception):
    """What came is no whole picture; `outcome` is one of outcomes.OUTCOMES.

    `wait_seconds` is how long the host asked to be left alone, 0 where it did not.
    """

    def __init__(self, outcome: str, words: str = "", wait_seconds: float = 0.0) -> None:
        super().__init__(words or outcome)
        self.outcome = outcome
        self.wait_seconds = wait_seconds


def check_picture(body: bytes) -> Picture:
    """Return what the bytes hold, decoded to their end; Refused where that is no whole picture."""
    if len(body) > MOST_BYTES:
        raise Refused("too_large")
    if body[:512].lstrip().lower().startswith(SIGNS_OF_A_PAGE):
        raise Refused("html")
    if _ends_early(body):
        raise Refused("wrong_length", "the end is missing")
    try:
        with Image.open(io.BytesIO(body), formats=FORMATS) as image:
            picture_format = "jpeg" if image.format == PHONE_JPEG else str(image.format).lower()
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise Refused("too_many_pixels", f"{width} x {height} pixels")
            _decode(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused("too_many_pixels", str(error)) from error
    except UnidentifiedImageError as error:
        raise Refused("not_a_picture") from error
    except Refused:
        raise
    except Exception as error:
        # Pillow's decoders let errors of many kinds out for broken files; only some say that the end is missing.
        cut = isinstance(error, EOFError) or any(sign in str(error).lower() for sign in CUT_SIGNS)
        raise Refused("wrong_length" if cut else "undecodable", str(error)) from error
    if len(body) < PLACEHOLDER_BYTES:
        raise Refused("placeholder", f"{len(body)} bytes")
    return Picture(picture_format, width, height, len(body), digest_of(body))


def digest_of(body: bytes) -> str:
    """Return the BLAKE2b digest (128 bits, hex) by which a picture's bytes are known; `b2sum -l 128` says the same."""
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def _ends_early(body: bytes) -> bool:
    """Return whether the file's own frame says that its end is missing; Pillow lets some of these pass."""
    if body.startswith(b"\xff\xd8"):
        return body.rfind(JPEG_END) < body.rfind(JPEG_SCAN)
    if body.startswith(b"\x89PNG"):
        return PNG_END not in body
    if body.startswith(b"GIF8"):
        return not body.rstrip(b"\0").endswith(GIF_END)
    return body.startswith(b"RIFF") and len(body) < 8 + int.from_bytes(body[4:8], "little")


def _decode(image: Image.Image) -> None:
    """Decode every frame; raises what Pillow raises."""
    if image.format == PHONE_JPEG:
        image.load()  # its first picture is the one that is shown
        return
    width, height = image.size
    # All of a JPEG's data is read in any case; an eighth of the size saves the arithmetic on pixels.
    image.draft("L", (1, 1))
    image.load()
    for number in range(1, MOST_FRAMES + 1):
        try:
            image.seek(number)
        except EOFError:
            return
        pixels = image.width * image.height  # a later frame may be larger than the first
        if pixels > MOST_PIXELS or pixels * number > MOST_FRAMES_PIXELS:
            raise Refused("too_many_pixels", f"{number} frames of {image.width} x {image.height} pixels")
        image.load()
    raise Refused("too_many_pixels", f"more than {MOST_FRAMES} frames of {width} x {height} pixels")
