"""The sandbox on a socket: HTTP/1.1 with kept connections, a thread each, one write an answer.

The parser knows what clients of an API send and no more, which makes it several times as fast as
the standard library's handler.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import struct
import threading
from dataclasses import replace
from http import HTTPStatus
from types import TracebackType
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from sandbox.answer import Answer
from sandbox.api import PREFIX
from sandbox.control import CONTROL_PREFIX, control
from sandbox.sandbox import Sandbox

CDN_PREFIX = "/cdn"
MAX_HEAD_BYTES = 64 << 10
MAX_BODY_BYTES = 32 << 20
DRIPS = 20
LENGTH_ERRORS = {"long": 1000, "short": -1000}
LAST_WIRES = frozenset({"cut", "long", "endless"})
"""After these ways of an answer the connection ends."""
ZEROS = bytes(64 << 10)
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
REASONS = {status.value: status.phrase for status in HTTPStatus}


class Request(NamedTuple):
    """One request as it came: header names in lower case, the query undecoded."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def params(self) -> dict[str, str]:
        """Return the query's parameters; of one given twice, the last counts."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def is_picture(self) -> bool:
        """Tell whether it goes to the CDN."""
        return self.path.startswith(CDN_PREFIX + "/")


class SandboxServer:
    """Serves a sandbox over HTTP while its `with` block lasts."""

    def __init__(self, sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> None:
        self.sandbox = sandbox
        self._listener = socket.create_server((host, port), backlog=128)
        self.host, self.port = self._listener.getsockname()[:2]
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        self._acceptor = threading.Thread(target=self._accept, name="sandbox-accept", daemon=True)

    @property
    def url(self) -> str:
        """The server's root."""
        return f"http://{self.host}:{self.port}"

    @property
    def api_url(self) -> str:
        """What stands for https://openapi.etsy.com/v3/application."""
        return self.url + PREFIX

    @property
    def cdn_url(self) -> str:
        """What stands for https://i.etsystatic.com."""
        return self.url + CDN_PREFIX

    def __enter__(self) -> SandboxServer:
        """Start to answer, with the rows of a market of moderate size made ready."""
        self.sandbox.market.warm_up()
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to answer and drop every connection."""
        self._stopping.set()
        # A listener that is only closed goes on waiting in accept; one that is shut down wakes it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._open_lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._open_lock:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        reader = Reader(connection)
        pictures = False
        try:
            while (request := reader.read()) is not None:
                if not pictures and request.is_picture():
                    pictures = True
                    self.sandbox.count_picture_connection()
                answer = self._answer(request)
                goes_on = self._send(connection, request, answer)
                if not goes_on or request.headers.get("connection", "").lower() == "close":
                    return
        except OSError:
            return
        finally:
            with self._open_lock:
                self._open.discard(connection)
            connection.close()

    def _answer(self, request: Request) -> Answer:
        if request.is_picture():
            return self._picture(request)
        if request.path.startswith(CONTROL_PREFIX):
            return control(self.sandbox, request.method, request.path, request.params(), request.body)
        path = unquote(request.path)
        return self.sandbox.handle(request.method, path, request.params(), request.headers, request.body)

    def _picture(self, request: Request) -> Answer:
        path = request.path[len(CDN_PREFIX) :]
        answer = self.sandbox.picture(f"{path}?{request.query}" if request.query else path, request.headers)
        location = answer.headers.get("location", "")
        if location.startswith("/"):
            # The sandbox knows addresses from the CDN's root on, which lies below the server's.
            return replace(answer, headers={**answer.headers, "location": CDN_PREFIX + location})
        return answer

    def _send(self, connection: socket.socket, request: Request, answer: Answer) -> bool:
        """Send the answer as its `wire` says; return whether the connection can go on."""
        if answer.wire == "reset":
            # To linger for no time at all makes the close a RST instead of a FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            return False
        if answer.wire != "drip" and answer.delay_seconds:
            # Waiting for the stop rather than sleeping lets a server with a hung client leave at once.
            self._stopping.wait(answer.delay_seconds)
        if answer.wire == "hang":
            return False
        head, body = self._frame(request, answer)
        if answer.wire == "drip":
            self._drip(connection, head, body, answer.delay_seconds)
        else:
            connection.sendall(head + (body[: len(body) // 2] if answer.wire == "cut" else body))
        if answer.zeros and request.method != "HEAD":
            self._send_zeros(connection, answer.zeros)
        return answer.wire not in LAST_WIRES

    def _frame(self, request: Request, answer: Answer) -> tuple[bytes, bytes]:
        headers, body = answer.headers, answer.body
        if self.sandbox.settings.gzip and "gzip" in request.headers.get("accept-encoding", ""):
            body = gzip.compress(body, 1, mtime=0)
            headers = {**headers, "content-encoding": "gzip"}
        length = len(body) + answer.zeros + LENGTH_ERRORS.get(answer.wire, 0)
        # One string and one write: a head sent ahead of its body would wait for the client's delayed ACK.
        lines = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, '')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += ["connection: close" if answer.wire == "endless" else f"content-length: {max(0, length)}", "", ""]
        return "\r\n".join(lines).encode("latin-1"), b"" if request.method == "HEAD" else body

    def _drip(self, connection: socket.socket, head: bytes, body: bytes, seconds: float) -> None:
        connection.sendall(head)
        size = max(1, -(-len(body) // DRIPS))
        for start in range(0, len(body), size):
            if self._stopping.wait(seconds / DRIPS):
                return
            connection.sendall(body[start : start + size])

    def _send_zeros(self, connection: socket.socket, count: int) -> None:
        while count > 0 and not self._stopping.is_set():
            count -= connection.send(ZEROS[:count])


class Reader:
    """Cuts the bytes of one connection into requests."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def read(self) -> Request | None:
        """Return the next request, or None where the client has gone or makes no sense."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES or not self._more():
                return None
        # Latin-1 takes every byte, so a head full of nonsense is judged below and never fails to decode.
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        self._buffer = self._buffer[end + 4 :]
        words = first.split(" ")
        if len(words) != 3:
            return None
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = self._body(headers.get("content-length", "0"))
        path, _, query = words[1].partition("?")
        return None if body is None else Request(words[0], path, query, headers, body)

    def _body(self, length: str) -> bytes | None:
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            return None
        while len(self._buffer) < int(length):
            if not self._more():
                return None
        body, self._buffer = self._buffer[: int(length)], self._buffer[int(length) :]
        return body

    def _more(self) -> bool:
        data = self._connection.recv(65536)
        self._buffer += data
        return bool(data)
