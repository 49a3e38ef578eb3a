"""The sandbox's picture host in a process of its own, so that what it costs is counted to nobody."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from types import TracebackType
from typing import NamedTuple

from sandbox import Sandbox, SandboxSettings
from sandbox.answer import Answer
from sandbox.market import PictureAddress
from sandbox.server import SandboxServer

DISTINCT_PICTURES = 20
WARM_UP = 1_000  # pictures asked for beforehand: all the distinct ones are among them
PICTURES_A_LISTING = 4  # there are a few more


class Work(NamedTuple):
    """What the host did since it was last told to begin."""

    pictures: int
    connections: int
    cpu_seconds: float
    seconds: float
    """From the first request to the last answer."""


class TimedSandbox(Sandbox):
    """A sandbox that keeps when pictures were asked for."""

    asked_at: list[float]

    def picture(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Answer as a sandbox does, and note the moment."""
        self.asked_at.append(time.monotonic())
        return super().picture(path, headers)


def market(pictures: int, latency_seconds: float = 0.0) -> SandboxSettings:
    """Return the settings of a market with so many pictures, every one a whole JPEG."""
    return SandboxSettings(
        listings=pictures // PICTURES_A_LISTING + 50,
        distinct_pictures=DISTINCT_PICTURES,
        dead_pictures=0.0,
        odd_formats=0.0,
        picture_latency_seconds=latency_seconds,
    )


def path_of(address: PictureAddress) -> str:
    """Return the picture's address below the host."""
    return f"/il/{address.hex}/{address.image_id}/il_570xN.{address.image_id}_{address.suffix}.jpg"


def warm_sandbox(settings: SandboxSettings) -> TimedSandbox:
    """Return a sandbox with all the distinct pictures drawn: drawing is what would take it long."""
    sandbox = TimedSandbox(settings)
    sandbox.asked_at = []
    for address in sandbox.picture_addresses(WARM_UP):
        sandbox.picture(path_of(address))
    return sandbox


class PictureHost:
    """Serves pictures while its `with` block lasts; `cdn_url` is what stands for Etsy's host."""

    def __init__(self, settings: SandboxSettings) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, far_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(settings, far_end), daemon=True)
        self.cdn_url = ""

    def __enter__(self) -> PictureHost:
        """Start to serve, with every distinct picture drawn."""
        self._process.start()
        self.cdn_url = self._pipe.recv()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to serve."""
        self._pipe.send("end")
        self._process.join()

    def begin(self) -> None:
        """Count from now on."""
        self._ask("begin")

    def work(self) -> Work:
        """Return what the host did since then."""
        return self._ask("work")

    def _ask(self, what: str) -> Work:
        self._pipe.send(what)
        work: Work = self._pipe.recv()
        return work


def _serve(settings: SandboxSettings, pipe: Connection) -> None:
    sandbox = warm_sandbox(settings)
    with SandboxServer(sandbox) as server:
        pipe.send(server.cdn_url)
        before = _total(sandbox)
        while (what := pipe.recv()) != "end":
            total = _total(sandbox)
            pipe.send(
                Work(
                    total.pictures - before.pictures,
                    total.connections - before.connections,
                    total.cpu_seconds - before.cpu_seconds,
                    total.seconds,
                )
            )
            if what == "begin":
                sandbox.asked_at.clear()
                before = _total(sandbox)


def _total(sandbox: TimedSandbox) -> Work:
    """Return what was done since the start, but the seconds since the moments were cleared."""
    used, asked_at = resource.getrusage(resource.RUSAGE_SELF), sandbox.asked_at
    seconds = max(asked_at) - min(asked_at) + sandbox.settings.picture_latency_seconds if asked_at else 0.0
    return Work(sandbox.picture_calls[200], sandbox.picture_connections, used.ru_utime + used.ru_stime, seconds)
