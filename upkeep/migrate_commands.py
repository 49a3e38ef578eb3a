"""The sub-command `migrate-database`: a SQLite data set carried over to PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from rich.console import Console
from rich.table import Table

from models import MIGRATIONS
from runtime.database import errors_in_words
from runtime.errors import UserMistake
from runtime.instance import single_instance
from runtime.parts import Parts
from runtime.progress import Progress
from runtime.rate import Rate
from runtime.settings import Settings
from runtime.work import WORKS, at_work
from upkeep.moving.mover import Moved, Mover
from upkeep.moving.source import Source
from upkeep.moving.target import opened, without_password
from upkeep.wiring import build_parts, open_for_reading

MIGRATE = "migrate-database"
RATE_SECONDS = 10.0


def migrate_database(settings: Settings, console: Console, url: str) -> int:
    """Carry the home's SQLite data set over to the PostgreSQL database and compare the two; exit status 0."""
    parts = build_parts(settings, console)
    path = parts.database_path
    if path is None:
        raise UserMistake("DATABASE_URL names a server already; what is moved is a SQLite data set.")
    opening = partial(open_for_reading, parts)
    with (
        at_work(parts, MIGRATE, opening) as database,
        nobody_else(parts),
        Progress(console, parts.clock, MIGRATE) as progress,
    ):
        parts.stop.need(parts.home.data, path)
        source = Source(database, path.resolve(), MIGRATIONS)
        total = source.total()
        with errors_in_words(None), opened(url, parts.home.root, parts.stop) as target:
            ended_at = target.moved_at(source.path)
            if ended_at is not None:
                say(console, f"This data set was moved there already, at {ended_at}; nothing was changed.")
                return 0
            if target.begin(source.path, source.fingerprint()):
                say(console, "Going on with the move that was begun.")
            mover = Mover(source, target, parts.clock, parts.stop, shown(parts, progress, total))
            mover.run()
        told(console, mover.moved, source, url)
    if parts.stop.reason:
        say(console, f"Stopped by {parts.stop.reason}; the same command goes on from there.")
    return 0


@contextmanager
def nobody_else(parts: Parts) -> Iterator[None]:
    """Keep the crawl and all work beside it from running; AlreadyRunning where one does."""
    with ExitStack() as stack:
        for lock in (parts.home.lock, *map(parts.home.lock_of, WORKS)):
            stack.enter_context(single_instance(lock, parts.clock))
        yield


def shown(parts: Parts, progress: Progress, total: int) -> Callable[[Moved], None]:
    """Return what shows how far a move is, of `total` rows."""
    rates: dict[str, Rate] = {}

    def observe(moved: Moved) -> None:
        rate = rates.setdefault(moved.doing, Rate(parts.clock, RATE_SECONDS))
        per_second = rate.per_second(moved.rows)
        if progress.due():
            progress.show(
                {moved.doing: moved.table, "rows": f"{moved.rows:,} of {total:,}, {per_second:,.0f} a second"}
            )

    return observe


def told(console: Console, moved: Moved, source: Source, url: str) -> None:
    """Print what was moved and compared, and what to do next."""
    table = Table("table", "rows", "sum of its numbers", "letters of its texts", title="the same on both sides")
    for name, tally in moved.tallies.items():
        table.add_row(name, f"{tally.rows:,}", f"{tally.sum:,}", f"{tally.letters:,}")
    console.print(table)
    stay = source.left_out()
    if stay:
        say(console, f"Not the crawler's, and left where they are: {', '.join(stay)}.")
    say(
        console,
        f"All {sum(tally.rows for tally in moved.tallies.values()):,} rows are in PostgreSQL; each was read back there "
        "and compared, value by value. Where the crawl stands was written last.",
    )
    say(
        console,
        f"Next: set DATABASE_URL={without_password(url)} in .env (with its password, where it needs one), then look at "
        f"`python run.py status` and go on with `python run.py`. Keep {source.path} as a backup: it is as it was.",
    )


def say(console: Console, words: str) -> None:
    """Print a sentence."""
    console.print(words, highlight=False, soft_wrap=True)
