"""One picture's bytes over HTTP: from the picture host alone, bounded in size and time, and without any key."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, ReadTimeoutError

from imaging.address import redirect_url
from imaging.check import MOST_BYTES, Refused
from runtime.clock import Clock
from runtime.errors import Stopped
from runtime.stop import Stop

CONNECT_SECONDS, READ_SECONDS, WHOLE_SECONDS = 10, 20, 60
LONGEST_WAIT_SECONDS = 3_600.0
CHUNK_BYTES = 262_144
FINISH_SECONDS = 1.0  # at a stop, for the picture whose bytes are coming
MOST_REDIRECTS = 3
MOST_DIGITS = 12
REDIRECTS = (301, 302, 303, 307, 308)
STATUSES = {404: "not_found", 410: "not_found", 408: "timeout", 429: "busy", 503: "busy", 504: "timeout"}
HEADERS = CaseInsensitiveDict(
    {
        "User-Agent": "furniture-crawler",
        "Accept": "image/jpeg,image/png,image/gif,image/webp",
        "Accept-Encoding": "identity",
        "Connection": "keep-alive",
    }
)


class Fetcher:
    """Keep-alive HTTP, one connection a thread, through the adapter that carries `requests`' sessions.

    A session's work is left out on purpose: it follows redirects to other hosts, keeps cookies, reads proxies and
    netrc, and was half of what a picture cost.
    """

    def __init__(self, cdn_url: str, clock: Clock, stop: Stop) -> None:
        self._cdn_url = cdn_url
        self._clock = clock
        self._stop = stop
        self._local = threading.local()

    def fetch(self, url: str) -> bytes:
        """Return the whole body behind the address; Refused says what came instead."""
        deadline = self._clock.monotonic() + WHOLE_SECONDS
        for _ in range(MOST_REDIRECTS + 1):
            body, location = self._ask_again(url, deadline)
            if not location:
                return body
            url = redirect_url(self._cdn_url, url, location)
        raise Refused("redirected", "again and again")

    def hang_up(self) -> None:
        """Close this thread's connection; the next fetch opens another."""
        self._adapter().close()

    def _ask_again(self, url: str, deadline: float) -> tuple[bytes, str]:
        """Ask, and once more where a kept connection broke: hosts close those when they like, and it means nothing."""
        was_kept, self._local.kept = getattr(self._local, "kept", False), False
        try:
            answer = self._ask(url, deadline)
            self._local.kept = True
            return answer
        except (requests.Timeout, ReadTimeoutError) as error:
            self.hang_up()
            raise Refused("timeout", type(error).__name__) from error
        except (requests.ConnectionError, OSError) as error:
            self.hang_up()
            if was_kept:
                return self._ask_again(url, deadline)
            raise Refused("unreachable", type(error).__name__) from error
        except Refused:
            # What may be left of this answer must not be taken for the next picture's.
            self.hang_up()
            raise

    def _ask(self, url: str, deadline: float) -> tuple[bytes, str]:
        """Return the body, or where the host sends to; the connection is kept where the body was read to its end."""
        request = requests.PreparedRequest()
        request.method, request.url, request.headers = "GET", url, HEADERS
        with self._adapter().send(request, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as answer:
            if answer.status_code in REDIRECTS:
                return b"", answer.headers.get("Location") or url
            _judge(answer.status_code, answer.headers)
            try:
                return self._read(answer, deadline), ""
            except ReadTimeoutError:
                raise
            except HTTPError as error:
                raise Refused("cut_body", type(error).__name__) from error

    def _read(self, answer: requests.Response, deadline: float) -> bytes:
        """Return the whole body; one that drips on, or never ends, is cut off."""
        told = answer.headers.get("Content-Length", "")
        if told.isdecimal() and (len(told) > MOST_DIGITS or int(told) > MOST_BYTES):
            raise Refused("too_large", f"{told[:MOST_DIGITS]} bytes are announced")
        body, leave_at = bytearray(), math.inf
        # read1 hands over what has come: a plain read would wait for a whole chunk, however slowly it drips.
        while part := answer.raw.read1(CHUNK_BYTES):
            body += part
            if len(body) > MOST_BYTES:
                raise Refused("too_large", "the body does not end")
            if self._clock.monotonic() > deadline:
                raise Refused("timeout", f"{len(body)} bytes in {WHOLE_SECONDS} s")
            if self._stop.is_known():
                leave_at = min(leave_at, self._clock.monotonic() + FINISH_SECONDS)
                if self._clock.monotonic() >= leave_at:
                    raise Stopped("Stopped in the middle of a picture.")
        return bytes(body)

    def _adapter(self) -> HTTPAdapter:
        adapter: HTTPAdapter | None = getattr(self._local, "adapter", None)
        if adapter is None:
            adapter = self._local.adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
        return adapter


def _judge(status: int, headers: Mapping[str, str]) -> None:
    """Raise Refused where the status is not 200."""
    if status == 200:
        return
    outcome = STATUSES.get(status, "server_error" if status >= 500 else "refused")
    told = headers.get("Retry-After", "")
    wait = float(told[:MOST_DIGITS]) if told.isdecimal() else 0.0
    raise Refused(outcome, f"status {status}", min(wait, LONGEST_WAIT_SECONDS))
