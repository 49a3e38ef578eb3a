"""Never more than the allowed calls in any second, also across our processes and across a restart.

Calls are spaced, not sent in bursts. What counts is when a call arrives at the server, which lies between
sending and answer. Where answers usually come quickly, the answer is taken as the bound, so that a stall on
the way brings no sixth call into a second; where they are slow, the usual time is the server's, what is over it
counts as a stall if answers do not differ that much by themselves, and the rest is a spare.
The moments of the last calls are kept in a small file per key, on the monotonic clock that all processes
share until the next boot: a process started right after another was killed keeps its distance too.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from filelock import FileLock

from runtime.clock import Clock
from runtime.stop import Stop

SPARE = 0.012  # seconds by which a window is longer than a second; 200 ms spacing exactly draws 429s
LEAD_SECONDS = 0.005  # before its moment a turn is taken, with all that takes time done, and waits for it
LATE_SECONDS = 0.001  # between a turn and the sending: a busy disk or processor
QUICK_SECONDS = 0.25  # answers that usually take less than this bound their call's arrival
REMEMBERED = 9
STEADY_SECONDS = 0.05  # slow answers that differ less than this are the server's usual time, what is over is a stall
STEP_SECONDS, WIDEST_SECONDS = 0.005, 0.1  # spacing grows by a step with each 429 of the second
LATENESS_REMEMBERED, USUAL_LATENESS_SECONDS, MOST_UNSTEADY_SECONDS = 100, 0.002, 0.05
NARROWER_SECONDS = 0.00001  # and shrinks with each answer: a step is worn off after 500
log = logging.getLogger(__name__)


@dataclass
class Slots:
    """The last calls as [sent, arrived at the latest], and the moment before which nothing may go."""

    calls: list[list[float]] = field(default_factory=list)
    not_before: float = 0.0


class SlotFile:
    """Keeps Slots in a file that several processes share; in memory where the file cannot be written."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._memory = Slots()
        self._lock = FileLock(f"{path}.lock") if path else None

    @classmethod
    def for_key(cls, folders: Sequence[Path], api_url: str, key_header: str) -> SlotFile:
        """Return the slots of one key at one server, in the first folder that can be written.

        The file's name does not tell the key.
        """
        name = hashlib.sha256(f"{api_url} {key_header}".encode()).hexdigest()[:16]
        for folder in folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                slots = cls(folder / f"calls-{name}.json")
                slots._update_file(lambda kept: True)
            except OSError as error:
                log.warning("%s cannot be written (%s): calls of other processes may not be seen.", folder, error)
            else:
                return slots
        return cls(None)

    def update(self, change: Callable[[Slots], bool]) -> None:
        """Read the slots and write them where `change` says that it changed them: one operation among all processes."""
        try:
            self._update_file(change)
        except OSError as error:  # a full disk must not stop the crawl for the sake of a note
            log.warning("%s cannot be written (%s): calls of other processes may not be seen.", self._path, error)
            self._memory, self._path, self._lock = self._read(), None, None
            self._update_file(change)

    def _update_file(self, change: Callable[[Slots], bool]) -> None:
        with self._lock.acquire() if self._lock else nullcontext():
            slots = self._read()
            if change(slots):
                self._write(slots)

    def _read(self) -> Slots:
        if self._path is None:
            return self._memory
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            return Slots([[float(sent), float(latest)] for sent, latest in kept["calls"]], float(kept["not_before"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Slots()

    def _write(self, slots: Slots) -> None:
        if self._path is None:
            return
        # Renamed into place: a process killed while it writes must not leave half a file.
        aside = self._path.with_suffix(".aside")  # one for all, since the lock is held: deaths leave no heap of them
        aside.write_text(json.dumps({"calls": slots.calls, "not_before": slots.not_before}), encoding="utf-8")
        aside.replace(self._path)


class Limiter:
    """Hands out moments to call at. `rate` is asked before each call, so that it may be turned down or up."""

    def __init__(self, clock: Clock, stop: Stop, rate: Callable[[], float], slots: SlotFile) -> None:
        self._clock = clock
        self._stop = stop
        self._rate = rate
        self._slots = slots
        self._widened = 0.0
        self._latencies: deque[float] = deque(maxlen=REMEMBERED)
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._own = threading.local()
        self._nothing = threading.Event()
        self._last = 0.0, 0.0  # of our own calls: when it was sent, and when it was to be
        self._lateness: deque[float] = deque([0.0], maxlen=LATENESS_REMEMBERED)

    def rate(self) -> float:
        """Return how many calls a second are allowed now."""
        return self._rate()

    def wait_for_turn(self) -> float:
        """Wait until a call may go and return the moment it is sent; raises Stopped when asked to stop."""
        # One at a time waits for its moment, and looks again when it has come: nobody holds one that a 429 put off.
        with self._turn:
            while True:
                now, at = self._take()
                if at <= now:
                    self._own.sent = now
                    return now
                woken_at = max(now, at - LEAD_SECONDS)
                self._stop.pause(woken_at - now)
                self._lateness.append(self._clock.monotonic() - woken_at)

    def leaves(self) -> None:
        """Note that this thread's call, whose turn came a while ago, is sent only now: it has not arrived before."""
        now, sent = self._clock.monotonic(), float(self._own.sent)
        if now - sent > LATE_SECONDS:
            self._settle(sent, now + SPARE)

    def answered(self, sent: float) -> None:
        """Note that the call sent then has its answer, or failed: it cannot have arrived later than now."""
        now = self._clock.monotonic()
        with self._lock:
            self._latencies.append(now - sent)
            self._widened = max(0.0, self._widened - NARROWER_SECONDS)
            usual, least = median(self._latencies), min(self._latencies)
        # Where slow answers differ much, what is usual does not tell when this call arrived.
        stalled = now - sent - least if usual - least <= STEADY_SECONDS else 0.0
        self._settle(sent, now if usual <= QUICK_SECONDS else sent + max(SPARE, stalled))

    def hold(self, seconds: float) -> None:
        """Let no call go for that long, in any process, and space calls a little wider from now on."""
        until = self._clock.monotonic() + seconds

        def move(slots: Slots) -> bool:
            slots.not_before = max(slots.not_before, until)
            return True

        with self._lock:
            self._widened = min(self._widened + STEP_SECONDS, WIDEST_SECONDS)
            self._slots.update(move)

    def _take(self) -> tuple[float, float]:
        """Take the turn if its moment has come; return what time it is, and the moment."""
        looked: list[tuple[float, float]] = []

        def take(slots: Slots) -> bool:
            now = self._clock.monotonic()
            at = self._next_moment(slots, now)
            if now < at <= now + LEAD_SECONDS:
                self._clock.wait(self._nothing, at - now)
                now = self._clock.monotonic()
            looked.append((now, at))
            if at <= now:
                slots.calls.append([now, now + SPARE])
                self._last = now, at
            return at <= now

        with self._lock:
            self._slots.update(take)
        return looked[-1]

    def _next_moment(self, slots: Slots, now: float) -> float:
        rate = self._rate()
        in_window = max(1, int(rate))
        window = max(1.0, 1.0 / rate)
        # After a boot the monotonic clock begins anew: moments that are still to come are another life's.
        slots.calls = [call for call in slots.calls if call[0] <= now][-in_window:]
        slots.not_before = slots.not_before if slots.not_before < now + 86_400 else 0.0
        at = slots.not_before
        if slots.calls:
            room = (window + SPARE + self._unsteadiness()) / in_window + self._widened
            at = max(at, self._meant(slots.calls[-1][0]) + room)
        if len(slots.calls) == in_window:
            at = max(at, slots.calls[0][1] + window + 0.001)
        return at

    def _meant(self, sent: float) -> float:
        """Return when the call sent then was to go, where it was ours: the usual lateness puts off no others.

        That never too many arrive in a second rests on the moments at which they were sent.
        """
        last_sent, last_meant = self._last
        return max(last_meant, sent - USUAL_LATENESS_SECONDS) if sent == last_sent else sent

    def _unsteadiness(self) -> float:
        """Return by how much this machine, being busy, wakes up too late: what is sent may be held up as long again."""
        return min(max(0.0, max(self._lateness) - USUAL_LATENESS_SECONDS), MOST_UNSTEADY_SECONDS)

    def _settle(self, sent: float, latest: float) -> None:
        def settle(slots: Slots) -> bool:
            calls = [call for call in slots.calls if call[0] == sent]
            for call in calls:
                call[1] = latest
            return bool(calls)

        with self._lock:
            self._slots.update(settle)
