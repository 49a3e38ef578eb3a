"""What can happen to a picture and to nothing else; `faults.py` says when it does."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import NamedTuple

from PIL import Image

from sandbox.answer import ENDLESS, Answer, answer_bytes
from sandbox.stamps import png_chunk

HTML = "text/html; charset=utf-8"
ELSEWHERE = "http://127.0.0.2:9/elsewhere.jpg"
"""Where a redirect leads unless a fault says otherwise: nobody listens there."""
HUGE_BYTES = 30_000_000
BOMB_SIDE = 30_000
FLIPPED_BYTES = 10


class Hit(NamedTuple):
    """The request that is struck: its address without the host, where a redirect leads, a source of chance."""

    path: str
    to: str
    rng: Random


Effect = Callable[[Answer, Hit], Answer]


def _placeholder() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (100, 100), (225, 225, 225)).save(out, "PNG")
    return out.getvalue()


def _bomb() -> bytes:
    """Return a whole black PNG of 900 million pixels, one bit each, in about 110 KB."""
    band, row_bytes = BOMB_SIDE // 100, 1 + BOMB_SIDE // 8
    # A flushed block stands for itself, so one band's is packed and repeated; of zeros only, the check sum is known.
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(row_bytes * 100)) + packer.flush(zlib.Z_FULL_FLUSH)
    check = (BOMB_SIDE * row_bytes % 65521) << 16 | 1
    pixels = b"\x78\xda" + block * band + b"\x03\x00" + check.to_bytes(4, "big")
    header = BOMB_SIDE.to_bytes(4, "big") * 2 + bytes((1, 0, 0, 0, 0))
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


PLACEHOLDER = _placeholder()
"""What the CDN shows in the place of a picture that is gone."""


def _instead(status: int, body: bytes, content_type: str = HTML) -> Effect:
    made = answer_bytes(body, status, content_type)
    return lambda answer, hit: made


def _wire(wire: str, zeros: int = 0) -> Effect:
    return lambda answer, hit: replace(answer, wire=wire, zeros=zeros)


def _truncated(answer: Answer, hit: Hit) -> Answer:
    return replace(answer, body=answer.body[: len(answer.body) * 2 // 3])


def _huge(answer: Answer, hit: Hit) -> Answer:
    return replace(answer, zeros=HUGE_BYTES - len(answer.body))


def _garbage(answer: Answer, hit: Hit) -> Answer:
    return answer_bytes(hit.rng.randbytes(len(answer.body)), 200, "image/jpeg")


def _flipped(answer: Answer, hit: Hit) -> Answer:
    body = bytearray(answer.body)
    middle = range(len(body) // 3, len(body) * 2 // 3)
    for place in hit.rng.sample(middle, min(FLIPPED_BYTES, len(middle))):
        body[place] ^= hit.rng.randint(1, 255)
    return replace(answer, body=bytes(body))


def _redirect(answer: Answer, hit: Hit) -> Answer:
    return _moved(hit.to)


def _redirect_inside(answer: Answer, hit: Hit) -> Answer:
    return _moved(f"{hit.path}{'&' if '?' in hit.path else '?'}redirected=1")


def _moved(location: str) -> Answer:
    return Answer(302, {"content-type": HTML, "location": location}, b"<html>Moved</html>")


PICTURE_EFFECTS: dict[str, Effect] = {
    "not_found": _instead(404, b"Not Found", "text/plain"),
    "gone": _instead(410, b"Gone", "text/plain"),
    "forbidden": _instead(403, b"<html><h1>403 Forbidden</h1></html>"),
    "placeholder": _instead(200, PLACEHOLDER, "image/png"),
    "truncated": _truncated,
    "long_length": _wire("long"),
    "short_length": _wire("short"),
    "endless": _wire("endless", ENDLESS),
    "huge": _huge,
    "bomb": _instead(200, _bomb(), "image/png"),
    "garbage": _garbage,
    "flipped": _flipped,
    "redirect": _redirect,
    "redirect_inside": _redirect_inside,
}
