"""The bytes: one GET over HTTP. It knows nothing of statuses, limits or JSON."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from runtime.clock import Clock

CONNECT_SECONDS, READ_SECONDS, WHOLE_SECONDS = 10, 30, 60
MOST_BYTES = 64_000_000
CHUNK_BYTES = 65_536


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
    """Keep-alive HTTP with one `requests` session a thread; the key goes to this one address only.

    Redirects are not followed, proxies and netrc of the environment are not used: the key is in a header. `leaves` is
    called, in the calling thread, each time a request is on its way: a connection may have had to be opened first.
    """

    def __init__(
        self, base_url: str, key_header: str, user_agent: str, clock: Clock, leaves: Callable[[], None]
    ) -> None:
        self._base_url = base_url
        self._leaves = leaves
        self._headers = {"x-api-key": key_header, "User-Agent": user_agent, "Accept": "application/json"}
        self._clock = clock
        self._local = threading.local()

    def get(self, path: str, params: Mapping[str, str]) -> WireAnswer:
        """Return the answer to GET `path` below the base address; WireError where none came whole."""
        try:
            with self._session().get(
                self._base_url + path,
                params=params,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as answer:
                body = self._read(answer)
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return WireAnswer(answer.status_code, headers, body)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise WireError(f"{type(error).__name__} at {path}") from error

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            # A session is not promised to be safe among threads, so each has its own.
            session = requests.Session()
            # A proxy or netrc of the environment must not see or replace the key.
            session.trust_env = False
            session.headers.update(self._headers)
            for scheme in ("http://", "https://"):
                adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
                adapter.poolmanager.pool_classes_by_scheme = telling_pools(self._leaves)
                session.mount(scheme, adapter)
            self._local.session = session
        return session

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
