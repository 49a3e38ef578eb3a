"""Who may ask for pages and change things: names of this machine, forms of these pages, who knows the password."""

from __future__ import annotations

import base64
import ipaddress
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:]+)(?::[0-9]{1,5})?")
POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}
SAFE = ("GET", "HEAD")
MOST_FORM_BYTES = 25_000_000


def is_loopback(host: str) -> bool:
    """Return whether nobody but this machine reaches the address."""
    name = host.strip("[]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Guard:
    """What is asked of a request. `names` are the hosts that it may name; an empty password asks for none.

    The token stands in every form of these pages, and is another one after each start.
    """

    names: tuple[str, ...] = LOOPBACK_NAMES
    password: str = ""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def refuse(self, method: str, headers: Mapping[str, str]) -> Response | None:
        """Return the answer to a request that is refused for its headers, None where it may go on."""
        match = HOST.fullmatch(headers.get("host", ""))
        if match is None or not self._is_ours(match["name"].lower()):
            return PlainTextResponse("This page is not served under that name.\n", 421)
        if self.password and not self._knows(headers.get("authorization", "")):
            asked = {"www-authenticate": 'Basic realm="furniture crawler", charset="UTF-8"'}
            return PlainTextResponse("A password is needed.\n", 401, asked)
        if method not in SAFE and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return PlainTextResponse("This came from another site's page.\n", 403)
        if method not in SAFE and "content-length" not in headers:
            return PlainTextResponse("How long the form is has to be told.\n", 411)
        if not 0 <= int(headers.get("content-length", "0")) <= MOST_FORM_BYTES:
            return PlainTextResponse("That is more than 25 MB.\n", 413)
        return None

    def is_own_form(self, token: object) -> bool:
        """Return whether the token of a form is that of these pages."""
        return isinstance(token, str) and secrets.compare_digest(token.encode(), self.token.encode())

    def _is_ours(self, name: str) -> bool:
        if name in self.names:
            return True
        # An address, unlike a name, cannot be made to lead here by somebody else's name server.
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return bool(self.password)

    def _knows(self, authorization: str) -> bool:
        kind, _, told = authorization.partition(" ")
        try:
            _, _, password = base64.b64decode(told, validate=True).decode("utf-8").partition(":")
        except ValueError:  # neither base64 nor UTF-8
            return False
        return kind.lower() == "basic" and secrets.compare_digest(password.encode(), self.password.encode())


class Guarded:
    """An application that answers only what the guard lets through, with the headers that keep a browser to it."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app, self._guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *(pair for pair in added if pair[0] not in there)]
            await send(message)

        request = Request(scope)
        try:
            refused = self._guard.refuse(request.method, request.headers)
        except ValueError:  # a length that is no number
            refused = PlainTextResponse("The request makes no sense.\n", 400)
        await (refused or self._app)(scope, receive, send_with_headers)
