"""The bytes of a call to a platform: counted, at the pace that the key allows, and left alone when a stop is asked for.

    wait for the turn → count in api_usage → send → hear the limits

It knows nothing of statuses or JSON. A call that is left alone may have its effect outside all the same: whoever
repeats it looks first.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import requests
from urllib3.exceptions import HTTPError

from publishing.usage_book import UsageBook
from runtime.stop import Stop

CONNECT_SECONDS, READ_SECONDS, WHOLE_SECONDS = 10, 30, 120
LOOK_SECONDS = 0.1
MOST_BYTES = 16_000_000


class WireError(Exception):
    """No whole answer came: no connection, a timeout, a cut body. The call may have had its effect."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call: the operation's name, method and path; its query, form fields and picture."""

    endpoint: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    picture: bytes | None = None


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """An HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Pace(Protocol):
    """What lets calls go, among all processes that use the key."""

    def wait_for_turn(self) -> float:
        """Wait until a call may go and return the moment it is sent; raises Stopped."""

    def leaves(self) -> None:
        """Note that this thread's call, whose turn came a while ago, is sent only now."""

    def answered(self, sent: float) -> None:
        """Note that the call sent then has its answer, or failed."""

    def hold(self, seconds: float) -> None:
        """Let no call go for that long."""


class Wire:
    """Carries calls to one service; its headers, which may hold keys, go to this one address only."""

    def __init__(self, service: str, base_url: str, headers: Mapping[str, str], pace: Pace, book: UsageBook) -> None:
        self._service = service
        self._base_url = base_url
        self._headers = headers
        self._pace = pace
        self._book = book
        self._stop: Stop = book.stop

    def send(self, call: Call) -> WireAnswer:
        """Return the answer; WireError where none came whole, Stopped within a second of being asked to stop."""
        turn = self._pace.wait_for_turn()
        try:
            sent = self._book.count(self._service, call.endpoint)
            self._pace.leaves()
            answer = self._wait_for(call)
        finally:
            self._pace.answered(turn)
        self._book.hear(self._service, call.endpoint, sent, answer.headers)
        return answer

    def hold(self, seconds: float) -> None:
        """Let no call go for that long, in any process."""
        self._pace.hold(seconds)

    def _wait_for(self, call: Call) -> WireAnswer:
        """Make the call in a thread of its own, which nobody waits for once a stop was asked for."""
        done, ended = threading.Event(), list[WireAnswer | BaseException]()

        def make() -> None:
            try:
                ended.append(self._make(call))
            except BaseException as error:
                ended.append(error)
            done.set()

        threading.Thread(target=make, name="publish-call", daemon=True).start()
        clock = self._stop.clock
        deadline = clock.monotonic() + WHOLE_SECONDS
        while not clock.wait(done, LOOK_SECONDS):
            self._stop.attend()
            if clock.monotonic() > deadline:  # the other limits are of each piece: a body may drip for ever
                raise WireError(f"the answer to {call.endpoint} does not end")
        if isinstance(ended[0], BaseException):
            raise ended[0]
        return ended[0]

    def _make(self, call: Call) -> WireAnswer:
        try:
            with requests.Session() as session:
                session.trust_env = False  # a proxy or netrc of the environment must not see or replace the keys
                answer = self._request(session, call)
                body = answer.raw.read(MOST_BYTES, decode_content=True)
                if answer.raw.length_remaining:
                    raise WireError(f"the answer to {call.endpoint} was cut")
            return WireAnswer(answer.status_code, {name.lower(): told for name, told in answer.headers.items()}, body)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise WireError(f"{type(error).__name__} at {call.endpoint}") from error

    def _request(self, session: requests.Session, call: Call) -> requests.Response:
        files: Any = None if call.picture is None else {"image": ("picture.jpg", call.picture, "image/jpeg")}
        return session.request(
            call.method,
            self._base_url + call.path,
            params=dict(call.query),
            data=dict(call.form) or None,
            files=files,
            headers=dict(self._headers),
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
            stream=True,
        )
