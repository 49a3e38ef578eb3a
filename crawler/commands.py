"""The crawler's sub-commands but for those that only look: from arguments to words on the terminal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from peewee import Database
from rich.console import Console

from crawler import again as trying_again
from crawler import checkpoint, dumps, report
from crawler.api.limiter import Limiter
from crawler.api.transport import PING
from crawler.api.wire import WireError
from crawler.batch import read_batch
from crawler.checkpoint import load_position
from crawler.due import due_at
from crawler.parts import Parts, build_parts, open_for_writing, reading
from crawler.states import verify as verify_state
from crawler.store import usage, writer
from crawler.watch import Companion
from crawler.wiring import build_calling, build_engine, build_limiter, build_watch, build_wire
from runtime import parts as common
from runtime.clock import iso
from runtime.database import errors_in_words, in_words, transaction, write_briefly
from runtime.errors import Bug, CrawlError, OperatorNeeded, ServerTrouble, Stopped, UserMistake
from runtime.files import make_folders
from runtime.findings import FileChecks
from runtime.instance import at_work_on, is_running
from runtime.interpreter import suit_a_crawl
from runtime.logs import redact, set_up_logs
from runtime.progress import Progress
from runtime.settings import Settings
from runtime.stop import Stop
from runtime.work import CRAWL, meant_for_others

MOST_BAD_LINES = 10
log = logging.getLogger(__name__)


def crawl(
    settings: Settings, console: Console, beside: Callable[[Database, Stop], Companion], file_checks: FileChecks
) -> int:
    """Crawl for ever, until stopped; exit status 0. `beside` makes what works beside the crawl: the downloads."""
    if not settings.key_header:
        raise UserMistake("There is no API key: set ETSY_API_KEY and ETSY_SHARED_SECRET, or try `make demo`.")
    parts = build_parts(settings, console)
    with _at_work(parts):
        if ":" not in settings.key_header:
            log.warning("ETSY_SHARED_SECRET is not set; Etsy refuses keys without it.")
        database = open_for_writing(parts)
        calling = build_calling(parts, file_checks=file_checks)
        companion = beside(database, parts.stop)
        with Progress(console, parts.clock, "furniture crawl") as progress, companion.at_work():
            watch = build_watch(parts, calling, progress, companion)
            engine = build_engine(parts, database, calling, watch.observe)
            log.info("Going on at %s.", report.position_in_words(engine.position))
            suit_a_crawl()
            position = engine.run()
        database.close()
        parts.stop.obeyed(keep=meant_for_others(parts.home, CRAWL))
        words = f"Stopped by {parts.stop.reason} at {report.position_in_words(position)}."
        console.print(words, highlight=False, soft_wrap=True)
    return 0


def try_key(settings: Settings, console: Console) -> tuple[int, str]:
    """Make one call that asks for nothing; return its status and the server's time (`Date`), ServerTrouble without one.

    It keeps to the calls a second; it is not counted, since there may be no database yet.
    """
    parts = build_parts(settings, console)
    make_folders(parts.home.data, parts.home.root)  # the first thing that is done on a new home may be to ask this
    limiter = build_limiter(parts)
    sent = limiter.wait_for_turn()
    try:
        answer = build_wire(parts, limiter).get(PING.path, {})
    except WireError as error:
        raise ServerTrouble(f"{settings.etsy_api_url} does not answer ({error}).", endpoint=PING.endpoint) from error
    finally:
        limiter.answered(sent)
    return answer.status, answer.headers.get("date", "")


def build_pace(parts: common.Parts) -> Limiter:
    """Return what lets calls go that other work makes with the key; all processes that use it share its slots."""
    return build_limiter(Parts(parts.settings, parts.home, parts.clock, parts.stop, parts.console))


def dump(settings: Settings, console: Console) -> int:
    """Write a dump and print its path."""
    parts = build_parts(settings, console)
    with reading(parts):
        path = dumps.write_dump(parts.home.checkpoints, parts.freshness, parts.clock, settings.secrets)
    console.file.write(f"{path}\n")
    return 0


def restore(settings: Settings, console: Console, file: Path) -> int:
    """Put the position back to what a dump holds."""
    parts = build_parts(settings, console)
    position, cycle = dumps.load_dump(file)
    with _at_work(parts):
        database = open_for_writing(parts)
        dumps.check_fits(position)
        with transaction(database, parts.stop):
            checkpoint.save_cycle(cycle)
            checkpoint.save_position(position)
        database.close()
        console.print(f"The position is now {report.position_in_words(position)}.", highlight=False, soft_wrap=True)
    return 0


def verify(settings: Settings, console: Console, file_checks: FileChecks) -> int:
    """Audit the data set once and print the report; nothing is changed and no call is made."""
    parts = build_parts(settings, console)
    with reading(parts):
        position = load_position()
        if position is None:
            raise UserMistake("There is nothing to verify yet.", advice="Start with `python run.py`.")
        cycle, now = checkpoint.load_cycle(), parts.clock.now()
        made = verify_state.audit_all(due_at(parts.freshness, cycle, now), file_checks, iso(now))
    console.print(report.audit_table(made))
    return 0


def again(settings: Settings, console: Console, kind: str | None, number: str | None) -> int:
    """Have what could not be read tried again, one thing or all of it, beside a crawl that may be running."""
    parts = build_parts(settings, console)
    with reading(parts):  # first, since what opens the database for writing makes one where there is none
        items = trying_again.named(kind, number)
    if not items:
        console.print("Nothing is failed.", highlight=False, soft_wrap=True)
        return 0
    take_up = partial(trying_again.take_up, kind, number, parts.freshness, parts.clock.now())
    with closing(open_for_writing(parts)) as database, errors_in_words(parts.database_path):
        taken = write_briefly(database, take_up)
    for words in trying_again.in_words(taken):
        console.print(words, highlight=False, soft_wrap=True)
    if taken.due and not is_running(parts.home.lock):
        console.print("No crawl is running: `python run.py` starts it.", highlight=False, soft_wrap=True)
    return 0


def sync(settings: Settings, console: Console, file: Path) -> int:
    """Fetch the listings whose ids the file names, whatever their age, and store them."""
    if not settings.key_header:
        raise UserMistake("There is no API key: set ETSY_API_KEY and ETSY_SHARED_SECRET, or try `make demo`.")
    waiting = read_ids(file)
    parts = build_parts(settings, console)
    done, size = 0, 100
    with _at_work(parts):
        database = open_for_writing(parts)
        calling = build_calling(parts)
        while waiting and not parts.stop.requested():
            asked = waiting[:size]
            batch = read_batch(calling.context, asked, wanted_anyway=True)
            with transaction(database, parts.stop):
                writer.write(batch.changes)
                usage.write(calling.ledger.drain())
            read = report.ids_settled(batch.changes)
            waiting, size = [i for i in waiting if i not in read], batch.next_size
            done += len(read)
        parts.stop.obeyed(keep=meant_for_others(parts.home, CRAWL))
    console.print(f"{done} of {done + len(waiting)} listings are up to date.", highlight=False, soft_wrap=True)
    return 0


def read_ids(file: Path) -> list[int]:
    """Return the listing ids of a file, one a line, `#` begins a comment; UserMistake names every bad line."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserMistake(f"{file} cannot be read: {error}.", advice="It holds one listing id a line.") from error
    texts = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    bad = [
        f"  line {number}: {text[:60]!r}" for number, text in texts if text and not trying_again.NUMBER.fullmatch(text)
    ]
    if bad:
        more = f"\n  and {len(bad) - MOST_BAD_LINES} more" if len(bad) > MOST_BAD_LINES else ""
        raise UserMistake(
            f"{file} has lines that are no listing ids:\n" + "\n".join(bad[:MOST_BAD_LINES]) + more,
            advice="\nCorrect them; nothing was fetched.",
        )
    ids = list(dict.fromkeys(int(text) for _, text in texts if text))
    if not ids:
        raise UserMistake(f"{file} names no listing.", advice="It holds one listing id a line.")
    return ids


@contextmanager
def _at_work(parts: Parts) -> Iterator[None]:
    """Be the one process on this home, with logs, signals, and a dump of whatever crashes.

    Stopped ends the block, with a word where nothing else is said.
    """
    secrets = parts.settings.secrets
    with at_work_on(parts.home, parts.home.lock, parts.clock):
        set_up_logs(parts.home.logs, "crawler", secrets, parts.console)
        # Only with the lock in hand: a second start must not remove the file that is meant for the first.
        parts.stop.clear_old_files(keep=meant_for_others(parts.home, CRAWL))
        parts.stop.on_dump = partial(_dump_while_running, parts)
        with parts.stop.signals():
            try:
                yield
            except Stopped:
                parts.stop.obeyed(keep=meant_for_others(parts.home, CRAWL))
                parts.console.print(f"Stopped by {parts.stop.reason}.", highlight=False, soft_wrap=True)
            except Exception as error:
                ours = error if isinstance(error, CrawlError) else in_words(error, parts.database_path)
                if ours is None or isinstance(ours, Bug):
                    raise _crash(parts, error) from error
                if ours is error:
                    raise
                raise ours from error


def _dump_while_running(parts: Parts) -> None:
    """Write a dump; one that cannot be written is no reason to stop."""
    try:
        path = dumps.write_dump(parts.home.checkpoints, parts.freshness, parts.clock, parts.settings.secrets)
        log.info("Dump written to %s.", path)
    except OperatorNeeded as error:
        log.warning("No dump: %s", error)


def _crash(parts: Parts, error: Exception) -> Bug:
    """Write a dump and return the error that says where it is."""
    log.error("Crashed.", exc_info=error)
    secrets = parts.settings.secrets
    what = redact(f"{type(error).__name__}: {error}", secrets)
    try:
        path = dumps.write_crash(parts.home.checkpoints, parts.freshness, parts.clock, secrets, error)
        where = f"The dump is {path}"
    except OperatorNeeded as second:
        where = f"There is no dump ({second}) but a traceback in {parts.home.logs / 'crawler.log'}"
    return Bug(
        f"This is a bug of the program ({what}).", advice=f"{where}; started again, the crawl goes on where it was."
    )
