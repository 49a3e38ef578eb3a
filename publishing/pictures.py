"""Pictures opened, measured and made larger; the one file here that knows Pillow.

A picture is known by its bytes, never by its name; what would decode to more than MOST_PIXELS is refused unopened.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from PIL import Image, ImageOps, UnidentifiedImageError

from publishing.troubles import FileBroken, JobFailed

FORMATS = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif"}  # MPO: a phone's JPEG
MOST_PIXELS, MOST_MADE_PIXELS = 50_000_000, 200_000_000
STRIP_ROWS = 256  # between two looks at whether a stop was asked for
QUALITY = 95
RENDITION_PIXELS, RENDITION_QUALITY = 3000, 90  # Etsy shows pictures of up to 3,000 pixels a side
PLAIN = ("L", "RGB", "RGBA")


@dataclass(frozen=True, slots=True)
class Measured:
    """A picture's size in pixels, as it is looked at, and the suffix of its format by its bytes."""

    width: int
    height: int
    suffix: str


Make = Callable[[str], AbstractContextManager[BinaryIO]]
"""Opens a file with this suffix that is in its place, whole, when the block has ended well."""


class Upscaler(Protocol):
    """The hook: what makes a picture larger; an outside service is another one of these."""

    def upscale(self, source: Path, factor: float, dpi: int, make: Make) -> Measured:
        """Write the larger picture into what `make(suffix)` opens, and return its size; FileBroken, TryLater."""


class Lanczos:
    """Makes pictures larger with Pillow's Lanczos filter, strip by strip, so that a stop is obeyed in between."""

    def __init__(self, check_stop: Callable[[], None]) -> None:
        self._check_stop = check_stop

    def upscale(self, source: Path, factor: float, dpi: int, make: Make) -> Measured:
        """Write the larger picture with its dpi as JPEG, or as PNG where it is see-through; JobFailed, FileBroken."""
        with open_picture(source) as image:
            width, height = round(image.width * factor), round(image.height * factor)
            if width * height > MOST_MADE_PIXELS:
                raise JobFailed(
                    f"{image.width} x {image.height} pixels times {factor:g} are {width} x {height}, more than "
                    f"{MOST_MADE_PIXELS:,} pixels.",
                    advice="Choose a smaller factor.",
                )
            made = self._larger(image, width, height)
        suffix, form = (".png", "PNG") if made.mode == "RGBA" else (".jpg", "JPEG")
        kept = {"icc_profile": made.info["icc_profile"]} if made.info.get("icc_profile") else {}
        how = {"quality": QUALITY, "subsampling": 0} if form == "JPEG" else {}
        with make(suffix) as file:
            watched = cast(BinaryIO, _Watched(file, self._check_stop))
            made.save(watched, form, dpi=(dpi, dpi), **how, **kept)
        return Measured(width, height, suffix)

    def _larger(self, image: Image.Image, width: int, height: int) -> Image.Image:
        made, scale = Image.new(image.mode, (width, height)), image.height / height
        for top in range(0, height, STRIP_ROWS):
            self._check_stop()
            bottom = min(height, top + STRIP_ROWS)
            box = (0, top * scale, image.width, min(image.height, bottom * scale))
            made.paste(image.resize((width, bottom - top), Image.Resampling.LANCZOS, box), (0, top))
        made.info = dict(image.info)
        return made


class _Watched:
    """A file that is written piece by piece, with a look at whether a stop was asked for before each."""

    def __init__(self, file: BinaryIO, check_stop: Callable[[], None]) -> None:
        self._file = file
        self._check_stop = check_stop

    def write(self, data: bytes) -> int:
        """Write the piece."""
        self._check_stop()
        return self._file.write(data)

    def flush(self) -> None:
        """Hand over what was written."""
        self._file.flush()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place in the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place in the file."""
        return self._file.tell()


def measure(path: Path) -> Measured:
    """Return the size of the picture, decoded to its end; FileBroken, JobFailed where the file is not there."""
    with _opened(path) as image:
        suffix = FORMATS[str(image.format)]
        upright = ImageOps.exif_transpose(image)
        return Measured(upright.width, upright.height, suffix)


def rendition(path: Path) -> bytes:
    """Return the picture as a JPEG that a shop takes, at most 3,000 pixels a side; FileBroken, JobFailed."""
    with open_picture(path) as image:
        if image.mode == "RGBA":  # what is see-through is shown on white
            white = Image.new("RGB", image.size, "white")
            white.paste(image, mask=image.getchannel("A"))
            image = white
        image.thumbnail((RENDITION_PIXELS, RENDITION_PIXELS), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=RENDITION_QUALITY)
        return buffer.getvalue()


@contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """Give the picture upright, decoded to its end, as L, RGB or RGBA; FileBroken, JobFailed."""
    with _opened(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in PLAIN:
            yield upright
        else:
            see_through = "transparency" in upright.info or upright.mode in ("LA", "PA", "RGBa", "La")
            plain = upright.convert("RGBA" if see_through else "RGB")
            plain.info.pop("icc_profile", None)  # it is of the colours as they were
            yield plain


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Give the picture decoded to its end; FileBroken, JobFailed where the file is not there."""
    try:
        image = Image.open(path, formats=[name for name in FORMATS if name != "MPO"])
    except FileNotFoundError as error:
        raise JobFailed(f"There is no file {path}.", advice="Is its disk mounted? Bring it back.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise FileBroken(f"{path} has too many pixels ({error}).") from error
    except (UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise FileBroken(f"{path} is no picture ({', '.join(FORMATS)}).") from error
    with image:
        if image.width * image.height > MOST_PIXELS:
            raise FileBroken(f"{path} has {image.width} x {image.height} pixels; at most {MOST_PIXELS:,} are opened.")
        try:
            image.load()
        except Exception as error:  # Pillow's decoders let errors of many kinds out for broken files
            raise FileBroken(f"{path} is damaged ({error}).") from error
        yield image
