"""The sandbox itself: key, limits, market, faults and drift, tied together for one call at a time.

request → endpoint → key → limits → market's answer → fault → record → drift
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from email.utils import formatdate
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from sandbox.answer import Answer, Call, answer_error
from sandbox.api import Api, Route, route
from sandbox.drift import Drift, Move
from sandbox.faults import PICTURE, Faults, strike
from sandbox.limits import Limits
from sandbox.market import Market, PictureAddress, Truth
from sandbox.pictures import Gallery, read_address
from sandbox.seller import ENDPOINTS, Seller, seller_route
from sandbox.settings import Clock, RealClock, SandboxSettings

NO_SECRET = "Shared secret is required in x-api-key header."
BAD_KEY = "Invalid API key: should be in the format 'keystring:shared_secret'."
REFUSALS = {
    "second": ("Exceeded per second rate limit", "1"),
    "day": ("Exceeded daily rate limit", "86400"),
}
UNKNOWN = "unknown"


class Sandbox:
    """A simulated Etsy in this process; every method may be called from any thread.

    `handle` answers API requests and `picture` those to the CDN, without sockets and without waiting.
    """

    def __init__(self, settings: SandboxSettings | None = None, clock: Clock | None = None) -> None:
        self.settings = settings or SandboxSettings()
        self.clock = clock or RealClock()
        self.market = Market(self.settings)
        self.limits = Limits(self.settings, self.clock)
        self.faults = Faults(self.settings.seed)
        self.calls: list[Call] = []
        self.picture_calls: Counter[int] = Counter()
        """How often the CDN answered with each status."""
        self.picture_ids: list[int] = []
        """The image ids for which the CDN was asked, in that order, be there such pictures or not."""
        self.keys_sent_to_cdn = 0
        """How many requests to the CDN carried a key, which is none of its business."""
        self.picture_connections = 0
        """On how many TCP connections pictures were asked for."""
        self._api = Api(self.market)
        self._drift = Drift(self.market)
        self._gallery = Gallery(self.settings, self.market)
        self.seller = Seller(self.market, self.settings.oauth_token)
        self._lock = threading.Lock()

    def handle(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Answer one API request; `path` begins with /v3/application, header names are in lower case."""
        with self._lock:
            now = (self.clock.monotonic(), self.clock.now())  # of arrival, which is what limits are about
            told = dict(params or {})
            asked = route(path, told) or seller_route(method, path, told, headers or {}, body) or Route(UNKNOWN, told)
            answer, fault = self._answer(method, asked, headers or {}, body)
            self.calls.append(Call(*now, asked.endpoint, asked.params, answer.status, fault))
            every = self.settings.move_every
            if every and len(self.calls) % every == 0:
                self._drift.move(len(self.calls))
            return answer

    def _answer(self, method: str, asked: Route, headers: Mapping[str, str], body: bytes) -> tuple[Answer, str | None]:
        refused = self._refuse_key(headers.get("x-api-key", "")) or self._refuse_pace()
        if refused is not None:
            return replace(refused, headers={**self._headers(), **refused.headers}), None
        # A refused call sees nothing of the market, so only those that pass bring the index forward.
        self.market.index.catch_up(len(self.calls) + 1)
        if asked.endpoint in ENDPOINTS:
            answer = self.seller.answer(asked, headers, body, self.clock.now())
        elif asked.endpoint == UNKNOWN or method != "GET":
            answer = answer_error(404, "Resource not found")
        else:
            answer = self._api.answer(asked)
        answer = replace(
            answer,
            headers={**self._headers(), **answer.headers},
            delay_seconds=self.settings.latency_seconds,
        )
        armed = self.faults.pick(asked.endpoint, asked.params)
        return (answer, None) if armed is None else (strike(armed, answer), armed.fault.name)

    def _refuse_key(self, key: str) -> Answer | None:
        if key == self.settings.key:
            return None
        return answer_error(403, NO_SECRET if key and ":" not in key else BAD_KEY)

    def _refuse_pace(self) -> Answer | None:
        limit = self.limits.take()
        if limit is None:
            return None
        text, wait = REFUSALS[limit]
        answer = answer_error(429, text)
        return replace(answer, headers={**answer.headers, "retry-after": wait})

    def _headers(self) -> dict[str, str]:
        """Return what every answer carries: the limits, and the moment by the sandbox's own clock."""
        return {**self.limits.headers(), "date": formatdate(self.clock.now(), usegmt=True)}

    def picture(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Answer one request to the CDN; `path` is the address without the host, from its first slash.

        Header names are in lower case.
        """
        place, _, query = path.partition("?")
        address = read_address(place)
        params = dict(parse_qsl(query)) if query else {}
        with self._lock:
            if address is not None:
                self.picture_ids.append(address.image_id)
                params["image_id"] = str(address.image_id)
            self.keys_sent_to_cdn += "x-api-key" in (headers or {})
            armed = self.faults.pick(PICTURE, params)
        answer = self._gallery.show(address)
        with self._lock:
            answer = answer if armed is None else strike(armed, answer, path)
            self.picture_calls[answer.status] += 1
        late = self.settings.picture_latency_seconds
        return replace(answer, delay_seconds=answer.delay_seconds + late) if late else answer

    def picture_addresses(self, count: int) -> Iterator[PictureAddress]:
        """Return the first so many pictures of the market in the listings' order, each once; costs microseconds each.

        The address of one is `/il/{hex}/{image_id}/il_570xN.{image_id}_{suffix}.jpg`.
        """
        return islice(self.market.picture_addresses(), count)

    def count_picture_connection(self) -> None:
        """Count a TCP connection on which a picture is asked for; the server calls it once for each."""
        with self._lock:
            self.picture_connections += 1

    def move(self, count: int = 1) -> list[Move]:
        """Let so many things happen in the market now, and return what they were."""
        with self._lock:
            return [self._drift.move(len(self.calls)) for _ in range(count)]

    def truth(self) -> Truth:
        """Return all that is true now."""
        with self._lock:
            return self.market.truth()

    def calls_since(self, start: int) -> list[Call]:
        """Return the calls from the one with this place on; the first call's is 0."""
        with self._lock:
            return self.calls[start:]

    def stats(self) -> dict[str, Any]:
        """Return counts of calls, pictures, faults and the market's things, the busiest second, and image ids."""
        with self._lock:
            calls = Counter((call.endpoint, call.status) for call in self.calls)
            by_endpoint: dict[str, dict[str, int]] = {}
            for (endpoint, status), count in sorted(calls.items()):
                by_endpoint.setdefault(endpoint, {})[str(status)] = count
            states = Counter(listing.state for listing in self.market.numbered)
            return {
                "calls": len(self.calls),
                "by_endpoint": by_endpoint,
                "max_calls_in_a_second": busiest_second([call.at for call in self.calls]),
                "pictures": {str(status): count for status, count in sorted(self.picture_calls.items())},
                "picture_ids": list(self.picture_ids),
                "picture_connections": self.picture_connections,
                "keys_sent_to_cdn": self.keys_sent_to_cdn,
                "faults": self.faults.struck(),
                "listings": dict(states),
                "shops": len(self.market.shops) - len(self.market.closed_shops),
            }


def busiest_second(moments: list[float]) -> int:
    """Return the most moments (in seconds, rising) that lie in any one second."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most
