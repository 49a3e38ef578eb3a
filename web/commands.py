"""The sub-command `web`."""

from __future__ import annotations

import socket
from contextlib import closing, suppress

import uvicorn
from rich.console import Console

from runtime.instance import at_work_on
from runtime.listening import listen
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
        host, port = settings.web_host.strip("[]"), settings.web_port
        with closing(built.database), closing(built.similar), closing(listen(host, port, "WEB_PORT")) as listening:
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


def _address(parts: Parts, listening: socket.socket) -> str:
    host, port = parts.settings.web_host, listening.getsockname()[1]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
