"""Makes many files of one drawing: each carries a text of its own where its format keeps comments.

The pixels stay the same, the bytes differ, and every file is whole by the rules of its format.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import NamedTuple

STAMP_BYTES = 18


class Drawing(NamedTuple):
    """An encoded drawing, cut where its stamp goes."""

    form: str
    before: bytes
    after: bytes

    def stamped(self, number: int) -> bytes:
        """Return the file that carries this number, which has up to 18 digits."""
        return b"".join((self.before, STAMPS[self.form](b"%0*d" % (STAMP_BYTES, number)), self.after))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG file."""
    return b"%b%b%b%b" % (len(data).to_bytes(4, "big"), kind, data, zlib.crc32(kind + data).to_bytes(4, "big"))


def _jpeg_comment(text: bytes) -> bytes:
    return b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text


def _png_comment(text: bytes) -> bytes:
    return png_chunk(b"tEXt", b"Comment\0" + text)


def _gif_comment(text: bytes) -> bytes:
    return b"\x21\xfe%c%b\0" % (len(text), text)


def _webp_chunk(text: bytes) -> bytes:
    return b"NOTE" + len(text).to_bytes(4, "little") + text


STAMPS: dict[str, Callable[[bytes], bytes]] = {
    "JPEG": _jpeg_comment,
    "PNG": _png_comment,
    "GIF": _gif_comment,
    "WEBP": _webp_chunk,
}
PLACES = {"JPEG": 20, "PNG": 33, "GIF": -1}
"""Where a stamp goes: behind a JPEG's JFIF header, behind a PNG's header, ahead of a GIF's last byte."""


def cut(form: str, body: bytes) -> Drawing:
    """Return a whole picture file as a drawing that takes stamps."""
    if form == "WEBP":
        # Its stamp comes last, and the file's head tells the length of all that follows it.
        told = len(body) - 8 + len(_webp_chunk(bytes(STAMP_BYTES)))
        return Drawing(form, body[:4] + told.to_bytes(4, "little") + body[8:], b"")
    place = PLACES[form]
    return Drawing(form, body[:place], body[place:])
