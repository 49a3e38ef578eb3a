"""A server that notes when the first request comes and refuses it: how long a start takes."""

from __future__ import annotations

import http.server
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class FirstCallServer(http.server.ThreadingHTTPServer):
    """Notes when the first request came, and refuses all."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Refuser)
        self.came = threading.Event()
        self.came_at = math.inf


class Refuser(http.server.BaseHTTPRequestHandler):
    """Answers 503 to everything."""

    def do_GET(self) -> None:
        """Note the moment, then refuse."""
        server = self.server
        assert isinstance(server, FirstCallServer)
        server.came_at = min(server.came_at, time.perf_counter())
        server.came.set()
        self.send_error(503)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def first_call_server() -> Iterator[FirstCallServer]:
    """Serve while the block lasts."""
    with FirstCallServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
