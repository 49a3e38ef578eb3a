"""Pictures over HTTP, in this process: what the host can do to them, what is asked of it, and what lies on the disk."""

from __future__ import annotations

import contextlib
import io
import resource
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imaging.check import MOST_BYTES, Refused, digest_of
from imaging.crew import STORING
from imaging.download import Standing
from imaging.fetch import Fetcher
from imaging.layout import Layout, Store
from imaging.outcomes import OUTCOMES, pause_seconds
from imaging.store.queue import Wanted
from imaging.wiring import build_downloads
from imaging.worker import Brought, PictureWorker, Result
from runtime.clock import SystemClock, iso
from runtime.settings import load_settings
from runtime.stop import Stop
from sandbox import Fault, Sandbox, SandboxServer, SandboxSettings
from tests.pictures import CHEAP, Shown, draw_ahead, enqueue, files, open_home, sent, shown, troubles

SOON = 20.0  # seconds; far more than anything here takes


class TurnedClock(SystemClock):
    """The computer's clocks, `speed` times as fast and as much ahead as a test has turned them."""

    def __init__(self, speed: float = 1.0) -> None:
        self._ahead = 0.0
        self._speed = speed

    def now(self) -> float:
        return super().now() + self._ahead

    def monotonic(self) -> float:
        return super().monotonic() * self._speed + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


class Bench:
    """A picture host, a folder, and one worker between them."""

    def __init__(self, folder: Path, server: SandboxServer, clock: TurnedClock | None = None) -> None:
        self.sandbox = server.sandbox
        self.cdn_url = server.cdn_url
        self.clock = clock or TurnedClock()
        self.stop = Stop(self.clock, (folder / "KILL",))
        self.layout = Layout(folder / "images")
        self.store: Store = self.layout.downloaded
        self.store.prepare()
        self.pictures = shown(self.sandbox, 12)
        fetcher = Fetcher(self.cdn_url, self.clock, self.stop)
        self.worker = PictureWorker(self.cdn_url, fetcher, self.store, self.clock)

    def trouble(self, name: str, picture: Shown | None = None, **told: Any) -> None:
        """Arm a fault of pictures; with a picture, for that one alone."""
        match = {"image_id": str(picture.image_id)} if picture else {}
        self.sandbox.faults.add(Fault(name, endpoint="picture", match=match, **told))

    def one(self, asked: Wanted) -> Result | None:
        """Fetch and store one picture, as the crew's threads do; None where a stop came first."""
        come = self.worker.fetch(asked)
        return self.worker.store(come) if isinstance(come, Brought) else come

    def bring(self, picture: Shown, **told: Any) -> Result:
        result = self.one(wanted(picture, **told))
        assert result is not None
        return result


def wanted(picture: Shown, **told: Any) -> Wanted:
    values = {"url": None, "attempts": 0, "digest": None, **told}
    return Wanted(picture.image_id, picture.hex, picture.suffix, **values)


@pytest.fixture(scope="module")
def market() -> Sandbox:
    sandbox = Sandbox(SandboxSettings(**CHEAP))
    draw_ahead(sandbox)
    return sandbox


@pytest.fixture
def server(market: Sandbox) -> Iterator[SandboxServer]:
    """Serve the one market, with nothing counted and nothing in its way."""
    market.faults.clear()
    market.picture_ids.clear()
    market.picture_connections = market.keys_sent_to_cdn = 0
    with SandboxServer(market) as started:
        yield started


@pytest.fixture
def bench(tmp_path: Path, server: SandboxServer) -> Bench:
    return Bench(tmp_path, server)


# A picture that comes


def test_a_picture_lies_whole_under_its_name_with_the_time_of_its_row(bench: Bench) -> None:
    picture = bench.pictures[0]
    result = bench.bring(picture)
    body = sent(bench.sandbox, picture)
    assert result.path == bench.store.path(picture.image_id, "jpeg")
    assert result.path.read_bytes() == body
    assert result.picture is not None
    with Image.open(io.BytesIO(body)) as image:
        assert (result.picture.format, result.picture.width, result.picture.height) == ("jpeg", *image.size)
    assert (result.picture.size_bytes, result.picture.digest) == (len(body), digest_of(body))
    assert result.path.stat().st_mtime == result.stored_at
    assert list(bench.store.aside.iterdir()) == []


def test_one_worker_asks_for_picture_after_picture_on_one_connection_and_shows_no_key(bench: Bench) -> None:
    for picture in bench.pictures[:30]:
        assert bench.bring(picture).picture
    assert bench.sandbox.picture_connections == 1
    assert bench.sandbox.keys_sent_to_cdn == 0
    assert bench.sandbox.picture_ids == [picture.image_id for picture in bench.pictures[:30]]


def test_a_jpg_address_that_holds_another_format_is_stored_as_what_it_is(tmp_path: Path) -> None:
    settings = SandboxSettings(**{**CHEAP, "odd_formats": 1.0})
    with SandboxServer(Sandbox(settings)) as server:
        bench = Bench(tmp_path, server)
        results = [bench.bring(picture) for picture in bench.pictures[:12]]
    formats = [result.picture.format for result in results if result.picture]
    assert set(formats) == {"png", "gif", "webp"} and len(formats) == 12
    assert [path.suffix for result in results if (path := result.path)] == [f".{name}" for name in formats]


def test_a_redirect_within_the_host_is_followed_on_the_way_to_the_picture(bench: Bench) -> None:
    picture = bench.pictures[0]
    bench.trouble("redirect_inside", picture)
    assert bench.bring(picture).picture
    assert bench.sandbox.picture_ids == [picture.image_id] * 2


def test_an_address_kept_in_full_is_asked_for_at_the_host_of_the_settings(bench: Bench) -> None:
    picture = bench.pictures[0]
    result = bench.bring(picture, url=f"https://i.etsystatic.com/5/r{picture.path}?version=0")
    assert result.picture and result.picture.digest == digest_of(sent(bench.sandbox, picture))


# A picture that does not come: each fault of the host has its outcome


FAULTS = {
    "not_found": "not_found",
    "gone": "not_found",
    "forbidden": "refused",
    "dead_key": "refused",
    "placeholder": "placeholder",
    "truncated": "wrong_length",
    "short_length": "wrong_length",
    "poison": "wrong_length",
    "long_length": "cut_body",
    "cut_body": "cut_body",
    "endless": "too_large",
    "huge": "too_large",
    "bomb": "too_many_pixels",
    "garbage": "not_a_picture",
    "zero_count": "not_a_picture",
    "html": "html",
    "redirect": "redirected",
    "reset": "unreachable",
    "server_error": "server_error",
    "bad_gateway": "server_error",
    "unavailable": "busy",
    "per_second_429": "busy",
    "daily_429": "busy",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_host_has_its_outcome_leaves_no_file_and_spoils_no_other_picture(
    bench: Bench, fault: str
) -> None:
    first, struck, after = bench.pictures[:3]
    bench.trouble(fault, struck)
    assert bench.bring(first).picture
    result = bench.bring(struck)
    assert (result.outcome, result.picture, result.path, result.disk) == (FAULTS[fault], None, None, "")
    assert bench.bring(after).picture
    assert sorted(files(bench.store.root)) == sorted([first.image_id, after.image_id])
    assert bench.sandbox.keys_sent_to_cdn == 0


def test_every_outcome_of_a_try_is_reached_by_some_fault() -> None:
    """Those that no fault of the host makes have tests of their own, here and beside."""
    others = {"done", "missing", "damaged", "bad_address", "foreign_host", "undecodable", "timeout"}
    assert set(FAULTS.values()) | others == set(OUTCOMES)


def test_a_picture_with_changed_bytes_is_either_undecodable_or_passes_for_whole(bench: Bench) -> None:
    bench.trouble("flipped")
    results = [bench.bring(picture) for picture in bench.pictures[:20]]
    assert {result.outcome for result in results} <= {"", "undecodable", "wrong_length"}


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ({"url": "http://evil.example/x.jpg"}, "foreign_host"),
        ({"url": "file:///etc/passwd"}, "bad_address"),
        ({"url": ""}, "bad_address"),
    ],
)
def test_an_address_that_is_none_is_an_outcome_and_nobody_is_asked(
    bench: Bench, told: dict[str, str], outcome: str
) -> None:
    assert bench.bring(bench.pictures[0], **told).outcome == outcome
    assert bench.sandbox.picture_ids == []


def test_a_redirect_to_another_host_is_not_followed(bench: Bench, tmp_path: Path) -> None:
    picture = bench.pictures[0]
    with SandboxServer(Sandbox(SandboxSettings(**CHEAP))) as other:
        bench.trouble("redirect", picture, to=other.cdn_url + picture.path)
        assert bench.bring(picture).outcome == "redirected"
        assert other.sandbox.picture_ids == []


@pytest.mark.parametrize(
    ("fault", "wait_seconds"), [("per_second_429", 1.0), ("daily_429", 3_600.0), ("unavailable", 0.0)]
)
def test_how_long_the_host_asks_to_be_left_alone_is_heard_up_to_an_hour(
    bench: Bench, fault: str, wait_seconds: float
) -> None:
    bench.trouble(fault)
    assert bench.bring(bench.pictures[0]).wait_seconds == wait_seconds


def test_where_nobody_listens_the_host_is_unreachable(tmp_path: Path) -> None:
    with SandboxServer(Sandbox(SandboxSettings(**CHEAP))) as server:
        bench = Bench(tmp_path, server)
    assert bench.bring(bench.pictures[0]).outcome == "unreachable"


def test_a_body_that_drips_on_is_cut_off_after_a_minute(tmp_path: Path, server: SandboxServer) -> None:
    bench = Bench(tmp_path, server, TurnedClock(speed=300.0))  # a minute in a fifth of a second
    bench.trouble("drip", seconds=30.0)
    assert bench.bring(bench.pictures[0]).outcome == "timeout"


def test_a_stop_in_the_middle_of_a_body_ends_the_picture_without_an_outcome(bench: Bench) -> None:
    bench.trouble("drip", seconds=30.0)
    came: list[Result | None] = []
    thread = threading.Thread(target=lambda: came.append(bench.one(wanted(bench.pictures[0]))))
    thread.start()
    for_a_moment(lambda: bool(bench.sandbox.faults.struck()["drip"]))
    bench.stop.ask("the test")
    thread.join(SOON)
    assert came == [None]
    assert files(bench.store.root) == {}


def for_a_moment(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    clock = SystemClock()
    end = clock.monotonic() + SOON
    while not condition():
        assert clock.monotonic() < end
        clock.wait(threading.Event(), 0.01)


# A host that says what no host should


class RawHost:
    """Answers every request with the same bytes, and counts how many it got rid of."""

    def __init__(self, answer: Callable[[], Iterable[bytes]]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.heads: list[str] = []
        self.sent = 0
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(8)]

    def __enter__(self) -> RawHost:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    self._answer_all(connection)

    def _answer_all(self, connection: socket.socket) -> None:
        while head := self._head(connection):
            self.heads.append(head)
            for part in self._answer():
                connection.sendall(part)
                self.sent += len(part)

    def _head(self, connection: socket.socket) -> str:
        head = b""
        while not head.endswith(b"\r\n\r\n") and (more := connection.recv(65536)):
            head += more
        return head.decode("latin-1")


def fetch_from(host: RawHost) -> str:
    """Return the outcome of a fetch, "" where a body came."""
    clock = SystemClock()
    fetcher = Fetcher(host.url, clock, Stop(clock, ()))
    try:
        fetcher.fetch(f"{host.url}/il/ab/5/il_570xN.5_x1.jpg")
    except Refused as refused:
        return refused.outcome
    finally:
        fetcher.hang_up()
    return ""


def many(head: bytes, part: bytes = bytes(65536), times: int = 2_000) -> Iterator[bytes]:
    yield head
    for _ in range(times):
        yield part


ODD = {
    "a redirect to nowhere": (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "redirected"),
    "a redirect to itself": (b"HTTP/1.1 301 Moved\r\nLocation: #\r\nContent-Length: 0\r\n\r\n", "redirected"),
    "a redirect in no letters": (b"HTTP/1.1 302 X\r\nLocation: /\xff\xfe \r\nContent-Length: 0\r\n\r\n", "redirected"),
    "a redirect to no address": (b"HTTP/1.1 302 X\r\nLocation: http://[/x\r\nContent-Length: 0\r\n\r\n", "redirected"),
    "a redirect to a port that is none": (
        b"HTTP/1.1 302 X\r\nLocation: http://h:99999999/x\r\nContent-Length: 0\r\n\r\n",
        "redirected",
    ),
    "a length of 5,000 digits": (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n", "too_large"),
    "a pause of 5,000 digits": (
        b"HTTP/1.1 503 X\r\nRetry-After: " + b"9" * 5_000 + b"\r\nContent-Length: 0\r\n\r\n",
        "busy",
    ),
    "a date as a pause": (
        b"HTTP/1.1 429 X\r\nRetry-After: Fri, 20 Nov 2026 10:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
        "busy",
    ),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc", "unreachable"),
    "no HTTP at all": (b"\x00\xff" * 100 + b"\r\n\r\n", "unreachable"),
    "a head without end": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", "unreachable"),
    "a chunk of no size": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc", "cut_body"),
    "a part of the picture": (b"HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n\r\nabc", "refused"),
    "nothing new": (b"HTTP/1.1 304 Not Modified\r\n\r\n", "refused"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", "refused"),
    "a teapot": (b"HTTP/1.1 418 X\r\nContent-Length: 0\r\n\r\n", "refused"),
    "a status of its own": (b"HTTP/1.1 799 X\r\nContent-Length: 0\r\n\r\n", "server_error"),
    "a late gateway": (b"HTTP/1.1 504 X\r\nContent-Length: 0\r\n\r\n", "timeout"),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_answer_is_an_outcome_and_never_an_error(what: str) -> None:
    answer, outcome = ODD[what]
    with RawHost(lambda: [answer]) as host:
        assert fetch_from(host) == outcome


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("200 OK", "too_large"), ("302 Found\r\nLocation: /il/y.jpg", "redirected"), ("404 Not Found", "not_found")],
)
def test_a_body_without_end_is_cut_off_whatever_its_status(status: str, outcome: str) -> None:
    """Four redirects may cost a socket's buffer each, a picture 20 MB and that; 130 MB are on offer."""
    with RawHost(partial(many, f"HTTP/1.1 {status}\r\n\r\n".encode())) as host:
        assert fetch_from(host) == outcome
        assert host.sent < MOST_BYTES + 20_000_000


@pytest.mark.parametrize(("size", "outcome"), [(MOST_BYTES, ""), (MOST_BYTES + 1, "too_large")])
@pytest.mark.parametrize("is_told", [True, False], ids=["told", "not told"])
def test_twenty_megabytes_may_come_and_not_a_byte_more(size: int, outcome: str, is_told: bool) -> None:
    told = f"Content-Length: {size}" if is_told else "Transfer-Encoding: chunked"
    body = bytes(size) if is_told else b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size))
    with RawHost(lambda: [f"HTTP/1.1 200 OK\r\n{told}\r\n\r\n".encode() + body]) as host:
        assert fetch_from(host) == outcome


def test_what_is_sent_to_the_host_is_little_and_always_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No key, no cookie that it set, no way round through a proxy, and nothing of the user's own files."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: who=you; Path=/\r\nContent-Length: 2\r\n\r\nok"
    clock = SystemClock()
    with RawHost(lambda: [answer]) as host:
        fetcher = Fetcher(host.url, clock, Stop(clock, ()))
        assert [fetcher.fetch(f"{host.url}/il/x.jpg") for _ in range(2)] == [b"ok", b"ok"]
        fetcher.hang_up()
    first, second = [sorted(head.lower().split("\r\n")) for head in host.heads]
    assert first == second
    names = {line.partition(":")[0] for line in first if ":" in line}
    assert names == {"host", "user-agent", "accept", "accept-encoding", "connection"}
    assert "get /il/x.jpg http/1.1" in first


# What lies there already


def test_a_whole_file_without_a_row_is_taken_as_it_is_and_the_host_not_asked(bench: Bench) -> None:
    """A kill came between the file and its row."""
    picture = bench.pictures[0]
    first = bench.bring(picture)
    bench.clock.advance(100)
    again = fresh(bench).bring(picture)
    assert (again.picture, again.path, again.stored_at) == (first.picture, first.path, first.stored_at)
    assert (first.fetched, again.fetched) == (True, False)
    assert len(bench.sandbox.picture_ids) == 1


def fresh(bench: Bench) -> Bench:
    """Return the bench with a new worker, as after a new start."""
    fetcher = Fetcher(bench.cdn_url, bench.clock, bench.stop)
    bench.worker = PictureWorker(bench.cdn_url, fetcher, bench.store, bench.clock)
    return bench


def test_a_file_that_is_not_whole_is_fetched_again_into_its_place(bench: Bench) -> None:
    picture = bench.pictures[0]
    path = bench.store.path(picture.image_id, "jpeg")
    path.parent.mkdir()
    path.write_bytes(sent(bench.sandbox, picture)[:5000])
    assert bench.bring(picture).fetched
    assert path.read_bytes() == sent(bench.sandbox, picture)


def test_a_file_with_the_wrong_ending_is_replaced_by_one_with_the_right_one(bench: Bench) -> None:
    picture = bench.pictures[0]
    path = bench.store.path(picture.image_id, "png")
    path.parent.mkdir()
    path.write_bytes(sent(bench.sandbox, picture))
    result = bench.bring(picture)
    assert result.path == bench.store.path(picture.image_id, "jpeg")
    assert files(bench.store.root) == {picture.image_id: [result.path]}


def test_a_file_that_is_not_the_one_that_the_row_knew_is_fetched_again(bench: Bench) -> None:
    picture, other = bench.pictures[:2]
    path = bench.store.path(picture.image_id, "jpeg")
    path.parent.mkdir()
    path.write_bytes(sent(bench.sandbox, other))
    assert bench.bring(picture, digest=digest_of(sent(bench.sandbox, picture))).fetched
    assert path.read_bytes() == sent(bench.sandbox, picture)


# A disk that does not take it


def test_what_cannot_be_stored_is_the_disks_trouble_and_not_the_pictures(bench: Bench) -> None:
    picture, other = bench.pictures[:2]
    bench.store.folder(picture.image_id).write_text("in the way", encoding="utf-8")
    result = bench.bring(picture)
    assert (bool(result.disk), result.outcome, result.picture) == (True, "", None)
    assert bench.bring(other).picture
    assert list(bench.store.aside.iterdir()) == []


def test_a_disk_that_is_full_in_the_middle_of_a_picture_leaves_no_half_of_it_and_the_old_one_as_it_was(
    bench: Bench,
) -> None:
    picture, other = bench.pictures[:2]
    old = bench.store.path(picture.image_id, "jpeg")
    old.parent.mkdir()
    old.write_bytes(b"an older one")
    bench.store.folder(other.image_id).mkdir()
    with files_of_at_most(10_000):
        results = [bench.bring(picture), bench.bring(other)]
    assert [(bool(result.disk), result.outcome) for result in results] == [(True, "")] * 2
    assert old.read_bytes() == b"an older one"
    assert files(bench.store.root) == {picture.image_id: [old]}
    assert list(bench.store.aside.iterdir()) == []
    assert bench.bring(picture).picture
    assert old.read_bytes() == sent(bench.sandbox, picture)


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow further, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_where_the_folder_has_gone_away_nothing_is_made_in_its_place(bench: Bench) -> None:
    assert bench.bring(bench.pictures[0]).picture
    bench.layout.root.rename(bench.layout.root.with_name("away"))
    assert bench.bring(bench.pictures[1]).disk
    assert not bench.layout.root.exists()


def test_where_an_empty_mount_point_stands_in_its_place_it_stays_empty(bench: Bench) -> None:
    assert bench.bring(bench.pictures[0]).picture
    bench.store.root.rename(bench.store.root.with_name("away"))
    bench.store.root.mkdir()
    assert bench.bring(bench.pictures[1]).disk
    assert list(bench.store.root.iterdir()) == []


# All together: queue, workers, files, rows


class Home(Bench):
    """A bench with a database, on which the downloads run in this thread."""

    def __init__(self, folder: Path, server: SandboxServer, workers: int = 4, listings: int = 12) -> None:
        super().__init__(folder, server)
        self.pictures = shown(self.sandbox, listings)
        self.ids = {picture.image_id for picture in self.pictures}
        self.workers = workers
        self.settings = load_settings(
            folder, {"ETSY_CDN_URL": server.cdn_url, "DOWNLOAD_WORKERS": str(workers), "MIN_FREE_GB": "0"}
        )
        self.database: Any = open_home(folder)
        with self.database.atomic():
            enqueue(self.pictures)

    def download(self, observe: Callable[[Standing], None] = lambda standing: None) -> Standing:
        """Download until nothing is left whose time has come, as a new process would."""
        downloads = build_downloads(self.settings, self.layout, self.database, self.clock, self.stop, observe)
        return downloads.run(for_ever=False)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return list(self.database.execute_sql(query, values).fetchall())

    def outcomes(self) -> Counter[str]:
        query = "SELECT outcome, COUNT(DISTINCT image_id) FROM image_status GROUP BY outcome"
        return Counter(dict(self.rows(query)))


@pytest.fixture
def home(tmp_path: Path, server: SandboxServer) -> Iterator[Home]:
    """A good sixty pictures."""
    made = Home(tmp_path, server)
    yield made
    made.database.close()


@pytest.fixture
def large_home(tmp_path: Path, server: SandboxServer) -> Iterator[Home]:
    """Three hundred pictures: more than one batch of rows."""
    made = Home(tmp_path, server, listings=60)
    yield made
    made.database.close()


def test_all_that_is_queued_comes_once_for_all_its_listings_on_few_connections(home: Home) -> None:
    standing = home.download()
    assert troubles(home.store.root, home.rows, home.sandbox) == []
    assert len(home.ids) < len(home.pictures), "no picture is shared here"
    assert sorted(home.sandbox.picture_ids) == sorted(home.ids)
    assert home.rows("SELECT COUNT(*) FROM image_status WHERE download_done = 1") == [(len(home.pictures),)]
    assert (standing.done, standing.fetched, dict(standing.failed), standing.held) == (len(home.ids),) * 2 + ({}, "")
    assert home.sandbox.picture_connections <= home.workers
    assert home.sandbox.keys_sent_to_cdn == 0


def test_a_listing_that_comes_later_with_a_picture_that_is_there_costs_no_request(home: Home) -> None:
    home.download()
    asked = len(home.sandbox.picture_ids)
    late = [picture._replace(listing_id=picture.listing_id + 10**9) for picture in home.pictures[:5]]
    enqueue(late)
    home.download()
    assert len(home.sandbox.picture_ids) == asked
    assert troubles(home.store.root, home.rows, home.sandbox) == []
    assert home.rows("SELECT COUNT(*) FROM image_status WHERE download_done = 0") == [(0,)]


def test_with_one_worker_the_primary_pictures_come_first(tmp_path: Path, server: SandboxServer) -> None:
    home = Home(tmp_path, server, workers=1)
    home.download()
    primary = {picture.image_id for picture in home.pictures if picture.is_primary}
    assert set(home.sandbox.picture_ids[: len(primary)]) == primary
    home.database.close()


def test_no_more_pictures_are_under_way_than_there_are_threads_that_fetch_and_store(home: Home) -> None:
    """So many a kill may cost. Here storing is what takes time: each picture has 49 million pixels."""
    out = io.BytesIO()
    Image.new("1", (7_000, 7_000)).save(out, "PNG")
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(out.getvalue())}\r\n\r\n".encode()
    under_way: list[int] = []
    with RawHost(lambda: [head + out.getvalue()]) as host:
        home.settings = home.settings.model_copy(update={"etsy_cdn_url": host.url})

        def observe(standing: Standing) -> None:
            under_way.append(len(host.heads) - len(files(home.store.root)))
            if len(host.heads) >= 20:
                home.stop.ask("the test")

        home.download(observe)
    assert home.workers / 2 < max(under_way) <= home.workers + STORING


def test_rows_are_written_in_batches_that_are_small_and_few(home: Home) -> None:
    statements: list[str] = []
    connection = home.database.connection()
    connection.set_trace_callback(statements.append)
    home.download()
    connection.set_trace_callback(None)
    statements = [text for text, _ in groupby(statements)]  # what triggers do is told as the same once more
    begins = [place for place, text in enumerate(statements) if text.startswith("BEGIN")]
    ends = [place for place, text in enumerate(statements) if text.startswith("COMMIT")]
    sizes = [end - begin - 1 for begin, end in zip(begins, ends, strict=True)]
    assert sum(sizes) >= len(home.ids)
    assert max(sizes) <= 300
    assert len(sizes) < len(home.ids) / 3
    within = [text for begin, end in zip(begins, ends, strict=True) for text in statements[begin + 1 : end]]
    assert {text.split()[0] for text in within} <= {"UPDATE", "INSERT", "SELECT"}


def test_each_fault_is_kept_with_its_row_and_what_heals_comes_later(home: Home) -> None:
    """Fourteen faults for a picture each; ten minutes later the host is well again."""
    of_the_host = ("forbidden", "reset", "server_error", "unavailable", "per_second_429", "daily_429")
    names = [name for name in FAULTS if name not in (*of_the_host, "dead_key", "bad_gateway", "cut_body")]
    struck = dict(zip(sorted(home.ids)[:: len(home.ids) // len(names)], names, strict=False))
    assert set(struck.values()) == set(names)
    by_id = {picture.image_id: picture for picture in home.pictures}
    for image_id, name in struck.items():
        home.trouble(name, by_id[image_id])
    home.download()
    assert troubles(home.store.root, home.rows, home.sandbox) == []
    now = home.clock.now()
    kept = {
        image_id: told
        for image_id, *told in home.rows(
            "SELECT image_id, outcome, attempts, to_download, retry_at FROM image_status WHERE download_done = 0"
        )
    }
    assert {image_id: told[0] for image_id, told in kept.items()} == {i: FAULTS[name] for i, name in struck.items()}
    for outcome, attempts, to_download, retry_at in kept.values():
        assert (attempts, to_download) == (1, int(OUTCOMES[outcome].heals))
        assert retry_at == 0 if not to_download else now + 500 < retry_at <= now + pause_seconds(1)
    asked = Counter(home.sandbox.picture_ids)
    home.sandbox.faults.clear()
    home.download()
    assert Counter(home.sandbox.picture_ids) == asked, "their time has not come"
    home.clock.advance(pause_seconds(1))
    home.download()
    assert troubles(home.store.root, home.rows, home.sandbox) == []
    left = {image_id for (image_id,) in home.rows("SELECT image_id FROM image_status WHERE download_done = 0")}
    assert left == {image_id for image_id, told in kept.items() if not told[2]}
    assert Counter(home.sandbox.picture_ids) - asked == Counter(kept.keys() - left)


def test_a_picture_that_fails_on_is_tried_later_and_later(home: Home) -> None:
    picture = home.pictures[0]
    home.trouble("garbage", picture)
    pauses = []
    for attempts in range(1, 5):
        home.download()
        ((tried, retry_at),) = home.rows(
            "SELECT DISTINCT attempts, retry_at FROM image_status WHERE image_id = ?", picture.image_id
        )
        assert tried == attempts
        pauses.append(retry_at - home.clock.now())
        home.clock.advance(pauses[-1] + 1)
    assert pauses == [pytest.approx(pause_seconds(attempts), abs=SOON) for attempts in range(1, 5)]
    assert Counter(home.sandbox.picture_ids)[picture.image_id] == 4


@pytest.mark.parametrize("fault", ["per_second_429", "unavailable", "server_error", "reset"])
def test_a_host_that_is_in_trouble_is_left_alone_after_a_few_requests(home: Home, fault: str) -> None:
    home.trouble(fault)
    told: list[str] = []

    def observe(standing: Standing) -> None:
        if standing.held:
            told.append(standing.held)
            home.stop.ask("the test")

    home.download(observe)
    assert "the picture host is left alone for" in told[0]
    assert len(home.sandbox.picture_ids) < len(home.ids) / 2
    assert files(home.store.root) == {}


def test_a_disk_that_goes_away_and_comes_back_is_waited_for_and_costs_no_picture(
    large_home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is made in its place, no row fails, and the downloads go on by themselves."""
    home = large_home
    root, away = home.layout.root, home.layout.root.with_name("away")
    home.trouble("slow", seconds=0.1)  # so that many are still waiting for their turn when the disk goes
    end = SystemClock().monotonic() + 3 * SOON
    told: list[str] = []

    def observe(standing: Standing) -> None:
        assert SystemClock().monotonic() < end, "it does not come to an end"
        if standing.done and not told and root.exists():
            root.rename(away)
        elif standing.held and away.exists():
            home.sandbox.faults.clear()
            told.append(standing.held)
            assert not root.exists()
            if "is its disk mounted?" in standing.held:
                away.rename(root)
            home.clock.advance(16)  # it looks again after 15 s

    with caplog.at_level("INFO"):
        home.download(observe)
    assert len(told) >= 2
    assert troubles(home.store.root, home.rows, home.sandbox) == []
    assert home.outcomes() == {"done": len(home.ids)}
    waits = [record.message for record in caplog.records if "Downloads wait" in record.message]
    assert waits and all(str(home.store.root) in words for words in waits)
    assert [record.message for record in caplog.records][-1] == "Downloads go on."


def test_no_row_says_done_before_the_disk_has_its_file_for_good(large_home: Home) -> None:
    """The disk goes away when files lie on it and no row is written yet: none is."""
    home = large_home
    root, away = home.layout.root, home.layout.root.with_name("away")

    def observe(standing: Standing) -> None:
        if root.exists() and files(home.store.root):
            assert standing.done == 0, "the first batch came too early to prove anything"
            root.rename(away)
        elif standing.held:
            home.stop.ask("the test")

    home.trouble("slow", seconds=0.1)
    home.download(observe)
    assert len(list(away.rglob("*.jpg"))) > 0
    assert home.rows("SELECT COUNT(*) FROM image_status WHERE download_done = 1") == [(0,)]


def test_progress_is_kept_for_status(home: Home) -> None:
    began = iso(home.clock.now())
    home.download()
    ((value,),) = home.rows("SELECT value FROM sync_state WHERE key = 'pictures'")
    assert '"held": ""' in value and '"per_second": ' in value
    assert began in value or iso(home.clock.now())[:13] in value
