"""A server that answers as a recorded crawl was answered: `python -m bench.replay ANSWERS.pickle CORE`.

It does as little as a server can, so that what is measured is who asks: bytes that lie ready, keep-alive, no limits.
It prints its port and serves until its input ends. `/-/begin` starts the count anew, `/-/told` tells it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

BASE = "/v3/application"
BATCH = f"{BASE}/listings/batch?"
LIMITS = b"x-limit-per-day: 100000000\r\nx-remaining-today: 99999999\r\n"
DATE = b"date: %b\r\n" % formatdate(usegmt=True).encode()


def batch_body(rows: Sequence[bytes]) -> bytes:
    """Return the answer to a batch of these listings."""
    return b'{"count":%d,"results":[%b]}' % (len(rows), b",".join(rows))


def response(status: bytes, body: bytes) -> bytes:
    """Return a whole HTTP answer."""
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n" % (
        status,
        LIMITS + DATE,
        len(body),
    )
    return head + body


NOT_FOUND = response(b"404 Not Found", b'{"error":"This was not recorded."}')


class Answers:
    """What lies ready, and what was asked of it."""

    def __init__(self, pages: Mapping[str, bytes], listings: Mapping[int, bytes]) -> None:
        self._pages = {canonical(BASE + target): response(b"200 OK", body) for target, body in pages.items()}
        self._listings = listings
        self.begin()

    def begin(self) -> bytes:
        """Count from now on."""
        self.first_at = self.last_at = 0.0
        self.calls = self.unknown = self.connections = self.body_bytes = 0
        self._cpu = cpu_seconds()
        return response(b"200 OK", b"{}")

    def told(self) -> bytes:
        """Return what was asked since then; moments are on the monotonic clock."""
        names = ("first_at", "last_at", "calls", "unknown", "connections", "body_bytes")
        count: dict[str, Any] = {name: getattr(self, name) for name in names}
        return response(b"200 OK", json.dumps({**count, "cpu_seconds": cpu_seconds() - self._cpu}).encode())

    def to(self, target: str) -> bytes:
        """Return the answer to GET `target`."""
        if target.startswith("/-/"):
            return self.begin() if target == "/-/begin" else self.told()
        self.last_at = time.monotonic()
        self.first_at = self.first_at or self.last_at
        self.calls += 1
        answer = self._batch(target) if target.startswith(BATCH) else self._pages.get(canonical(target))
        self.unknown += answer is None
        self.body_bytes += len(answer or b"")
        return answer or NOT_FOUND

    def _batch(self, target: str) -> bytes | None:
        ids = dict(parse_qsl(target[len(BATCH) :])).get("listing_ids", "")
        rows = [self._listings.get(int(text), b"") for text in ids.split(",")]
        return response(b"200 OK", batch_body(rows)) if all(rows) else None


def canonical(target: str) -> tuple[str, tuple[str, ...]]:
    """Return the path and its query in an order that does not depend on who asks."""
    path, _, query = target.partition("?")
    return path, tuple(sorted(unquote(pair) for pair in query.split("&")))


def cpu_seconds() -> float:
    """Return the CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Connection(asyncio.Protocol):
    """One connection; requests are GETs without a body."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._waiting = b""
        self._known = False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that has come whole."""
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            target = self._waiting.split(b" ", 2)[1].decode("ascii")
            self._waiting = self._waiting[end + 4 :]
            if not self._known and not target.startswith("/-/"):
                self._known = True
                self._answers.connections += 1
            self._transport.write(self._answers.to(target))


async def serve(answers: Answers) -> None:
    """Serve until the input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def pin(cores: Sequence[int]) -> None:
    """Keep this process and its children to these cores, where the system can."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def main(file: str, core: str) -> None:
    """Serve what the file holds, on one core."""
    pin([int(core)] if core else [])
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Answers(**pickle.loads(Path(file).read_bytes()))))


if __name__ == "__main__":
    main(*sys.argv[1:])
