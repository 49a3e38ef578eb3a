"""Carries out jobs, one after the other, until a stop or until nothing is open.

    claim (one transaction) → the file begins → handler: network, files and thought, no row → outcome and job's end
    in one transaction

Whatever moment the process dies at, the job is found running, too old, and is taken up again: at least once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from peewee import Database, PeeweeException

from publishing import files, jobs, store, webhook
from publishing.changes import FileGone, Outcome
from publishing.handlers import HANDLERS, Handler
from publishing.handlers.context import Context
from publishing.machine import INGESTED
from publishing.payloads import parse_payload
from publishing.records import Claim, Task
from publishing.retries import Rule
from publishing.then import following
from publishing.troubles import FileBroken, JobFailed
from runtime.database import transaction
from runtime.errors import CrawlError, Stopped
from runtime.files import trouble_in_words
from runtime.stop import Stop

POLL_SECONDS = 1.0
TIDY_SECONDS = 60.0  # between two looks for stalled jobs and old hashes
log = logging.getLogger(__name__)


@dataclass
class Tally:
    """What a worker has done since it began."""

    completed: int = 0
    failed: int = 0
    put_back: int = 0
    recovered: int = 0
    now: str = field(default="")


class Worker:
    """One worker; several may share a database. `observe` is told after each job and now and then while it waits."""

    def __init__(
        self,
        database: Database,
        context: Context,
        rule: Rule,
        hash_seconds: float,
        stop: Stop,
        observe: Callable[[Tally], None],
    ) -> None:
        self._database = database
        self._context = context
        self._rule = rule
        self._hash_seconds = hash_seconds
        self._stop = stop
        self._observe = observe
        self._tidy_at = float("-inf")
        self.tally = Tally()

    def run(self, until_empty: bool) -> Tally:
        """Carry out jobs until a stop is asked for (Stopped), or until none is open where that is asked for."""
        while True:
            if not self.step():
                if until_empty and not jobs.is_anything_open():
                    return self.tally
                self._stop.pause(POLL_SECONDS)
            self._observe(self.tally)

    def step(self) -> bool:
        """Carry out the next job that is due; return whether there was one. Stopped."""
        self._stop.attend()
        self._tidy()
        claimed = self._claim()
        if claimed is not None:
            self._carry_out(claimed)
        return claimed is not None

    def _tidy(self) -> None:
        now = self._stop.clock.now()
        if now < self._tidy_at:
            return
        with transaction(self._database, self._stop):
            self.tally.recovered += jobs.recover_stalled(self._rule, now)
            webhook.forget_old(self._hash_seconds, now)
        self._tidy_at = now + min(TIDY_SECONDS, self._rule.stalled_seconds)

    def _claim(self) -> Claim | None:
        now = self._stop.clock.now()
        for job_id, file_id in jobs.candidates(self._rule, now):
            with transaction(self._database, self._stop):
                claimed = jobs.claim(job_id, file_id, now)
            if claimed is not None:
                return claimed
        return None

    def _carry_out(self, claimed: Claim) -> None:
        """Run one job and write what came of it."""
        self.tally.now = claimed.command_type
        try:
            self._complete(claimed, *self._handle(claimed))
        except Stopped:
            with transaction(self._database, self._stop):
                jobs.release(claimed)
            raise
        except JobFailed as error:
            self._fail(claimed, error.words(), isinstance(error, FileBroken))
        except CrawlError as error:
            self._again(claimed, error.words())
        except PeeweeException:
            raise  # the database's trouble is nobody's job's
        except OSError as error:
            self._again(claimed, trouble_in_words(error).words())
        except Exception as error:
            log.exception("%s %s crashed.", claimed.command_type, claimed.id)
            self._again(claimed, f"This is a bug of the program ({type(error).__name__}: {error}).")
        self.tally.now = ""

    def _handle(self, claimed: Claim) -> tuple[Task, Outcome]:
        task, handler = self._load(claimed)
        if handler.begins and task.file is not None and task.file.status == INGESTED:
            with transaction(self._database, self._stop):
                files.begin(task.file.id, self._stop.clock.now())
        return task, handler.run(task, self._context)

    def _load(self, claimed: Claim) -> tuple[Task, Handler]:
        """Return all that the handler may know; JobFailed for a command, payload or status that cannot be."""
        handler = HANDLERS.get(claimed.command_type)
        if handler is None:
            raise JobFailed(
                f"There is no command {claimed.command_type!r}.", advice=f"There are {', '.join(HANDLERS)}."
            )
        payload = parse_payload(claimed.payload_json)
        following(payload)
        file = files.find(claimed.file_id) if claimed.file_id else None
        if file is None:
            return Task(claimed, payload, None), handler
        if handler.statuses and file.status not in handler.statuses:
            raise JobFailed(
                f"{claimed.command_type} needs a file that is {' or '.join(handler.statuses)}; {file.id} is "
                f"{file.status}.",
                advice=files.NEXT_STEP.get(file.status, ""),
            )
        return Task(claimed, payload, file, store.load_listings(file.id), store.load_posts(file.id)), handler

    def _complete(self, claimed: Claim, task: Task, outcome: Outcome) -> None:
        now = self._stop.clock.now()
        with transaction(self._database, self._stop):
            if not jobs.complete(claimed, outcome.result, now):
                log.warning("%s %s had been taken up by another worker.", claimed.command_type, claimed.id)
                return
            for change in outcome.changes:
                store.apply(change, claimed, now)
            for command_type, payload in following(task.payload):
                file_id = None if FileGone() in outcome.changes else outcome.result.get("file_id") or claimed.file_id
                jobs.enqueue(command_type, payload, now, file_id)
        self.tally.completed += 1
        log.info("%s %s: %s", claimed.command_type, claimed.id, dict(outcome.result))

    def _fail(self, claimed: Claim, words: str, is_broken: bool) -> None:
        now = self._stop.clock.now()
        with transaction(self._database, self._stop):
            held = jobs.fail(claimed, words, now)
            file = files.find(claimed.file_id) if claimed.file_id else None
            if held and is_broken and file is not None and files.may(file.status, "fail"):
                files.fail(file.id, now)
        self.tally.failed += 1
        log.error("%s %s failed: %s", claimed.command_type, claimed.id, words)

    def _again(self, claimed: Claim, words: str) -> None:
        if self._rule.is_last(claimed.attempt):
            self._fail(claimed, words, is_broken=False)
            return
        with transaction(self._database, self._stop):
            jobs.put_back(claimed, words)
        self.tally.put_back += 1
        wait = self._rule.wait_seconds(claimed.attempt)
        log.warning("%s %s: %s Trying again in %.0f s.", claimed.command_type, claimed.id, words, wait)
