"""Whatever comes over the wire, a call ends soon: with a record, or with one of the errors that its docstring names."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hypothesis import example
from hypothesis import strategies as st

from crawler.api import transport
from crawler.api.client import Client, Search
from crawler.api.ledger import Ledger
from crawler.api.limiter import Limiter, SlotFile
from crawler.api.lookahead import Lookahead
from crawler.api.quota import Quota
from crawler.api.transport import Transport
from crawler.api.wire import WireAnswer, WireError
from runtime.errors import ItemTrouble, KeyRefused, QuotaSpent, ServerTrouble
from runtime.stop import Stop
from tests.fuzz.budget import fuzz
from tests.fuzz.mutants import answers, broken
from tests.fuzz.odd import TEXTS
from tests.rig import VirtualClock

MOST_CALLS = 250
"""For one request: a minute of tries every half second, each with a ping, and a few to spare."""
METHODS: dict[str, Callable[[Client], Any]] = {
    "search": lambda client: client.fetch_search(Search(967, 5.45, None, "desc", 100)),
    "batch": lambda client: client.fetch_listings([1, 2]),
    "listing": lambda client: client.fetch_listing(1),
    "images": lambda client: client.fetch_images(1),
    "shop": lambda client: client.fetch_shop(1),
    "reviews": lambda client: client.fetch_reviews(1, 0, 0, None),
    "taxonomy": lambda client: client.fetch_taxonomy(),
    "ping": lambda client: client.is_alive(),
}
HEADERS = ("x-limit-per-day", "x-remaining-today", "retry-after", "x-remaining-this-second")
STATUSES = (200, 200, 200, 200, 204, 301, 304, 400, 401, 403, 404, 408, 425, 429, 429, 500, 502, 503, 599, 999, 0, -1)
ERRORS = (
    *(b'{"error":"Exceeded daily rate limit"}', b'{"error":"Exceeded per second rate limit"}', b"[]", b"null", b'"x"'),
    b'{"error":"Invalid API key: should be in the format \'keystring:shared_secret\'."}',
    b'{"error":"Not all requested listings exist. Missing listing_ids: 1, 2."}',
    b'{"error":"Offset provided is greater than the total count of search results."}',
    b'[{"path":"/x","type":"y","message":"z"}]',
    *(
        b"<html><h1>502 Bad Gateway</h1></html>",
        b"",
        b"\x00\xff",
        b"\xb2",
        b'{"error":{"error":"x"}}',
        b'{"error":[1e400]}',
    ),
)


class Told(NamedTuple):
    """What the wire answers once; nothing at all where `status` is None."""

    status: int | None
    headers: Mapping[str, str]
    body: bytes


class ScriptedWire:
    """Answers as the script says, over and over, and counts."""

    def __init__(self, script: Sequence[Told]) -> None:
        self._script = itertools.cycle(script)
        self.calls = 0

    def get(self, path: str, params: Mapping[str, str]) -> WireAnswer:
        self.calls += 1
        assert self.calls <= MOST_CALLS, "no end in sight"
        told = next(self._script)
        if told.status is None:
            raise WireError("nothing came")
        return WireAnswer(told.status, told.headers, told.body)


def client_of(wire: ScriptedWire, clock: VirtualClock) -> Client:
    stop = Stop(clock, ())
    limiter = Limiter(clock, stop, lambda: 5.0, SlotFile(None))
    ledger = Ledger(clock, Quota(), ())
    made = Transport(wire, limiter, ledger, clock, stop)
    return Client(Lookahead(made, stop, limiter.rate, ledger.left_at_last_answer, workers=0), made)


def bodies() -> st.SearchStrategy[bytes]:
    whole = st.sampled_from([body for found in answers().values() for body in found] + list(ERRORS))
    mutated = st.builds(broken, whole, st.integers(0, 2**48), st.integers(0, 4))
    return st.one_of(mutated, st.binary(max_size=40), st.sampled_from(ERRORS))


header_texts = st.integers(-2, 10**13).map(str) | st.sampled_from(TEXTS) | st.text(max_size=6)
headers = st.dictionaries(st.sampled_from(HEADERS), header_texts, max_size=4)
tellings = st.builds(Told, st.sampled_from((None, *STATUSES)), headers, bodies())


def ends(method: str, script: Sequence[Told]) -> None:
    """Make the call; AssertionError where it does not end as it may."""
    clock, wire = VirtualClock(), ScriptedWire(script)
    began = clock.monotonic()
    try:
        repr(METHODS[method](client_of(wire, clock))).encode("utf-8")
    except (ServerTrouble, ItemTrouble, KeyRefused, QuotaSpent) as error:
        assert str(error).isprintable(), "what a stranger wrote goes to the terminal and into the database"
        if isinstance(error, QuotaSpent):
            assert clock.now() <= error.until <= clock.now() + 2 * 86_400
    # A minute of patience, then the one ping that tells what a 403 meant, which waits as long as a server asks.
    assert clock.monotonic() - began <= 61.0 + transport.DAILY_RETRY_SECONDS


@example(method="shop", script=[Told(200, {"x-remaining-today": "²"}, b"{}")])
@example(method="shop", script=[Told(429, {"retry-after": "¹"}, b"{}")])
@example(method="shop", script=[Told(404, {}, b'{"error":' + b"[" * 900 + b"]" * 900 + b"}")])
@example(method="listing", script=[Told(200, {}, b'{"listing_id":1,"tags":' + b"[" * 900 + b"]" * 900 + b"}")])
@example(method="batch", script=[Told(429, {"retry-after": "1221"}, b"[]")])
@example(method="listing", script=[Told(404, {}, b"<html>\x00\x1b[2J\r\n</html>")])
@fuzz("exchanges", method=st.sampled_from(sorted(METHODS)), script=st.lists(tellings, min_size=1, max_size=4))
def test_a_call_ends_soon_with_a_record_or_an_error_that_is_named(method: str, script: list[Told]) -> None:
    ends(method, script)


@example(text="²")
@example(text="٣")
@fuzz("headers", text=st.text(max_size=14) | header_texts)
def test_a_header_is_a_whole_number_that_any_database_takes_or_nothing(text: str) -> None:
    number = transport._whole_number({"x": text}, "x")
    assert number is None or (0 <= number < 2**31 and text.strip().isascii())
