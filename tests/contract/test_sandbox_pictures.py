"""The sandbox's CDN on a socket: every way in which it can misbehave, what it counts, and how it is enumerated."""

from __future__ import annotations

import io
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import pytest
import requests
from PIL import Image

from sandbox import Answer, Fault, PictureAddress, Sandbox, SandboxServer, SandboxSettings
from sandbox.commands import main
from sandbox.faults import EFFECTS, JSON_ONLY, WrongFault, parse_fault
from sandbox.picture_faults import BOMB_SIDE, HUGE_BYTES, PICTURE_EFFECTS
from tests.waiting import eventually

Arm = Callable[..., None]


def grown(**settings: Any) -> Sandbox:
    defaults: dict[str, Any] = {"listings": 60, "shops": 8, "reviews_per_shop": 1, "dead_pictures": 0, "odd_formats": 0}
    return Sandbox(SandboxSettings(**{**defaults, **settings}))


def path_of(picture: PictureAddress) -> str:
    name = f"il_570xN.{picture.image_id}_{picture.suffix}.jpg"
    return f"/il/{picture.hex}/{picture.image_id}/{name}"


def paths(sandbox: Sandbox, count: int) -> list[str]:
    return [path_of(picture) for picture in sandbox.picture_addresses(count)]


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with SandboxServer(grown()) as running:
        yield running


@pytest.fixture
def path(server: SandboxServer) -> str:
    return paths(server.sandbox, 1)[0]


@pytest.fixture
def good(server: SandboxServer, path: str) -> bytes:
    """What the picture is on a good day."""
    body = server.sandbox.picture(path).body
    server.sandbox.picture_ids.clear()
    server.sandbox.picture_calls.clear()
    return body


@pytest.fixture
def arm(server: SandboxServer) -> Arm:
    def add(name: str, **more: Any) -> None:
        server.sandbox.faults.add(Fault(name, endpoint="picture", **{"count": 1, **more}))

    return add


class Head(NamedTuple):
    """The head of an answer as it came over the wire."""

    status: int
    headers: dict[str, str]


class Raw:
    """A client that takes nothing for granted: it sends a request and reads bytes."""

    def __init__(self, server: SandboxServer) -> None:
        self._socket = socket.create_connection((server.host, server.port), 10)
        self._left = b""

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, path: str, *headers: str) -> None:
        self._socket.sendall("\r\n".join((f"GET /cdn{path} HTTP/1.1", "host: cdn", *headers, "", "")).encode())

    def head(self) -> Head:
        while b"\r\n\r\n" not in self._left:
            assert self._more(), "the connection ended in the head"
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        return Head(int(first.split(" ")[1]), dict(line.split(": ", 1) for line in lines))

    def take(self, count: int) -> bytes:
        """Return so many bytes, fewer where the connection ends before."""
        while len(self._left) < count and self._more():
            pass
        taken, self._left = self._left[:count], self._left[count:]
        return taken

    def rest(self) -> bytes:
        """Return all that comes until the connection ends."""
        while self._more():
            pass
        taken, self._left = self._left, b""
        return taken

    def _more(self) -> bool:
        data = self._socket.recv(1 << 18)
        self._left += data
        return bool(data)


@pytest.fixture
def raw(server: SandboxServer) -> Iterator[Raw]:
    with Raw(server) as client:
        yield client


def serves_again(raw: Raw, path: str, good: bytes) -> bool:
    """Tell whether the connection is still good for a whole picture."""
    raw.ask(path)
    head = raw.head()
    return head.status == 200 and raw.take(int(head.headers["content-length"])) == good


# Faults that speak


@pytest.mark.parametrize(
    ("name", "status", "content_type", "words"),
    [
        ("not_found", 404, "text/plain", b"Not Found"),
        ("gone", 410, "text/plain", b"Gone"),
        ("forbidden", 403, "text/html; charset=utf-8", b"403 Forbidden"),
        ("html", 200, "text/html; charset=utf-8", b"<html>"),
        ("server_error", 500, "application/json", b"Server Error"),
        ("bad_gateway", 502, "text/html; charset=utf-8", b"502 Bad Gateway"),
        ("unavailable", 503, "text/html; charset=utf-8", b"busy"),
        ("per_second_429", 429, "application/json", b"Exceeded per second rate limit"),
    ],
)
def test_a_fault_that_speaks_does_so_and_keeps_the_connection(
    raw: Raw, arm: Arm, path: str, good: bytes, name: str, status: int, content_type: str, words: bytes
) -> None:
    arm(name)
    raw.ask(path)
    head = raw.head()
    assert (head.status, head.headers["content-type"]) == (status, content_type)
    assert words in raw.take(int(head.headers["content-length"]))
    assert serves_again(raw, path, good)


def test_a_429_says_when_to_come_back(raw: Raw, arm: Arm, path: str) -> None:
    arm("per_second_429")
    raw.ask(path)
    assert raw.head().headers["retry-after"] == "1"


# Faults of the body


def test_a_placeholder_is_a_whole_png_of_less_than_a_kilobyte(raw: Raw, arm: Arm, path: str, good: bytes) -> None:
    arm("placeholder")
    raw.ask(path)
    head = raw.head()
    body = raw.take(int(head.headers["content-length"]))
    image = Image.open(io.BytesIO(body))
    image.load()
    assert (head.status, image.format) == (200, "PNG")
    assert len(body) < 1024
    assert serves_again(raw, path, good)


def test_a_truncated_picture_is_whole_http(raw: Raw, arm: Arm, path: str, good: bytes) -> None:
    arm("truncated")
    raw.ask(path)
    head = raw.head()
    assert (head.status, head.headers["content-type"]) == (200, "image/jpeg")
    body = raw.take(int(head.headers["content-length"]))
    assert body == good[: len(good) * 2 // 3]
    with pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(body)).load()
    assert serves_again(raw, path, good)


def test_garbage_is_as_long_as_the_picture_and_is_none(raw: Raw, arm: Arm, path: str, good: bytes) -> None:
    arm("garbage")
    raw.ask(path)
    head = raw.head()
    assert (head.status, head.headers["content-type"]) == (200, "image/jpeg")
    assert int(head.headers["content-length"]) == len(good)
    body = raw.take(len(good))
    assert body[:2] != good[:2]
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(body))
    assert serves_again(raw, path, good)


def test_a_flipped_picture_differs_in_ten_bytes_of_its_middle_third(raw: Raw, arm: Arm, path: str, good: bytes) -> None:
    arm("flipped")
    raw.ask(path)
    assert int(raw.head().headers["content-length"]) == len(good)
    body = raw.take(len(good))
    changed = [place for place, (new, old) in enumerate(zip(body, good, strict=True)) if new != old]
    assert len(changed) == 10
    assert all(len(good) // 3 <= place < len(good) * 2 // 3 for place in changed)
    assert serves_again(raw, path, good)


def test_a_bomb_is_a_small_whole_png_of_900_million_pixels(
    raw: Raw, arm: Arm, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm("bomb")
    raw.ask(path)
    head = raw.head()
    body = raw.take(int(head.headers["content-length"]))
    assert (head.status, head.headers["content-type"]) == (200, "image/png")
    assert 1024 < len(body) < 200_000
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(body))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    image = Image.open(io.BytesIO(body))
    assert image.size == (BOMB_SIDE, BOMB_SIDE)
    image.verify()


def test_a_huge_picture_is_30_million_bytes_and_the_connection_goes_on(
    raw: Raw, arm: Arm, path: str, good: bytes
) -> None:
    arm("huge")
    raw.ask(path)
    head = raw.head()
    assert (head.status, head.headers["content-length"]) == (200, str(HUGE_BYTES))
    assert raw.take(len(good)) == good
    left = HUGE_BYTES - len(good)
    while left:
        piece = raw.take(min(left, 1 << 18))
        assert piece.strip(b"\0") == b""
        left -= len(piece)
    assert serves_again(raw, path, good)


# Faults of the wire


def test_a_long_length_promises_a_thousand_bytes_that_never_come(raw: Raw, arm: Arm, path: str, good: bytes) -> None:
    arm("long_length")
    raw.ask(path)
    assert raw.head().headers["content-length"] == str(len(good) + 1000)
    assert raw.rest() == good


def test_a_short_length_leaves_a_thousand_bytes_ahead_of_the_next_answer(
    raw: Raw, arm: Arm, path: str, good: bytes
) -> None:
    arm("short_length")
    raw.ask(path)
    head = raw.head()
    assert int(head.headers["content-length"]) == len(good) - 1000
    assert raw.take(len(good) - 1000) + raw.take(1000) == good
    assert serves_again(raw, path, good)


def test_an_endless_picture_goes_on_until_the_client_leaves(
    server: SandboxServer, raw: Raw, arm: Arm, path: str, good: bytes
) -> None:
    arm("endless")
    raw.ask(path)
    head = raw.head()
    assert head.status == 200
    assert "content-length" not in head.headers
    assert head.headers["connection"] == "close"
    assert raw.take(len(good)) == good
    tracemalloc.start()
    try:
        for _ in range(200):
            assert raw.take(1 << 18).strip(b"\0") == b""
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20  # of the client and the server, which are one process here
    raw.__exit__()
    assert eventually(lambda: not server._open)
    assert requests.get(server.cdn_url + path, timeout=10).content == good


def test_an_endless_picture_ends_with_the_server() -> None:
    sandbox = grown()
    sandbox.faults.add(Fault("endless", endpoint="picture"))
    before = threading.active_count()
    with SandboxServer(sandbox) as server:
        raw = Raw(server)
        raw.ask(paths(sandbox, 1)[0])
        raw.head()
        # Nobody reads on, so the server waits in its send when it is stopped.
        time.sleep(0.1)
    with raw:
        assert eventually(lambda: threading.active_count() == before)


def test_a_timeout_answers_nothing_and_ends(raw: Raw, arm: Arm, path: str, good: bytes) -> None:
    arm("timeout", seconds=0.1)
    start = time.monotonic()
    raw.ask(path)
    assert raw.rest() == b""
    assert time.monotonic() - start >= 0.1


def test_a_reset_breaks_the_connection(raw: Raw, arm: Arm, path: str) -> None:
    arm("reset")
    raw.ask(path)
    with pytest.raises(ConnectionResetError):
        raw.rest()


def test_a_cut_body_ends_half_way(raw: Raw, arm: Arm, path: str, good: bytes) -> None:
    arm("cut_body")
    raw.ask(path)
    assert raw.head().headers["content-length"] == str(len(good))
    assert raw.rest() == good[: len(good) // 2]


@pytest.mark.parametrize("name", ["slow", "drip"])
def test_a_slow_and_a_dripping_picture_come_whole_but_late(
    raw: Raw, arm: Arm, path: str, good: bytes, name: str
) -> None:
    arm(name, seconds=0.5)
    start = time.monotonic()
    raw.ask(path)
    raw.head()
    begun = time.monotonic() - start
    assert raw.take(len(good)) == good
    assert time.monotonic() - start >= 0.49
    assert (begun >= 0.5) == (name == "slow")
    assert serves_again(raw, path, good)


# Redirects


def test_a_redirect_leads_where_the_fault_says(raw: Raw, arm: Arm, path: str, good: bytes) -> None:
    for more, location in (({}, "http://127.0.0.2:9/elsewhere.jpg"), ({"to": "http://x.test/1"}, "http://x.test/1")):
        arm("redirect", **more)
        raw.ask(path)
        head = raw.head()
        assert (head.status, head.headers["location"]) == (302, location)
        raw.take(int(head.headers["content-length"]))
        assert serves_again(raw, path, good)


def test_a_redirect_inside_leads_to_the_same_picture_and_not_round_and_round(
    server: SandboxServer, arm: Arm, path: str, good: bytes
) -> None:
    arm("redirect_inside", count=None)
    for asked, leads_to in (
        (path, f"{path}?redirected=1"),
        (f"{path}?version=0", f"{path}?version=0&redirected=1"),
    ):
        answer = requests.get(server.cdn_url + asked, timeout=10)
        assert answer.content == good
        assert [step.status_code for step in answer.history] == [302]
        assert answer.history[0].headers["location"] == "/cdn" + leads_to
    assert server.sandbox.picture_calls == {302: 2, 200: 2}
    assert server.sandbox.faults.struck() == {"redirect_inside": 2}


# When faults strike, and what is refused


def test_a_fault_meant_for_one_picture_strikes_no_other() -> None:
    sandbox = grown()
    one, other = sandbox.picture_addresses(2)
    sandbox.faults.add(parse_fault(f"gone:endpoint=picture,image_id={one.image_id}"))
    assert [sandbox.picture(path_of(picture)).status for picture in (one, other, one)] == [410, 200, 410]


def test_a_fault_meant_for_one_picture_goes_by_the_address_even_where_it_leads_nowhere() -> None:
    sandbox = grown()
    sandbox.faults.add(Fault("gone", endpoint="picture", match={"image_id": "123"}))
    assert sandbox.picture("/il/000000/123/il_570xN.123_aaaa.jpg").status == 410
    assert sandbox.picture("/il/000000/124/il_570xN.124_aaaa.jpg").status == 404


def test_every_fault_of_pictures_strikes_any_answer_of_the_cdn() -> None:
    sandbox = grown(dead_pictures=1.0)
    addresses = [*paths(sandbox, 20), "/il/nothing.jpg"]
    for name in [*PICTURE_EFFECTS, *(EFFECTS.keys() - JSON_ONLY)]:
        sandbox.faults.clear()
        sandbox.faults.add(Fault(name, endpoint="picture"))
        assert all(isinstance(sandbox.picture(address), Answer) for address in addresses)
        assert sandbox.faults.struck()[name] == len(addresses)


@pytest.mark.parametrize("name", sorted(PICTURE_EFFECTS))
def test_a_fault_of_pictures_needs_their_endpoint(name: str, server: SandboxServer) -> None:
    for endpoint in (None, "getShop"):
        with pytest.raises(WrongFault, match=f"The fault {name} strikes pictures only"):
            Fault(name, endpoint=endpoint)
        refused = requests.post(f"{server.url}/sandbox/fault", json={"name": name, "endpoint": endpoint}, timeout=10)
        assert refused.status_code == 400
        assert "endpoint=picture" in refused.json()["error"]
    assert parse_fault(f"{name}:endpoint=picture") == Fault(name, "picture")
    taken = requests.post(f"{server.url}/sandbox/fault", json={"name": name, "endpoint": "picture"}, timeout=10)
    assert (taken.status_code, taken.json()["name"]) == (200, name)


@pytest.mark.parametrize("name", sorted(JSON_ONLY))
def test_a_fault_of_json_cannot_strike_pictures(name: str) -> None:
    with pytest.raises(WrongFault, match="needs JSON"):
        Fault(name, endpoint="picture")


def test_the_command_line_takes_pictures_faults_and_latency(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_fault("redirect:endpoint=picture,to=http://x.test/?a=b") == Fault(
        "redirect", "picture", to="http://x.test/?a=b"
    )
    assert main(["--fault", "gone"]) == 2
    assert "needs endpoint=picture" in capsys.readouterr().err
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "--picture-latency" in shown
    assert all(name in shown for name in PICTURE_EFFECTS)


# Latency


def test_the_latency_of_pictures_is_theirs_alone_and_is_waited_for_side_by_side() -> None:
    sandbox = grown(picture_latency_seconds=0.3, latency_seconds=7.0)
    path = paths(sandbox, 1)[0]
    sandbox.picture(path)
    sandbox.faults.add(Fault("server_error", endpoint="picture", count=1))
    with SandboxServer(sandbox) as server:
        start = time.monotonic()
        clients = [Raw(server) for _ in range(6)]
        for client in clients:
            client.ask(path)
        statuses = sorted(client.head().status for client in clients)
        took = time.monotonic() - start
        for client in clients:
            client.__exit__()
    assert statuses == [200] * 5 + [500]
    assert 0.3 <= took < 1.2


# What is counted


def test_what_is_asked_of_the_cdn_is_counted_and_told(server: SandboxServer) -> None:
    sandbox = server.sandbox
    one, other = sandbox.picture_addresses(2)
    unknown = "/il/000000/77/il_570xN.77_aaaa.jpg"
    with Raw(server) as first, Raw(server) as second, Raw(server):
        for raw, path in ((first, path_of(one)), (second, path_of(other)), (first, unknown), (first, "/x.jpg")):
            raw.ask(path, "X-Api-Key: secret") if raw is second else raw.ask(path)
            raw.take(int(raw.head().headers["content-length"]))
        told = requests.get(f"{server.url}/sandbox/stats", headers={"x-api-key": "k"}, timeout=10).json()
    assert told["pictures"] == {"200": 2, "404": 2}
    assert told["picture_ids"] == sandbox.picture_ids == [one.image_id, other.image_id, 77]
    assert told["keys_sent_to_cdn"] == sandbox.keys_sent_to_cdn == 1
    assert told["picture_connections"] == sandbox.picture_connections == 2


# Which pictures there are


def test_the_addresses_are_those_of_the_truth_each_once_and_in_order() -> None:
    sandbox = grown(listings=300)
    found = list(sandbox.picture_addresses(10**6))
    assert len(set(found)) == len({picture.image_id for picture in found}) == len(found)
    assert found == [*sandbox.picture_addresses(10**6)]
    assert found[:7] == list(sandbox.picture_addresses(7))
    assert list(sandbox.picture_addresses(0)) == []
    truth = sandbox.truth()
    addresses = {image["url_570xN"].partition("/il/")[2] for images in truth.images.values() for image in images}
    assert {path_of(picture).removeprefix("/il/") for picture in found} == addresses
    for listing_id, image_id, _, _, rank, shop_id in found:
        assert f"/{image_id}/" in truth.images[listing_id][rank - 1]["url_570xN"]
        assert truth.listings[listing_id]["shop_id"] == shop_id
    assert {sandbox.picture(path_of(picture)).status for picture in islice(found, 0, None, 50)} == {200}


# Few drawings under many addresses


@pytest.mark.parametrize("odd_formats", [0.0, 1.0])
def test_stamped_pictures_are_whole_files_of_their_format_that_differ_in_bytes_only(odd_formats: float) -> None:
    sandbox = grown(distinct_pictures=1, odd_formats=odd_formats)
    answers = [sandbox.picture(path) for path in paths(sandbox, 24)]
    assert len({answer.body for answer in answers}) == len({answer.headers["etag"] for answer in answers}) == 24
    shown: dict[str, set[bytes]] = {}
    for answer in answers:
        image = Image.open(io.BytesIO(answer.body))
        assert image.format is not None
        assert answer.headers["content-type"] == f"image/{image.format.lower()}"
        assert answer.body.endswith({"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82", "GIF": b";"}.get(image.format, b""))
        if image.format == "WEBP":
            assert int.from_bytes(answer.body[4:8], "little") == len(answer.body) - 8
        if image.format == "PNG":
            Image.open(io.BytesIO(answer.body)).verify()
        shown.setdefault(image.format, set()).add(image.convert("RGB").tobytes())
    assert shown.keys() == ({"PNG", "GIF", "WEBP"} if odd_formats else {"JPEG"})
    assert {len(pictures) for pictures in shown.values()} == {1}


def test_memory_stays_flat_over_many_distinct_pictures() -> None:
    sandbox = grown(listings=1500, distinct_pictures=3, odd_formats=0.1)
    addresses = paths(sandbox, 6000)
    assert len(addresses) == 6000
    for path in addresses[:500]:
        sandbox.picture(path)
    tracemalloc.start()
    try:
        for path in addresses[500:]:
            sandbox.picture(path)
        grown_by, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown_by < 1 << 20
