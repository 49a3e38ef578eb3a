"""The wire tells when a request is on its way: after its connection was opened, before its answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from crawler.api.wire import HttpWire
from runtime.clock import SystemClock

PATIENCE_SECONDS = 20.0


class Patient(ThreadingHTTPServer):
    """Answers each request only once its sender has said that it left."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.left = threading.Semaphore(0)
        self.told_in_time: list[bool] = []
        self.connections: set[int] = set()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Patient

    def do_GET(self) -> None:
        self.server.told_in_time.append(self.server.left.acquire(timeout=PATIENCE_SECONDS))
        self.server.connections.add(self.client_address[1])
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Patient]:
    found = Patient()
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def test_each_request_is_told_of_when_it_was_sent_and_before_its_answer(server: Patient) -> None:
    told: list[int] = []

    def leaves() -> None:
        told.append(threading.get_ident())
        server.left.release()

    wire = HttpWire(f"http://127.0.0.1:{server.server_port}", "key", "test", SystemClock(), leaves)
    for number in range(3):
        assert wire.get("/shops/7", {"n": str(number)}).body == b"{}"
    assert server.told_in_time == [True] * 3
    assert told == [threading.get_ident()] * 3
    assert len(server.connections) == 1
