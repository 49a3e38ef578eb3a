"""The webhooks' endpoint: POST /webhook on 127.0.0.1; answers 202 for a new job, 200 for a payload that was known.

It listens on this machine alone, asks for `application/json`, which no page of another site may send here, and
refuses names that only a browser led astray would use.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import uvicorn
from peewee import Database
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from publishing.webhook import Inbox, Taken
from runtime.errors import CrawlError, Stopped, UserMistake
from runtime.listening import listen
from runtime.stop import Stop

HOST, PATH = "127.0.0.1", "/webhook"
MOST_BYTES = 1_000_000
LOOK_SECONDS = 0.2


def build_application(inbox: Inbox, database: Database) -> Starlette:
    """Return the endpoint as an ASGI application; each request works on a connection of its own."""

    def take(body: bytes) -> Taken:
        with database.connection_context():
            return inbox.take(body)

    async def webhook(request: Request) -> JSONResponse:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _refusal(415, "Send application/json.")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return _refusal(413, f"A payload may have {MOST_BYTES:,} bytes.")
        try:
            taken = await run_in_threadpool(take, body)
        except UserMistake as error:
            return _refusal(400, error.words())
        except CrawlError as error:  # a stop, or a database that cannot be used: the sender should come again
            return _refusal(503, error.words())
        told = {"hash": taken.hash, "job_id": taken.job_id}
        return JSONResponse(told, 200 if taken.job_id is None else 202)

    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    return Starlette(routes=[Route(PATH, webhook, methods=["POST"])], middleware=[hosts])


def serve_webhooks(inbox: Inbox, database: Database, port: int, stop: Stop, say: Callable[[str], None]) -> None:
    """Serve until a stop is asked for (Stopped); port 0: any. OperatorNeeded where the port is taken."""
    listener = listen(HOST, port, "WEBHOOK_PORT")
    config = uvicorn.Config(build_application(inbox, database), log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    # In a thread of its own uvicorn leaves the signals alone; they are ours.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="webhooks", daemon=True)
    thread.start()
    say(f"Webhooks: POST http://{HOST}:{listener.getsockname()[1]}{PATH}")
    try:
        while thread.is_alive():
            stop.pause(LOOK_SECONDS)
    except Stopped:
        server.should_exit = True
        thread.join(1.0)
        server.force_exit = True
        thread.join(1.0)
        raise
    finally:
        listener.close()


def _refusal(status: int, words: str) -> JSONResponse:
    return JSONResponse({"error": words}, status)
