"""The models in a process of their own, that stays between queries: FAISS and torch in one crash on a Mac.

this process ── query ─▶ pipe ─▶ the models' process: loads what is asked for, and keeps it
             ◀─ vectors or an error ─┘                ends with this one, or when it is told to
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from io import StringIO
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from rich.console import Console

from runtime.clock import Clock
from runtime.errors import Bug, CrawlError, OperatorNeeded
from runtime.parts import Parts
from runtime.settings import Settings
from runtime.stop import leave_interrupts
from search.encode import Encoded, Encoder, Wanted
from search.wiring import Kit, build_kit, build_parts

PATIENCE_SECONDS = 5.0


class Resident:
    """Makes vectors, one query after the other; the process begins with the first one."""

    def __init__(self, settings: Settings, clock: Clock, build: Callable[[Parts], Kit] = build_kit) -> None:
        self._settings = settings
        self._clock = clock
        self._build = build
        self._line = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._changing = threading.Lock()
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._asked_at = self._clock.monotonic()

    def encode(self, wanted: Wanted) -> Encoded:
        """Return the vectors; UserMistake where something is no picture, OperatorNeeded."""
        return self.begin(wanted).result()

    def begin(self, wanted: Wanted) -> Future[Encoded]:
        """Return what will be the vectors, or one of our errors."""
        return self._line.submit(self._ask, wanted)

    def end_after(self, idle_seconds: float) -> Future[None]:
        """Have the process end where nothing was asked of it for so long; its memory is free then."""
        return self._line.submit(self._end_if_idle, idle_seconds)

    def close(self) -> None:
        """End the process, also in the middle of a query."""
        self._line.shutdown(wait=False, cancel_futures=True)
        self._end()

    def _ask(self, wanted: Wanted) -> Encoded:
        try:
            pipe = self._open()
            pipe.send(wanted)
            told = pipe.recv()
        except (EOFError, OSError) as error:
            status = self._end()
            raise OperatorNeeded(
                f"The process of the models has ended ({status}).",
                advice="Is memory short? Look again, or name fewer models in EMBED_MODELS.",
            ) from error
        finally:
            self._asked_at = self._clock.monotonic()
        if isinstance(told, CrawlError):
            raise told
        found: Encoded = told
        return found

    def _open(self) -> Connection:
        with self._changing:
            if self._pipe is None:
                context = multiprocessing.get_context("spawn")
                self._pipe, theirs = context.Pipe()
                self._process = context.Process(
                    target=serve, args=(theirs, self._settings, self._build), name="models", daemon=True
                )
                self._process.start()
                theirs.close()
            return self._pipe

    def _end(self) -> str:
        """End the process and return how it ended, in words."""
        with self._changing:
            process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        if process is None or pipe is None:
            return "it was told to"
        process.terminate()
        process.join(PATIENCE_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
        pipe.close()
        return f"exit status {process.exitcode}"

    def _end_if_idle(self, idle_seconds: float) -> None:
        if self._clock.monotonic() - self._asked_at >= idle_seconds:
            self._end()


def serve(pipe: Connection, settings: Settings, build: Callable[[Parts], Kit]) -> None:
    """Answer queries until the other end is gone."""
    leave_interrupts()
    encoder: Encoder | None = None
    while True:
        try:
            wanted = pipe.recv()
        except EOFError:
            return
        try:
            encoder = encoder or Encoder(build(build_parts(settings, Console(file=StringIO()))))
            told: Encoded | CrawlError = encoder.encode(wanted)
        except CrawlError as error:
            told = error
        except Exception as error:  # whatever a library raises is told to who asked
            told = Bug(f"The models failed: {type(error).__name__}: {error}")
        try:
            pipe.send(told)
        except OSError:
            return
