"""The sub-command `web`."""

from __future__ import annotations

import socket
from contextlib import closing, suppress

import uvicorn
from rich.console import Console

from runtime.errors import OperatorNeeded
from runtime.instance import at_work_on
from runtime.logs import set_up_logs
from runtime.parts import Parts
from runtime.settings import Settings
from web.wiring import build, build_parts

WEB = "web"


def web(settings: Settings, console: Console) -> int:
    """Serve the page until Ctrl-C or SIGTERM; exit status 0."""
    parts = build_parts(settings, console)
    with at_work_on(parts.home, parts.home.lock_of(WEB), parts.clock):
        set_up_logs(parts.home.logs, WEB, settings.secrets, console)
        built = build(parts)
        with closing(built.database), closing(built.similar), closing(_listen(parts)) as listening:
            for worker in built.workers:
                worker.start()
            try:
                console.print(f"The page is at {_address(parts, listening)} (Ctrl-C ends it).", soft_wrap=True)
                told = uvicorn.Config(
                    built.app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=3
                )
                with suppress(KeyboardInterrupt):  # uvicorn ends well and raises it again
                    uvicorn.Server(told).run([listening])
            finally:
                for worker in reversed(built.workers):
                    worker.end()
    return 0


def _listen(parts: Parts) -> socket.socket:
    host, port = parts.settings.web_host.strip("[]"), parts.settings.web_port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise OperatorNeeded(
            f"The page cannot be served at {host}, port {port} ({error.strerror}).",
            advice="Is it running already? Another port is set by WEB_PORT.",
        ) from error
    # asyncio does so for sockets of its own; without, each answer waits 40 ms for the browser's acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _address(parts: Parts, listening: socket.socket) -> str:
    host, port = parts.settings.web_host, listening.getsockname()[1]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
