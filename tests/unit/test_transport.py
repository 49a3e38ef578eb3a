"""From a request to JSON, or to the one exception that says who must act; a scripted server answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest

from crawler.api.ledger import Ledger
from crawler.api.limiter import Limiter, SlotFile
from crawler.api.quota import Quota
from crawler.api.reading import load_json, untyped
from crawler.api.records import Unreadable
from crawler.api.transport import PATIENCE_SECONDS, Request, Transport
from crawler.api.wire import WireAnswer, WireError
from runtime.errors import CrawlError, ItemTrouble, KeyRefused, QuotaSpent, ServerTrouble, Stopped
from runtime.stop import Stop
from tests.rig import VirtualClock

ASKED = Request("getShop", "/shops/7", (("a", "1"),))
GOOD = WireAnswer(200, {}, b'{"shop_id": 7}')
Said = WireAnswer | WireError


def said(status: int, error: str = "", **headers: str) -> WireAnswer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WireAnswer(status, named, json.dumps({"error": error}).encode())


class Server:
    """Plays the server: answers in the order given, the last one for ever; a ping has its own answer."""

    def __init__(self, clock: VirtualClock, answers: Sequence[Said], ping: Said = GOOD, takes: float = 0.01) -> None:
        self.asked: list[tuple[str, float]] = []
        self.before: Callable[[], None] = lambda: None
        self._answers, self._ping, self._clock, self._takes = list(answers), ping, clock, takes

    def get(self, path: str, params: Mapping[str, str]) -> WireAnswer:
        self.asked.append((path, self._clock.monotonic()))
        self.before()
        self._clock.advance(self._takes)
        if path == "/openapi-ping":
            answer = self._ping
        else:
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, WireError):
            raise answer
        return answer

    @property
    def calls(self) -> int:
        return sum(1 for path, _ in self.asked if path != "/openapi-ping")


class Line:
    """A transport on a virtual clock, and the server at its other end."""

    def __init__(self, *answers: Said, ping: Said = GOOD, quota: Quota | None = None, takes: float = 0.01) -> None:
        self.clock = VirtualClock()
        self.stop = Stop(self.clock, ())
        self.server = Server(self.clock, answers, ping, takes)
        self.ledger = Ledger(self.clock, quota or Quota(), [])
        limiter = Limiter(self.clock, self.stop, lambda: 5.0, SlotFile(None))
        self.transport = Transport(self.server, limiter, self.ledger, self.clock, self.stop)

    def send(self, parse: Callable[[Any], Any] = lambda payload: payload, request: Request = ASKED) -> Any:
        return self.transport.send(request, untyped(parse)).told


HEALS: list[Said] = [
    WireError("timeout"),
    said(500, "Server Error"),
    WireAnswer(502, {}, b"<html>Bad Gateway</html>"),
    WireAnswer(503, {}, b"<html>busy</html>"),
    said(504),
    said(408),
    said(425),
    WireAnswer(302, {"location": "https://elsewhere"}, b""),
    WireAnswer(200, {}, b"<html>Please wait</html>"),
    WireAnswer(200, {}, b'{"shop_id": 7'),
    WireAnswer(200, {}, b""),
    said(429, "Exceeded per second rate limit", retry_after="1"),
    said(429, "Exceeded per second rate limit"),
]


@pytest.mark.parametrize("bad", HEALS, ids=repr)
def test_what_can_heal_is_asked_for_again(bad: Said) -> None:
    line = Line(bad, bad, GOOD)
    assert line.send() == {"shop_id": 7}
    assert line.server.calls == 3


@pytest.mark.parametrize("bad", HEALS, ids=repr)
def test_after_about_a_minute_of_failures_the_step_is_given_up(bad: Said) -> None:
    line = Line(bad)
    began = line.clock.monotonic()
    with pytest.raises(ServerTrouble) as trouble:
        line.send()
    took = line.clock.monotonic() - began
    assert trouble.value.endpoint == "getShop"
    assert PATIENCE_SECONDS / 2 <= took <= PATIENCE_SECONDS + 5
    assert line.server.calls >= 5


def test_pauses_between_attempts_grow() -> None:
    line = Line(said(500))
    with pytest.raises(ServerTrouble):
        line.send()
    moments = [at for _, at in line.server.asked]
    pauses = [later - sooner for sooner, later in pairwise(moments)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 2 < pauses[-1]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (said(400, "Offset provided is greater than the maximum offset allowed."), 400),
        (said(404, "Could not find a Shop with shop_id = 7"), 404),
        (said(404, "Not all requested listings exist. Missing listing_ids: 1,2."), 404),
        (said(405), 405),
        (said(410), 410),
        (said(422), 422),
        (WireAnswer(400, {}, b'[{"path": "/limit", "type": "x", "message": "must be a number"}]'), 400),
    ],
)
def test_what_no_retry_helps_is_told_at_once_with_its_words(answer: WireAnswer, status: int) -> None:
    line = Line(answer)
    with pytest.raises(ItemTrouble) as trouble:
        line.send()
    assert trouble.value.status == status
    assert line.server.calls == 1
    told = json.loads(answer.body)
    words = told[0]["message"] if isinstance(told, list) else told["error"]
    assert words in str(trouble.value)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "words",
    [
        "Invalid API key: should be in the format 'keystring:shared_secret'.",
        "Shared secret is required in x-api-key header.",
    ],
)
def test_a_key_that_a_ping_finds_refused_too_ends_the_program(status: int, words: str) -> None:
    line = Line(said(status, words), ping=said(403, words))
    with pytest.raises(KeyRefused) as refused:
        line.send()
    assert refused.value.exit_status == 3
    assert words in str(refused.value)
    assert len(line.server.asked) == 2


def test_one_thing_that_may_not_be_read_is_that_thing_s_trouble_where_a_ping_is_answered() -> None:
    line = Line(said(403, "User does not own Shop 7"))
    with pytest.raises(ItemTrouble) as trouble:
        line.send()
    assert trouble.value.status == 403
    assert line.server.calls == 1


def test_a_key_that_searches_go_on_refusing_is_refused_though_a_ping_is_answered() -> None:
    search = Request("findAllListingsActive", "/listings/active")
    line = Line(said(403, "Forbidden"))
    began = line.clock.monotonic()
    with pytest.raises(KeyRefused):
        line.send(request=search)
    assert line.server.calls >= 4
    assert line.clock.monotonic() - began <= PATIENCE_SECONDS + 1


def test_a_403_about_the_key_heals_where_a_ping_is_answered() -> None:
    words = "Invalid API key: should be in the format 'keystring:shared_secret'."
    assert Line(said(403, words), GOOD).send() == {"shop_id": 7}


@pytest.mark.parametrize("ping", [said(500), WireError("reset"), WireAnswer(200, {}, b"<html>"), said(502)], ids=repr)
def test_a_403_while_the_ping_cannot_be_answered_does_not_condemn_the_key(ping: Said) -> None:
    with pytest.raises((ServerTrouble, ItemTrouble)):
        Line(WireAnswer(403, {}, b"<html>blocked</html>"), ping=ping).send()


def test_a_daily_429_stops_calling_until_the_server_s_time() -> None:
    line = Line(said(429, "Exceeded daily rate limit", retry_after="86400", x_remaining_today="0"))
    now = line.clock.now()
    for _ in range(2):
        with pytest.raises(QuotaSpent) as spent:
            line.send()
        assert spent.value.until >= now + 86_400
    assert line.server.calls == 1


@pytest.mark.parametrize(
    "answer",
    [
        said(429, "Exceeded daily rate limit"),
        said(429, "whatever", retry_after="86400"),
        said(429, "whatever", x_remaining_today="0"),
        WireAnswer(429, {"retry-after": "7200"}, b"<html></html>"),
    ],
)
def test_any_sign_of_the_day_in_a_429_is_taken_as_the_day(answer: WireAnswer) -> None:
    line = Line(answer)
    with pytest.raises(QuotaSpent):
        line.send()
    assert line.server.calls == 1


def test_a_429_of_the_second_holds_the_line_for_the_time_it_names() -> None:
    line = Line(said(429, "Exceeded per second rate limit", retry_after="4"), GOOD)
    line.send()
    first, second = (at for _, at in line.server.asked)
    assert second >= first + 4


def test_the_day_s_limit_is_kept_before_the_server_must_refuse() -> None:
    told = [WireAnswer(200, {"x-limit-per-day": "1000", "x-remaining-today": str(n)}, b"{}") for n in (12, 11, 10, 9)]
    line = Line(*told)
    for _ in range(3):
        line.send()
    with pytest.raises(QuotaSpent):
        line.send()
    assert line.server.calls == 3


@pytest.mark.parametrize("value", ["", "many", "-5", "1e9", "9" * 40, " 4000 "])
def test_odd_headers_are_left_aside(value: str) -> None:
    line = Line(WireAnswer(200, {"x-limit-per-day": value, "x-remaining-today": value}, b"{}"))
    assert line.send() == {}
    assert line.ledger.quota.limit in (None, 4000)


def test_an_answer_that_makes_no_sense_is_asked_for_three_times_and_is_then_that_thing_s_trouble() -> None:
    def parse(payload: Any) -> Any:
        raise Unreadable("a shop is a list, not an object")

    line = Line(GOOD)
    with pytest.raises(ItemTrouble, match="a shop is a list") as trouble:
        line.send(parse)
    assert (line.server.calls, trouble.value.status) == (3, 200)


@pytest.mark.parametrize(
    "body", [b'{"title": "\\ud83d"}', b'{"n": 123456789012345678901234567890}', b'{"x": NaN}', b"[" * 900 + b"]" * 900]
)
def test_json_that_only_a_lenient_reader_takes_is_taken(body: bytes) -> None:
    line = Line(WireAnswer(200, {}, body))
    line.send()
    assert line.server.calls == 1


def test_json_that_is_nested_without_end_is_no_json() -> None:
    line = Line(WireAnswer(200, {}, b"[" * 200_000))
    with pytest.raises(ServerTrouble):
        line.send()


@pytest.mark.parametrize(
    "body", [b'"text"', b"[]", b"5", b"null", b'{"error": {"deep": 1}}', b'{"error": null}', b"\xff\xfe"]
)
def test_an_error_of_any_shape_is_put_in_words(body: bytes) -> None:
    with pytest.raises(ItemTrouble) as trouble:
        Line(WireAnswer(400, {}, body)).send()
    assert str(trouble.value).startswith("getShop: HTTP 400: ")


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"error": "\\ud83d"}', b'{"n": 123456789012345678901234567890}'])
def test_an_error_that_is_hardly_json_is_put_in_words_too(body: bytes) -> None:
    with pytest.raises(ItemTrouble):
        Line(WireAnswer(404, {}, body)).send()


@pytest.mark.parametrize("moment", [0.0, 0.3, 3.0, 20.0])
def test_a_stop_ends_the_waiting_within_a_second(moment: float) -> None:
    line = Line(said(503))
    asked_at = line.clock.monotonic() + moment
    wait = line.clock.wait

    def watched(event: Any, seconds: float) -> bool:
        if line.clock.monotonic() >= asked_at:
            line.stop.ask("the test")
        return wait(event, seconds)

    line.clock.wait = watched  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        line.send()
    assert line.clock.monotonic() <= asked_at + 1.0


@pytest.mark.parametrize(
    ("ping", "alive"),
    [
        (GOOD, True),
        (said(404, "Resource not found"), True),
        (said(500), False),
        (WireError("reset"), False),
        (WireAnswer(200, {}, b"<html>"), False),
    ],
)
def test_a_server_is_alive_that_answers_a_ping_in_json(ping: Said, alive: bool) -> None:
    assert Line(GOOD, ping=ping).transport.is_alive() is alive


def test_every_call_sent_is_counted_retries_and_pings_too() -> None:
    line = Line(said(500), said(500), said(403, "x"), GOOD)
    with pytest.raises(ItemTrouble):
        line.send()
    counted = {made.endpoint: made.count for made in line.ledger.drain()}
    assert counted == {"getShop": 3, "ping": 1}


def test_no_error_of_the_family_is_lost_in_a_retry() -> None:
    line = Line(GOOD, quota=Quota(limit=100, remaining=0, heard_at=VirtualClock().now()))
    with pytest.raises(CrawlError) as error:
        line.send()
    assert isinstance(error.value, QuotaSpent)
    assert line.server.calls == 0


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("Tue, 24 Nov 2026 05:46:40 GMT", 1_795_499_200),
        ("Tue, 24 Nov 2026 06:46:40 +0100", 1_795_499_200),
        (None, None),
        ("yesterday", None),
        ("", None),
        ("Tue, 99 Nov 2026 05:46:40 GMT", None),
    ],
)
def test_an_answer_tells_when_it_was_made_by_the_server_s_clock(date: str | None, moment: int | None) -> None:
    line = Line(WireAnswer(200, {} if date is None else {"date": date}, b"{}"))
    answer = line.transport.send(ASKED, load_json)
    assert (answer.told, answer.server_time) == ({}, moment)
