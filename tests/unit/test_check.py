"""Whether bytes are a whole picture: all of Pillow's forms, every cut, and what is made to hurt."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import zlib
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from imaging.check import MOST_BYTES, MOST_PIXELS, Refused, check_picture
from imaging.outcomes import OUTCOMES

FORMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "baseline": ("JPEG", "RGB", {}),
    "progressive": ("JPEG", "RGB", {"progressive": True}),
    "grey": ("JPEG", "L", {}),
    "for print": ("JPEG", "CMYK", {}),
    "lossless": ("PNG", "RGB", {}),
    "transparent": ("PNG", "RGBA", {}),
    "palette": ("PNG", "P", {}),
    "one bit": ("PNG", "1", {}),
    "gif": ("GIF", "P", {}),
    "webp": ("WEBP", "RGB", {}),
    "lossless webp": ("WEBP", "RGBA", {"lossless": True}),
}
MOVING = ("GIF", "PNG", "WEBP")


def drawn(mode: str = "RGB", size: tuple[int, int] = (83, 61), seed: int = 1) -> Image.Image:
    small = Image.frombytes("RGB", (30, 30), random.Random(seed).randbytes(2700))
    return small.resize(size).convert(mode)


def encoded(image: Image.Image, picture_format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, picture_format, **options)
    return out.getvalue()


@cache
def made(form: str, seed: int = 1) -> bytes:
    picture_format, mode, options = FORMS[form]
    size = (300, 200) if mode == "1" else (83, 61)
    return encoded(drawn(mode, size, seed), picture_format, **options)


@cache
def moving(picture_format: str, frames: int = 3) -> bytes:
    first, *others = [drawn(seed=seed) for seed in range(frames)]
    return encoded(first, picture_format, save_all=True, append_images=others)


def refusal(body: bytes) -> str:
    with pytest.raises(Refused) as caught:
        check_picture(body)
    return caught.value.outcome


def accepts(body: bytes) -> bool:
    try:
        check_picture(body)
    except Refused as refused:
        assert refused.outcome in OUTCOMES
        return False
    return True


# What is whole


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_picture_is_told_as_pillow_and_b2sum_tell_it(form: str) -> None:
    body = made(form)
    picture = check_picture(body)
    with Image.open(io.BytesIO(body)) as image:
        assert (picture.format, picture.width, picture.height) == (str(image.format).lower(), *image.size)
    assert (picture.size_bytes, picture.digest) == (len(body), hashlib.blake2b(body, digest_size=16).hexdigest())


@pytest.mark.parametrize("picture_format", MOVING)
def test_a_picture_that_moves_is_whole_with_the_size_of_its_screen(picture_format: str) -> None:
    picture = check_picture(moving(picture_format))
    assert (picture.format, picture.width, picture.height) == (picture_format.lower(), 83, 61)


def test_a_jpeg_with_a_second_picture_behind_it_as_phones_write_it_is_a_jpeg() -> None:
    body = encoded(drawn(), "MPO", save_all=True, append_images=[drawn(size=(40, 30))])
    picture = check_picture(body)
    assert (picture.format, picture.width, picture.height) == ("jpeg", 83, 61)


def test_as_many_bytes_and_pixels_as_are_allowed_are_allowed() -> None:
    jpeg = made("baseline")
    assert check_picture(jpeg + bytes(MOST_BYTES - len(jpeg))).size_bytes == MOST_BYTES
    widest = encoded(Image.new("1", (10_000, MOST_PIXELS // 10_000)), "PNG")
    assert check_picture(widest).height == MOST_PIXELS // 10_000


# What is cut or changed


def cuts_that_pass(body: bytes, up_to: int) -> list[int]:
    """Return which of these lengths pass for a whole picture: the last 250 one by one, of the others each 97th."""
    lengths = [*range(0, up_to - 250, 97), *range(up_to - 250, up_to)]
    return [length for length in lengths if accepts(body[:length])]


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_that_lacks_its_end_by_any_number_of_bytes_is_refused(form: str) -> None:
    assert cuts_that_pass(made(form), len(made(form))) == []


@pytest.mark.parametrize("form", ["baseline", "grey", "for print", "progressive"])
def test_a_jpeg_without_its_end_marker_is_refused_however_its_last_bits_lie(form: str) -> None:
    """One in ten decodes to its last pixel without the marker's two bytes."""
    bodies = [made(form, seed) for seed in range(60)]
    assert [seed for seed, body in enumerate(bodies) if accepts(body[:-2]) or accepts(body[:-1])] == []


@pytest.mark.parametrize("picture_format", MOVING)
def test_a_picture_that_moves_and_lacks_its_end_is_refused(picture_format: str) -> None:
    """A GIF's frames begin after a block of control: `21 F9`; right before one, nothing inside the file is cut."""
    body = moving(picture_format)
    ends = {place for place in range(len(body)) if body[place : place + 3] == b"\x21\xf9\x04"}
    lengths = sorted({*range(0, len(body), 211), *range(len(body) - 40, len(body)), *ends})
    assert [length for length in lengths if accepts(body[:length])] == []


@given(st.sampled_from(sorted(FORMS)), st.data())
@settings(max_examples=60, deadline=None)
def test_changed_bytes_never_break_the_check_itself(form: str, data: st.DataObject) -> None:
    """Whether they are seen depends on the format; that an outcome or a picture comes of them does not."""
    body = bytearray(made(form))
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=8)):
        body[place] = data.draw(st.integers(0, 255))
    accepts(bytes(body))


@pytest.mark.parametrize("form", ["lossless", "transparent", "palette"])
def test_a_changed_byte_in_a_png_s_pixels_is_seen(form: str) -> None:
    body = bytearray(made(form))
    body[len(body) // 2] ^= 0x55
    assert not accepts(bytes(body))


@given(st.binary(max_size=3000))
@example(b"")
@example(b"\xff\xd8\xff")
@example(b"GIF89a")
@example(b"\x89PNG\r\n\x1a\n")
@example(b"RIFF\0\0\0\0WEBP")
@settings(max_examples=100, deadline=None)
def test_what_is_no_picture_is_refused_whatever_it_is(body: bytes) -> None:
    assert not accepts(body)


def half(body: bytes) -> bytes:
    return body[: len(body) // 2]


WRONG: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not_a_picture"),
    "zeros": (bytes(5000), "not_a_picture"),
    "a page": (b"<html><body>Please wait</body></html>", "html"),
    "a page in capitals after blanks": (b"\r\n  <!DOCTYPE HTML>" + b" " * 2000, "html"),
    "a drawing in XML": (b"<?xml version='1.0'?><svg/>", "html"),
    "a BMP": (encoded(drawn(), "BMP"), "not_a_picture"),
    "a TIFF": (encoded(drawn(), "TIFF"), "not_a_picture"),
    "the host's placeholder": (encoded(Image.new("RGB", (100, 100), (225, 225, 225)), "PNG"), "placeholder"),
    "a pixel": (encoded(Image.new("P", (1, 1)), "GIF"), "placeholder"),
    "half a JPEG": (half(made("baseline")), "wrong_length"),
    "half a WebP": (half(made("webp")), "wrong_length"),
    "half a PNG": (half(made("lossless")), "wrong_length"),
    "a byte too many": (bytes(MOST_BYTES + 1), "too_large"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_has_a_name(what: str) -> None:
    body, outcome = WRONG[what]
    assert refusal(body) == outcome


# What is made to hurt: a few bytes that say they are a wall of pixels


def declared_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def declared_jpeg(width: int, height: int) -> bytes:
    body = bytearray(made("baseline"))
    place = body.index(b"\xff\xc0")
    struct.pack_into(">HH", body, place + 5, height, width)
    return bytes(body)


def declared_gif(width: int, height: int) -> bytes:
    body = bytearray(made("gif"))
    struct.pack_into("<HH", body, 6, width, height)
    return bytes(body)


def declared_webp(width: int, height: int) -> bytes:
    body = bytearray(made("webp"))
    assert body[12:16] == b"VP8 "
    struct.pack_into("<HH", body, 26, width, height)
    return bytes(body)


WALLS = {"png": declared_png, "jpeg": declared_jpeg, "gif": declared_gif, "webp": declared_webp}


@pytest.mark.parametrize(("width", "height"), [(7_072, 7_071), (9_500, 9_500), (16_000, 16_000)])
@pytest.mark.parametrize("picture_format", WALLS)
def test_a_picture_that_says_it_is_a_wall_is_refused_before_it_is_decoded(
    picture_format: str, width: int, height: int
) -> None:
    """Just over the limit; where Pillow warns; and where Pillow itself refuses."""
    assert refusal(WALLS[picture_format](width, height)) == "too_many_pixels"


@pytest.mark.parametrize("picture_format", ["png", "jpeg", "gif"])
def test_30_000_times_30_000_pixels_are_refused(picture_format: str) -> None:
    assert refusal(WALLS[picture_format](30_000, 30_000)) == "too_many_pixels"


def blank_frame(side: int) -> bytes:
    """Return one frame of a GIF, from its descriptor to its last block."""
    body = encoded(Image.new("P", (side, side)), "GIF")
    return body[body.index(b"\x2c", 13) : -1]


def gif_of(screen: int, *frames: bytes) -> bytes:
    body = encoded(Image.new("P", (1, 1)), "GIF")
    head = bytearray(body[: body.index(b"\x2c", 13)])
    struct.pack_into("<HH", head, 6, screen, screen)
    return bytes(head) + b"".join(frames) + b";"


def test_many_frames_that_together_are_a_wall_are_refused() -> None:
    assert refusal(gif_of(5_000, *[blank_frame(1)] * 10)) == "too_many_pixels"


def test_a_later_frame_that_is_a_wall_is_refused() -> None:
    assert refusal(gif_of(1, blank_frame(1), blank_frame(7_200))) == "too_many_pixels"
