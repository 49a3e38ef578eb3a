"""Pictures, their addresses, files and shards: whatever the bytes, a picture or a word for what is wrong."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import requests
from hypothesis import example
from hypothesis import strategies as st
from PIL import Image

from imaging.address import picture_url, redirect_url
from imaging.check import MOST_PIXELS, Refused, check_picture, digest_of
from imaging.layout import Store, number_of
from imaging.outcomes import OUTCOMES
from imaging.shards import ShardReader, ShardTrouble, ShardWriter
from tests.fuzz import odd
from tests.fuzz.budget import fuzz
from tests.fuzz.mutants import broken
from tests.fuzz.odd import TEXTS
from tests.fuzz.texts import files, written
from tests.unit.test_check import FORMS, MOVING, made, moving

# Pictures


@cache
def pictures() -> tuple[bytes, ...]:
    return (*map(made, FORMS), *map(moving, MOVING))


def enlarged(body: bytes, width: int, height: int) -> bytes:
    """Return the picture with another size in its header, every check sum right."""
    if body.startswith(b"\x89PNG"):
        header = b"IHDR" + struct.pack(">II", width, height) + body[24:29]
        return body[:12] + header + struct.pack(">I", zlib.crc32(header)) + body[33:]
    if body.startswith(b"GIF8"):
        return body[:6] + struct.pack("<HH", width % 65_536, height % 65_536) + body[10:]
    if body.startswith(b"\xff\xd8"):
        place = max(body.find(b"\xff\xc0"), body.find(b"\xff\xc2")) + 5
        return body[:place] + struct.pack(">HH", height % 65_536, width % 65_536) + body[place + 4 :]
    return body[:24] + struct.pack("<HH", width % 16_384, height % 16_384) + body[28:]


sizes = st.sampled_from((0, 1, 7_000, 7_072, 16_383, 65_535, 2**31 - 1, 2**32 - 1)) | st.integers(0, 2**32 - 1)
bodies = st.one_of(
    st.builds(broken, st.deferred(lambda: st.sampled_from(pictures())), st.integers(0, 2**48), st.integers(0, 4)),
    st.builds(enlarged, st.deferred(lambda: st.sampled_from(pictures())), sizes, sizes),
    st.binary(max_size=200),
)


@example(body=enlarged(made("lossless"), 2**32 - 1, 2**32 - 1))
@example(body=b"")
@fuzz("pictures", body=bodies)
def test_bytes_are_a_picture_within_the_limits_or_refused(body: bytes) -> None:
    try:
        picture = check_picture(body)
    except Refused as refused:
        assert refused.outcome in OUTCOMES
        return
    assert picture.width * picture.height <= MOST_PIXELS and picture.size_bytes == len(body)
    with Image.open(io.BytesIO(body)) as image:
        assert image.size == (picture.width, picture.height)


# Addresses

CDNS = ("https://i.etsystatic.com", "http://127.0.0.1:8000", "http://localhost:9/pictures")
OWN = "https://i.etsystatic.com/1/r/il/ab12/77/il_570xN.77_x1.jpg"
HOSTS = (
    *(
        "i.etsystatic.com",
        "127.0.0.1:8000",
        "localhost:9",
        "i.etsystatic.com.evil.example",
        "evil.example",
        "[::1]",
        "",
    ),
    *(
        "i.etsystatic.com@evil.example",
        "evil.example\\@i.etsystatic.com",
        "evil.example#@i.etsystatic.com",
        "I.ETSYSTATIC.COM",
    ),
    *(
        "i.etsystatic.com:80",
        "i.etsystatic.com:x",
        "i。etsystatic。com",
        "localhost:9\t",
        "ⓘ.etsystatic.com",
        "loca\u017fhost",
    ),
)
PATHS = (
    "/il/ab/7/x.jpg",
    "/../../etc",
    "/%2e%2e/x",
    "//evil.example/x",
    "/\\evil.example",
    "/x\r\nHost: evil",
    "",
    "/a b",
)
pieces = st.sampled_from(("http", "https", "HTTPS", "file", "javascript", "ftp", "http:http"))
addresses = st.one_of(
    st.builds("{}://{}{}".format, pieces, st.sampled_from(HOSTS), st.sampled_from(PATHS) | st.text(max_size=8)),
    st.builds(
        lambda seed, times: broken(OWN.encode(), seed, times).decode("utf-8", "replace"),
        st.integers(0, 2**48),
        st.integers(0, 3),
    ),
    st.sampled_from((*TEXTS, *PATHS, "//evil.example/x", "?x", "#x")) | st.text(max_size=20),
)


def stays_with(cdn: str, url: str) -> None:
    """AssertionError where a request for this address would go to anybody else."""
    assert url.isprintable() and " " not in url
    asked = requests.Request("GET", url).prepare().url
    assert asked is not None
    own, found = urlsplit(cdn), urlsplit(asked)
    assert (found.scheme, found.netloc.lower()) == (own.scheme, own.netloc), asked


@example(cdn=CDNS[0], kept="https://i.etsystatic.com\\@evil.example/x.jpg", hex_part="", suffix="")
@fuzz(
    "addresses",
    cdn=st.sampled_from(CDNS),
    kept=st.none() | addresses,
    hex_part=st.sampled_from(("ab12", "AB", "x")) | addresses,
    suffix=st.sampled_from(("x1", "A_-")) | st.text(max_size=5) | addresses,
)
def test_an_address_is_one_of_the_picture_host_or_refused(
    cdn: str, kept: str | None, hex_part: str, suffix: str
) -> None:
    makers: tuple[Callable[[], str], ...] = (
        lambda: picture_url(cdn, 77, hex_part, suffix, kept),
        lambda: redirect_url(cdn, f"{cdn}/il/ab/77/il_570xN.77_x1.jpg", kept or hex_part),
    )
    for make in makers:
        try:
            stays_with(cdn, make())
        except Refused as refused:
            assert refused.outcome in OUTCOMES


@example(name="9" * 19 + ".jpg")
@example(name="٣.jpg")
@fuzz(
    "file names",
    name=st.builds(
        "{}{}".format, st.integers(0, 10**20) | st.sampled_from(TEXTS), st.sampled_from((".jpg", ".png", "", ".JPG"))
    ),
)
def test_a_file_s_name_is_a_picture_s_number_or_none(name: str) -> None:
    number = number_of(name)
    assert number is None or (0 <= number < 2**63 and int(name.partition(".")[0]) == number)


def test_a_file_that_somebody_put_among_the_pictures_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "999"
    folder.mkdir()
    for name in ("9999999999999999999.jpg", "1999.jpg", "notes.txt", "-1.png"):
        (folder / name).touch()
    assert list(Store(tmp_path, "").numbers(999)) == [1999]


# Shards

SHARD = "raw-000000"


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Path]:
    with ShardWriter(tmp_path, SHARD) as writer:
        for image_id in (1, 2, 3):
            body = random.Random(image_id).randbytes(image_id * 300)
            writer.add(image_id, f"{image_id}.jpg", body, digest_of(body), 1_794_000_000)
        writer.finish()
    yield tmp_path


def index_of(folder: Path) -> Path:
    return folder / f"{SHARD}.index.json"


def within(most: int) -> Callable[[], None]:
    """Return what is called between two pictures, and fails where there is no end."""
    left = iter(range(most))

    def between() -> None:
        assert next(left, None) is not None, "no end in sight"

    return between


def is_sound(folder: Path) -> None:
    """Do all that is done with a shard; AssertionError where it gives other bytes than it stored, or other names."""
    reader = ShardReader(folder)
    try:
        for member in reader.members(SHARD):
            assert number_of(member.name) == member.image_id, "the name becomes a path"
            try:
                assert digest_of(reader.read(SHARD, member.image_id)) == member.digest
            except ShardTrouble as trouble:
                assert SHARD in str(trouble)
        reader.is_whole(SHARD)
        reader.check(SHARD, within(1_000))
    except ShardTrouble as trouble:
        assert SHARD in trouble.words()
    assert len(reader.sound_members(SHARD, within(1_000))) <= 1_000
    reader.close()


INDEX = {
    "version": 1,
    "tar_bytes": 10_240,
    "members": [[1, "1.jpg", 512, 300, "0" * 32], [2, "2.jpg", 1536, 600, "0" * 32], [3, "3.jpg", 2560, 900, "0" * 32]],
}


def index(*member: Any, tar_bytes: Any = 10_240) -> bytes:
    return orjson.dumps({"version": 1, "tar_bytes": tar_bytes, "members": [list(member)]})


@example(content=index([1], "1.jpg", 512, 300, ""))
@example(content=index(1, "../../../kept.jpg", 512, 300, ""))
@example(content=index(1, "1.jpg", 512, 2**62, ""))
@example(content=index(1, "1.jpg", 2**64 - 1, 300, ""))
@example(content=index(1, "1.jpg", 512, -5, ""))
@example(content=b'{"version": 1, "tar_bytes": 1e999, "members": []}')
@example(content=b"[" * 100_000)
@fuzz(
    "shards",
    content=files(INDEX)
    | odd.made(lambda row: written({**INDEX, "members": [row]}), st.lists(odd.values, min_size=5, max_size=5)),
)
def test_any_index_reads_what_was_stored_or_says_what_is_wrong(shard: Path, content: bytes) -> None:
    index_of(shard).write_bytes(content)
    is_sound(shard)


def forged(tar: bytes, member: int, place: int, told: bytes) -> bytes:
    """Return the tar with other bytes in a member's header, its check sum right."""
    block = (0, 1024, 2560)[member]
    header = bytearray(tar[block : block + 512])
    header[place : place + len(told)] = told
    header = header[:512]
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return tar[:block] + bytes(header) + tar[block + 512 :]


fields = st.sampled_from((0, 100, 108, 124, 124, 124, 136, 156, 257, 345))
told = st.sampled_from(
    (b"\xff" * 12, b"\x80" + b"\x7f" * 11, b"77777777777\0", b"S", b"L", b"x", b"../../x", b"", b"-1")
) | st.binary(max_size=12)


@example(forging=[(0, 124, b"\xff" * 11 + b"\x00")], seed=0, times=0)
@fuzz(
    "tars",
    forging=st.lists(st.tuples(st.integers(0, 2), fields, told), max_size=3),
    seed=st.integers(0, 2**48),
    times=st.integers(0, 2),
)
def test_any_tar_gives_an_index_of_what_can_be_read(
    shard: Path, forging: list[tuple[int, int, bytes]], seed: int, times: int
) -> None:
    path = shard / f"{SHARD}.tar"
    whole, before = path.read_bytes(), index_of(shard).read_bytes()
    tar = whole
    for one in forging:
        tar = forged(tar, *one)
    path.write_bytes(broken(tar, seed, times))
    try:
        reader = ShardReader(shard)
        for member in reader.rebuild_index(SHARD, within(2_000)):
            assert digest_of(reader.read(SHARD, member.image_id)) == member.digest
        reader.close()
        is_sound(shard)
    finally:
        path.write_bytes(whole)
        index_of(shard).write_bytes(before)
