"""The sub-commands of `publish`: from arguments to words on the terminal."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from peewee import Database
from rich.console import Console

from models.crawl import ApiUsage
from models.publishing import ServiceUsage
from publishing import files, ingesting, jobs, report, usage
from publishing.reading import read_payload
from publishing.serving import serve_webhooks
from publishing.wiring import (
    BuildPace,
    build_inbox,
    build_parts,
    build_rule,
    build_worker,
    open_for_reading,
    open_for_writing,
    opener,
)
from publishing.worker import Tally
from runtime.clock import DAY_SECONDS
from runtime.database import errors_in_words, transaction
from runtime.errors import AlreadyRunning
from runtime.parts import Parts
from runtime.progress import Progress
from runtime.settings import Settings
from runtime.work import PUBLISH, PUBLISH_SERVE, at_work

TITLE = "publishing"
LISTABLE = ("approved", "published")
DETAILS = ("platform", "price", "taxonomy_id", "quantity", "who_made", "when_made", "shipping_profile_id")
Given = argparse.Namespace


def publish(given: Given, settings: Settings, console: Console, build_pace: BuildPace) -> int:
    """Run the sub-command that the arguments name; return the exit status."""
    parts = build_parts(settings, console)
    if given.action == "work":
        return work(parts, given.until_empty, build_pace)
    return ACTIONS[given.action](parts, given)


def work(parts: Parts, until_empty: bool, build_pace: BuildPace) -> int:
    """Carry out jobs until a stop, or until none is open; exit status 0."""
    with (
        _a_place_to_work(parts) as database,
        errors_in_words(parts.home.publishing_database),
        Progress(parts.console, parts.clock, TITLE) as progress,
    ):

        def observe(tally: Tally) -> None:
            if progress.due():
                progress.show(_standing(tally))

        worker = build_worker(parts, database, build_pace(parts), observe)
        try:
            worker.run(until_empty)
        finally:
            tally = worker.tally
            _say(parts, f"{tally.completed} completed, {tally.failed} failed, {tally.put_back} to be tried again.")
    return 0


def webhook(parts: Parts, given: Given) -> int:
    """Take one payload from standard input in; exit status 0."""
    body = read_payload()
    with _writing(parts) as database:
        taken = build_inbox(parts, database).take(body)
    known = f"This payload was taken in before ({taken.hash[:16]}…): nothing was done."
    _say(parts, known if taken.job_id is None else f"Job {taken.job_id}.")
    return 0


def serve(parts: Parts, given: Given) -> int:
    """Take payloads in over HTTP on 127.0.0.1 until a stop; exit status 0."""
    path = parts.home.publishing_database
    with at_work(parts, PUBLISH_SERVE, opener(parts)) as database, errors_in_words(path):
        inbox = build_inbox(parts, database)
        serve_webhooks(inbox, database, parts.settings.webhook_port, parts.stop, lambda words: _say(parts, words))
    return 0


def status(parts: Parts, given: Given) -> int:
    """Say where the files and jobs stand; exit status 0."""
    with _reading(parts):
        found = report.survey(build_rule(parts.settings), parts.clock.now())
    if given.json:
        _say(parts, json.dumps(found, indent=1, ensure_ascii=False))
    else:
        _say(parts, "\n".join(report.in_words(found)))
    return 0


def tell_usage(parts: Parts, given: Given) -> int:
    """Say what was called, by day and service, in both databases; exit status 0."""
    prices = usage.parse_prices(parts.settings.call_costs)
    models: list[Any] = []
    with ExitStack() as stack:
        if parts.home.publishing_database.exists():
            stack.enter_context(_reading(parts))
            models.append(ServiceUsage)
        if parts.database_path is None or parts.database_path.exists():
            stack.enter_context(closing(parts.open_for_reading([ApiUsage])))
            models.append(ApiUsage)
        used = usage.by_day(models, parts.clock.now() - given.days * DAY_SECONDS, prices)
    if given.json:
        _say(parts, json.dumps(report.usage_json(used), indent=1))
    elif used:
        parts.console.print(report.usage_table(used))
    else:
        _say(parts, "No call was made.")
    return 0


def ingest(parts: Parts, given: Given) -> int:
    """Make a job of each new picture of a folder; exit status 0, 2 where one could not be taken."""
    done = ingesting.Ingested()
    ingesting.pictures_in(given.folder)
    with _writing(parts) as database:
        for payload in ingesting.payloads_of(given.folder, given.factor, given.dpi, done):
            with transaction(database, parts.stop):
                jobs.enqueue("CreateFileRecord", payload, parts.clock.now())
            done.jobs += 1
    for trouble in done.troubles:
        _say(parts, f"Left out: {trouble}")
    _say(parts, f"{done.jobs} new, {done.known} known, {len(done.troubles)} left out. Next: python run.py publish work")
    return 2 if done.troubles else 0


def approve(parts: Parts, given: Given) -> int:
    """Approve files and have them listed; all of them, or none where one may not be approved. Exit status 0."""
    with _writing(parts) as database, transaction(database, parts.stop):
        for file_id in given.ids:
            files.approve(file_id, parts.clock.now())
            _enqueue_listing(file_id, parts, given)
    _say(parts, f"{len(given.ids)} approved. Next: python run.py publish work")
    return 0


def list_more(parts: Parts, given: Given) -> int:
    """Have approved or published files listed on a platform; all of them, or none. Exit status 0."""
    with _writing(parts) as database, transaction(database, parts.stop):
        for file_id in given.ids:
            file = files.get(file_id)
            if file.status not in LISTABLE:
                raise files.wrong_status(file, "publish")
            _enqueue_listing(file_id, parts, given)
    _say(parts, f"{len(given.ids)} to be listed. Next: python run.py publish work")
    return 0


def retry(parts: Parts, given: Given) -> int:
    """Have failed jobs tried anew; exit status 0."""
    with _writing(parts) as database, transaction(database, parts.stop):
        again = jobs.retry(given.ids or jobs.failed_ids())
    _say(parts, f"{again} failed jobs will be tried again. Next: python run.py publish work")
    return 0


ACTIONS: dict[str, Callable[[Parts, Given], int]] = {
    "webhook": webhook,
    "serve": serve,
    "status": status,
    "usage": tell_usage,
    "ingest": ingest,
    "approve": approve,
    "list": list_more,
    "retry": retry,
}


def _enqueue_listing(file_id: str, parts: Parts, given: Given) -> None:
    payload = {name: getattr(given, name) for name in DETAILS if getattr(given, name) is not None}
    jobs.enqueue("CreateListing", payload, parts.clock.now(), file_id)


@contextmanager
def _a_place_to_work(parts: Parts) -> Iterator[Database]:
    """Be one of the few workers that a home may have; AlreadyRunning where all places are taken."""
    with ExitStack() as stack:
        for number, place in enumerate(PUBLISH, start=1):
            try:
                database = stack.enter_context(at_work(parts, place, opener(parts)))
            except AlreadyRunning as error:
                if number == len(PUBLISH):
                    raise AlreadyRunning(
                        f"{number} workers are at work on this home already.",
                        advice="See `python run.py publish status`; `touch KILL` in the home folder stops them.",
                    ) from error
            else:
                yield database
                return


@contextmanager
def _writing(parts: Parts) -> Iterator[Database]:
    with errors_in_words(parts.home.publishing_database), closing(open_for_writing(parts)) as database:
        yield database


@contextmanager
def _reading(parts: Parts) -> Iterator[Database]:
    with errors_in_words(parts.home.publishing_database), closing(open_for_reading(parts)) as database:
        yield database


def _standing(tally: Tally) -> dict[str, str]:
    found = jobs.counts()
    return {
        "at": tally.now or "waiting",
        "completed": str(tally.completed),
        "failed": str(tally.failed),
        "pending": str(found[jobs.PENDING]),
        "running": str(found[jobs.RUNNING]),
    }


def _say(parts: Parts, words: str) -> None:
    parts.console.print(words, highlight=False, soft_wrap=True)
