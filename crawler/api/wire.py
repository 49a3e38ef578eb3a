"""The bytes: one GET over HTTP. It knows nothing of statuses, limits or JSON."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter
from requests.utils import default_headers
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from runtime.clock import Clock

CONNECT_SECONDS, READ_SECONDS, WHOLE_SECONDS = 10, 30, 60
MOST_BYTES = 64_000_000
CHUNK_BYTES = 262_144


class WireError(Exception):
    """No whole answer came: no connection, a timeout, a cut body."""


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """An HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire(Protocol):
    """What carries a request to the API; a simulation brings another one."""

    def get(self, path: str, params: Mapping[str, str]) -> WireAnswer:
        """Return the answer to GET `path`; WireError where none came whole."""


def telling_pools(leaves: Callable[[], None]) -> dict[str, type[HTTPConnectionPool]]:
    """Return urllib3's pools, by scheme, of connections that call `leaves` when a request was sent."""

    class Telling(HTTPConnection):
        def endheaders(self, *told: Any, **more: Any) -> None:
            super().endheaders(*told, **more)
            leaves()

    class TellingSecurely(HTTPSConnection):
        def endheaders(self, *told: Any, **more: Any) -> None:
            super().endheaders(*told, **more)
            leaves()

    class Pool(HTTPConnectionPool):
        ConnectionCls = Telling

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = TellingSecurely

    return {"http": Pool, "https": SecurePool}


class HttpWire:
    """Keep-alive HTTP with one of `requests`' adapters a thread; the key goes to this one address only.

    No session stands before them, since what one adds must not be: it follows redirects, keeps cookies, and takes
    proxies and netrc from the environment, while the key is in a header. `leaves` is called, in the calling thread,
    each time a request is on its way: a connection may have had to be opened first.
    """

    def __init__(
        self, base_url: str, key_header: str, user_agent: str, clock: Clock, leaves: Callable[[], None]
    ) -> None:
        self._base_url = base_url
        self._leaves = leaves
        told = {"x-api-key": key_header, "User-Agent": user_agent, "Accept": "application/json"}
        self._headers = {**default_headers(), **told}
        self._clock = clock
        self._local = threading.local()

    def get(self, path: str, params: Mapping[str, str]) -> WireAnswer:
        """Return the answer to GET `path` below the base address; WireError where none came whole."""
        try:
            with self._send(self._base_url + path + ("?" + urlencode(params) if params else "")) as answer:
                body = self._read(answer)
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return WireAnswer(answer.status_code, headers, body)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise WireError(f"{type(error).__name__} at {path}") from error

    def _send(self, url: str) -> requests.Response:
        if not hasattr(self._local, "adapter"):
            # Neither is promised to be safe among threads, so each thread has its own.
            self._local.adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
            self._local.adapter.poolmanager.pool_classes_by_scheme = telling_pools(self._leaves)
            self._local.request = requests.Request("GET", self._base_url, headers=self._headers).prepare()
        request = self._local.request.copy()
        request.url = url
        answer: requests.Response = self._local.adapter.send(
            request, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS), verify=True
        )
        return answer

    def _read(self, answer: requests.Response) -> bytes:
        """Return the whole body; a body that drips on for ever is cut off."""
        # The read timeout is per piece, and a plain read waits for its whole chunk: a body that comes byte by byte
        # would never meet either. read1 hands over what has come.
        deadline = self._clock.monotonic() + WHOLE_SECONDS
        parts, size = [], 0
        for part in iter(partial(answer.raw.read1, CHUNK_BYTES, decode_content=True), b""):
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES or self._clock.monotonic() > deadline:
                raise WireError(f"the answer does not end ({size} bytes)")
        return b"".join(parts)
