"""The downloads: one thread hands out and writes down, several bring pictures.

    queue in image_status → Wanted → worker: fetch, check, file under its name → Result
      → a batch: files settled on the disk, then one short transaction marks their rows done

A row says done only after its file is on the disk. Killed in between, the file is found at the next start and
checked instead of fetched again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from imaging.courtesy import Courtesy
from imaging.crew import Crew
from imaging.disk import Disk, settle
from imaging.layout import Store
from imaging.store import queue
from imaging.store.queue import Failed, Got
from imaging.worker import Result
from runtime.clock import Clock, iso
from runtime.errors import Stopped
from runtime.rate import Rate
from runtime.stop import Stop

BATCH, BATCH_SECONDS = 200, 1.0
AHEAD_PER_WORKER = 32
COLLECT_SECONDS, LOOK_SECONDS, IDLE_SECONDS, DISK_SECONDS = 0.1, 1.0, 5.0, 5.0
RATE_SECONDS, WORD_SECONDS = 60.0, 5.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the downloads of this run have done; `held` says what keeps them waiting, empty where nothing does."""

    done: int
    fetched: int
    failed: Mapping[str, int]
    per_second: float
    held: str


class Downloads:
    """Empties the queue; all its methods belong to one thread, the only one that touches the database.

    `transaction` opens a database transaction; `observe` is told of the standing several times a second.
    """

    def __init__(
        self,
        crew: Crew,
        courtesy: Courtesy,
        store: Store,
        disk: Disk,
        transaction: Callable[[], AbstractContextManager[None]],
        clock: Clock,
        stop: Stop,
        workers: int,
        observe: Callable[[Standing], None],
    ) -> None:
        self._crew = crew
        self._courtesy = courtesy
        self._store = store
        self._disk = disk
        self._transaction = transaction
        self._clock = clock
        self._stop = stop
        self._observe = observe
        self._ahead = workers * AHEAD_PER_WORKER
        self._handed_out = 0
        self._at_work: set[int] = set()  # handed out, or brought and not written down yet
        self._batch: list[Result] = []
        self._batch_due = self._word_due = 0.0
        self._disk_trouble = ""
        self._disk_look_at = self._nothing_until = float("-inf")
        self._failed: Counter[str] = Counter()
        self._done = self._fetched = 0
        self._rate = Rate(clock, RATE_SECONDS)

    def run(self, for_ever: bool) -> Standing:
        """Download until stopped, or (not `for_ever`) until nothing is left whose time has come."""
        self._crew.begin()
        try:
            while for_ever or not self._is_finished():
                self._feed()
                # Not at each result: to be woken for every picture cost a tenth of the whole.
                self._stop.pause(COLLECT_SECONDS)
                for result in self._crew.results():
                    self._take_in(result)
                self._write_where_due()
                self._leave_word()
                self._observe(self.standing())
        except Stopped:
            pass
        finally:
            self._crew.leave()
        for result in self._crew.results():
            self._take_in(result)
        self._write()
        return self.standing()

    def standing(self) -> Standing:
        """Return what this run has done so far."""
        per_second = self._rate.per_second(self._done)
        return Standing(self._done, self._fetched, dict(self._failed), per_second, self._held())

    def _is_finished(self) -> bool:
        nothing = self._nothing_until > self._clock.monotonic()
        return nothing and not self._at_work and not self._disk_trouble

    def _feed(self) -> None:
        """Hand out more pictures where few are left and the disk takes them."""
        now = self._clock.monotonic()
        if now >= self._disk_look_at:
            self._note_disk(self._disk.trouble())
        if self._disk_trouble or self._handed_out > self._ahead // 2 or now < self._nothing_until:
            return
        found = queue.take(self._ahead - self._handed_out, self._clock.now(), self._at_work)
        if not found:
            self._nothing_until = now + IDLE_SECONDS
            return
        with self._transaction():
            shared = queue.share([wanted.image_id for wanted in found])
        self._done += len(shared)
        for wanted in found:
            if wanted.image_id not in shared:
                self._at_work.add(wanted.image_id)
                self._handed_out += 1
                self._crew.hand_out(wanted)

    def _note_disk(self, trouble: str) -> None:
        """Begin to wait, or go on, as the disk allows."""
        self._disk_look_at = self._clock.monotonic() + (DISK_SECONDS if trouble else LOOK_SECONDS)
        if trouble and trouble != self._disk_trouble:
            log.warning("Downloads wait: %s. They go on by themselves when that is mended.", trouble)
            back = self._crew.recall()
            self._handed_out -= len(back)
            self._at_work.difference_update(wanted.image_id for wanted in back)
        elif self._disk_trouble and not trouble:
            log.info("Downloads go on.")
        self._disk_trouble = trouble

    def _take_in(self, result: Result) -> None:
        self._handed_out -= 1
        if result.disk:
            # Its row stays in the queue as it is: nothing is wrong with the picture.
            self._at_work.discard(result.wanted.image_id)
            self._disk.unusable()
            self._note_disk(result.disk)
            return
        if not self._batch:
            self._batch_due = self._clock.monotonic() + BATCH_SECONDS
        self._batch.append(result)

    def _write_where_due(self) -> None:
        # Where nothing is under way, nothing can come that would share the write.
        due = not self._handed_out or self._clock.monotonic() >= self._batch_due
        if len(self._batch) >= BATCH or (self._batch and due):
            self._write()

    def _write(self) -> None:
        """Settle the files of a batch on the disk, then write down what became of the pictures."""
        batch, self._batch = self._batch, []
        self._at_work.difference_update(result.wanted.image_id for result in batch)
        if not batch:
            return
        try:
            settle(self._store.root, [result.path for result in batch if result.path])
        except OSError as error:
            # Files without a row: they are found and checked when their turn comes again.
            self._note_disk(f"{self._store.root} cannot be used ({error.strerror})")
            return
        got = [Got(one.wanted.image_id, one.picture, iso(one.stored_at)) for one in batch if one.picture]
        failed = [Failed(one.wanted, one.outcome) for one in batch if one.outcome]
        self._done += len(got)
        self._fetched += sum(one.fetched for one in batch if one.picture)
        self._failed.update(one.outcome for one in failed)
        with self._transaction():
            queue.record(got, failed, self._clock.now())

    def _leave_word(self) -> None:
        """Tell other processes now and then how fast this goes, and what holds it."""
        now = self._clock.monotonic()
        if now >= self._word_due:
            self._word_due = now + WORD_SECONDS
            with self._transaction():
                queue.save_progress(iso(self._clock.now()), self._rate.per_second(self._done), self._held())

    def _held(self) -> str:
        """Return what keeps the downloads waiting, empty where nothing does."""
        left = self._courtesy.until - self._clock.monotonic()
        return self._disk_trouble or (f"the picture host is left alone for {left:.0f} s" if left > 0 else "")
