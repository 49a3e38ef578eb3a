"""From a request to JSON: the limits kept, what can heal tried again, each status turned into one exception."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import backoff

from crawler.api.ledger import Ledger
from crawler.api.limiter import Limiter
from crawler.api.reading import NotJson, load_json
from crawler.api.records import Unreadable
from crawler.api.refusals import parse_error
from crawler.api.wire import Wire, WireAnswer, WireError
from runtime.clock import Clock, parse_http_date
from runtime.errors import ItemTrouble, KeyRefused, ServerTrouble
from runtime.stop import Stop

PATIENCE_SECONDS = 60.0  # how long one step tries before it is given up and repeated later
LEAST_ATTEMPTS = 4  # also where each of them takes half a minute to fail
FIRST_WAIT, LONGEST_WAIT = 0.5, 16.0
UNREADABLE_TRIES = 3
SLOWER, FASTER = 0.2, 0.05  # how far one answer moves the usual latency: most answers are to take no longer than it
DAILY_RETRY_SECONDS = 3600.0  # a retry-after this long is never about one second
NOBODYS_OWN = ("findAllListingsActive", "getListingsByListingIds", "getBuyerTaxonomyNodes")  # open to every key
KEY_WORDS = ("api key", "x-api-key", "api_key", "shared secret", "keystring")
Parsed = TypeVar("Parsed")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """One call to be made: the operation's name in Etsy's document, its path and query."""

    endpoint: str
    path: str
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Answered(Generic[Parsed]):
    """What an answer told, and when it was made (Unix seconds) by the server's clock, None where it does not say."""

    told: Parsed
    server_time: float | None


PING = Request("ping", "/openapi-ping")


class CanHeal(Exception):
    """This attempt failed; another may not. `wait_seconds` where the server named a time."""

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class KeyDoubted(CanHeal):
    """The key was refused, and a ping was not: passing trouble, unless it goes on."""


class Transport:
    """Makes calls, one at a time per thread.

    It does not know what an answer means: what reads its body is given, and may say NotJson or Unreadable.
    """

    def __init__(self, wire: Wire, limiter: Limiter, ledger: Ledger, clock: Clock, stop: Stop) -> None:
        self._wire = wire
        self._limiter = limiter
        self._ledger = ledger
        self._clock = clock
        self._stop = stop
        self.latency_seconds = 0.0

    def send(self, request: Request, read: Callable[[bytes], Parsed]) -> Answered[Parsed]:
        """Return what is read in the answer.

        Raises ServerTrouble after about a minute of failures that could heal, ItemTrouble for what no retry
        helps, KeyRefused, QuotaSpent, Stopped.
        """
        waits = backoff.expo(base=2, factor=FIRST_WAIT, max_value=LONGEST_WAIT)
        next(waits)  # the generator's first value is a hand-shake
        deadline = self._clock.monotonic() + PATIENCE_SECONDS
        attempts = unreadable = 0
        while True:
            attempts, doubted = attempts + 1, False
            try:
                answer = self._attempt(request)
                return Answered(_read(answer, read), parse_http_date(answer.headers.get("date", "")))
            except Unreadable as reason:
                unreadable += 1
                # JSON without sense may be a passing fault of the server, so it gets a few tries, but not a minute.
                if unreadable == UNREADABLE_TRIES:
                    raise ItemTrouble(f"{request.endpoint}: {reason}") from reason
                wait, trouble = next(waits), str(reason)
            except CanHeal as failure:
                doubted = isinstance(failure, KeyDoubted)
                wait, trouble = failure.wait_seconds or next(waits), str(failure)
            enough = (
                attempts >= LEAST_ATTEMPTS or wait > PATIENCE_SECONDS
            )  # the server asks for longer than a step lasts
            if enough and self._clock.monotonic() + wait > deadline:
                if doubted:
                    raise _key_refused(trouble)
                raise ServerTrouble(f"{request.endpoint}: {trouble}", endpoint=request.endpoint)
            log.warning("%s: %s; trying again in %.1f s", request.endpoint, trouble, wait)
            self._stop.pause(wait)

    def is_alive(self) -> bool:
        """Return whether the server answers a ping: if so, the trouble is with one thing."""
        try:
            _read(self._attempt(PING), load_json)
        except (CanHeal, Unreadable):
            return False
        except ItemTrouble:
            return True  # a server without a ping that says so in JSON is alive
        return True

    def _attempt(self, request: Request) -> WireAnswer:
        """Return a good answer to one call, whatever it takes to be allowed to make it."""
        answer = self._call(request)
        self._hear(answer)
        if answer.status != 200:
            raise self._judge(request, answer)
        return answer

    def _call(self, request: Request) -> WireAnswer:
        """Return one call's answer, sent as soon as the limits allow."""
        sent = self._limiter.wait_for_turn()
        self._ledger.open_call(request.endpoint)  # counted only once nothing can keep it from being sent
        self._limiter.leaves()
        try:
            answer = self._wire.get(request.path, dict(request.query))
        except WireError as error:
            raise CanHeal(str(error)) from error
        finally:
            self._limiter.answered(sent)
        took = self._clock.monotonic() - sent
        change = took - (self.latency_seconds or took)  # the first answer is all that is known
        self.latency_seconds = took - change + (SLOWER if change > 0 else FASTER) * change
        return answer

    def _hear(self, answer: WireAnswer) -> None:
        cut = self._ledger.hear(
            _whole_number(answer.headers, "x-limit-per-day"),
            _whole_number(answer.headers, "x-remaining-today"),
        )
        if cut:
            quota = self._ledger.quota
            log.warning("The key's daily limit was cut from %s to %s calls.", quota.cut_from, quota.limit)

    def _judge(self, request: Request, answer: WireAnswer) -> Exception:
        error = _error_text(answer)
        if answer.status == 429:
            return self._too_many(answer, error)
        if answer.status in (401, 403):
            return self._refused(request, answer, error)
        if answer.status >= 500 or answer.status in TRANSIENT:
            return CanHeal(f"HTTP {answer.status}: {error}")
        return ItemTrouble(f"{request.endpoint}: HTTP {answer.status}: {error}", status=answer.status)

    def _too_many(self, answer: WireAnswer, error: str) -> Exception:
        """Return what a 429 means: of the day (stop calling) or of the second (hold all workers)."""
        retry_after = _whole_number(answer.headers, "retry-after")
        daily = "daily" in error.lower() or (retry_after or 0) >= DAILY_RETRY_SECONDS
        if daily or answer.headers.get("x-remaining-today") == "0":
            return self._ledger.refuse(retry_after)
        # The server counts calls of the whole key, so all workers hold, not only the one that was told.
        wait = float(retry_after or 1)
        self._limiter.hold(wait)
        return CanHeal(f"HTTP 429: {error}", wait)

    def _refused(self, request: Request, answer: WireAnswer, error: str) -> Exception:
        """Return what a 403 means: a ping tells a dead key from one thing that may not be read."""
        about_key = request.endpoint in NOBODYS_OWN or any(word in error.lower() for word in KEY_WORDS)
        # Etsy answers 403 for dead keys, gateways also for things of their own: the ping has only the key to judge.
        ping = answer.status if request is PING else self._ping_status()
        if ping in (401, 403) or (ping == 404 and about_key):
            return _key_refused(f"HTTP {answer.status}: {error}")
        if ping not in (200, 404):
            return CanHeal(f"HTTP {answer.status}: {error}")
        if about_key:
            return KeyDoubted(f"HTTP {answer.status}: {error}")
        return ItemTrouble(f"{request.endpoint}: HTTP {answer.status}: {error}", status=answer.status)

    def _ping_status(self) -> int:
        try:
            return self._call(PING).status
        except CanHeal:
            return 0


TRANSIENT = (301, 302, 303, 307, 308, 408, 425)


def _key_refused(reason: str) -> KeyRefused:
    return KeyRefused(
        f"The API refuses the key ({reason}).",
        advice="Check ETSY_API_KEY and ETSY_SHARED_SECRET, and the key's state at etsy.com/developers.",
    )


def _read(answer: WireAnswer, read: Callable[[bytes], Parsed]) -> Parsed:
    try:
        return read(answer.body)
    except NotJson as reason:
        raise CanHeal(str(reason)) from reason


def _error_text(answer: WireAnswer) -> str:
    try:
        return parse_error(load_json(answer.body))
    except NotJson:
        return parse_error(answer.body[:80].decode("utf-8", "replace"))


def _whole_number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "").strip()
    # Headers come as Latin-1, in which ² is a digit that int() refuses; ten of them are more than a database takes.
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None
