"""Being asked to stop: KILL files, SIGINT, SIGTERM and SIGHUP (the terminal was closed); and to dump: SIGUSR1.

A stop is a wish that is kept, not an interruption: whoever works asks `requested()` between two pieces of
work and waits only through `pause()`, which ends within a second of the wish.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import FrameType

from runtime.clock import Clock
from runtime.errors import OperatorNeeded, Stopped

SLICE_SECONDS = 0.25
LOOK_SECONDS = 1.0
log = logging.getLogger(__name__)


class Stop:
    """Watches the KILL files of one home and the process's signals; it does not stop anything by itself.

    With a `parent`, what stops the parent stops this too; not the other way round.
    """

    def __init__(self, clock: Clock, kill_files: tuple[Path, ...], parent: Stop | None = None) -> None:
        self.clock = clock
        self._parent = parent
        self.reason = ""
        self.on_dump: Callable[[], None] | None = None
        self._dump_wanted = threading.Event()
        self._asked = threading.Event()
        self._kill_files = kill_files
        self._needed: tuple[Path, ...] = ()
        self._look_at = float("-inf")

    def need(self, *paths: Path) -> None:
        """Have whoever attends or pauses hear of it (OperatorNeeded) when one of these files is gone.

        A file that is open can be written for long after its disk has left its place; KILL files would not be seen.
        """
        self._needed = paths

    def clear_old_files(self, keep: Collection[str] = ()) -> None:
        """Remove the KILL files that lay there before this start, with a line in the log; not those named in `keep`.

        OperatorNeeded where one cannot be removed: it would stop this start, and each that follows, at once.
        """
        for path in self._kill_files:
            if path.name not in keep and os.path.lexists(path):
                try:
                    _remove(path)
                except OSError as error:
                    raise OperatorNeeded(
                        f"{path} is older than this start and cannot be removed ({error.strerror}).",
                        advice="Remove it by hand, then start again.",
                    ) from error
                log.info("Removed %s: it is older than this start.", path.name)

    def ask(self, reason: str) -> None:
        """Ask for a stop; the first reason is the one that is told."""
        self.reason = self.reason or reason
        self._asked.set()

    def requested(self) -> bool:
        """Return whether a stop was asked for, by signal or by file."""
        if not self._asked.is_set():
            if self._parent is not None and self._parent.requested():
                self.ask(self._parent.reason)
            for path in self._kill_files:
                if os.path.lexists(path):  # a link to nowhere asks for a stop too; no disk's error is raised here
                    self.ask(f"the file {path.name}")
        return self._asked.is_set()

    def is_known(self) -> bool:
        """Return whether `requested` has found a stop already; looks at no file, for those who ask very often."""
        return self._asked.is_set()

    def raise_if_requested(self) -> None:
        """Raise Stopped where a stop was asked for, OperatorNeeded where a file that is needed has gone."""
        if self.requested():
            raise Stopped(f"Stopped by {self.reason}.")
        self._look_for_the_needed()

    def attend(self) -> None:
        """Do what signals asked for: raise Stopped, or make a dump (in the main thread only)."""
        self.raise_if_requested()
        if self._dump_wanted.is_set() and threading.current_thread() is threading.main_thread():
            self._dump_wanted.clear()
            if self.on_dump:
                self.on_dump()

    def pause(self, seconds: float) -> None:
        """Wait that long; raises Stopped within a second of being asked to stop."""
        end = self.clock.monotonic() + seconds
        while True:
            self.attend()
            left = end - self.clock.monotonic()
            if left <= 0:
                return
            self.clock.wait(self._asked, min(left, SLICE_SECONDS))

    def obeyed(self, keep: Collection[str] = ()) -> None:
        """Remove the files that asked for this stop; not those named in `keep`, which somebody else has yet to obey."""
        for path in self._kill_files:
            if path.name not in keep and os.path.lexists(path):
                try:
                    _remove(path)
                except OSError as error:
                    log.warning("%s cannot be removed (%s); remove it by hand.", path, error.strerror)

    def _look_for_the_needed(self) -> None:
        if self._parent is not None:
            self._parent._look_for_the_needed()
        now = self.clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        for path in self._needed:
            if not path.exists():
                raise OperatorNeeded(
                    f"{path} is not there any more.",
                    advice="Is its disk mounted? Put it back where it was, then start again: it goes on where it was.",
                )

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Obey SIGINT, SIGTERM, SIGHUP and SIGUSR1 for as long as the block lasts; main thread only."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.ask(signal.Signals(number).name)

        def dump(number: int, frame: FrameType | None) -> None:
            # Not here: a handler may interrupt a transaction.
            self._dump_wanted.set()

        handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]] = {
            signal.SIGINT: stop,
            signal.SIGTERM: stop,
            signal.SIGUSR1: dump,
        }
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` has it ignored
            handlers[signal.SIGHUP] = stop
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def leave_interrupts() -> None:
    """Leave Ctrl-C to the process that began this one; it ends this one, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
