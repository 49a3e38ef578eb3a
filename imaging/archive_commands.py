"""The sub-commands `archive` and `primary`: from settings to words on the terminal."""

from __future__ import annotations

from functools import partial

from peewee import Database
from rich.console import Console

from imaging.archive import Archive, Archived, Archiver
from imaging.primary import Primaries, Standing
from imaging.shards import PICTURES, RAW, ShardReader
from imaging.store.archiving import KINDS
from imaging.wiring import Parts, build_parts, open_for_writing
from runtime.progress import Progress
from runtime.rate import Rate
from runtime.settings import Settings
from runtime.work import ARCHIVE, PRIMARY, at_work

RATE_SECONDS = 60.0
AGAIN = {PICTURES: "to be made again", RAW: "queued again"}


def archive(settings: Settings, console: Console) -> int:
    """Archive what fills whole shards; exit status 0."""
    parts = build_parts(settings, console)
    kinds = [KINDS[PICTURES], *([KINDS[RAW]] if settings.archive_raw else [])]
    opening = partial(open_for_writing, parts)
    with at_work(parts, ARCHIVE, opening) as database, Progress(console, parts.clock, "archive") as progress:
        rate = Rate(parts.clock, RATE_SECONDS)

        def observe(done: Archived, shard: str) -> None:
            pictures = done.pictures.total()
            per_second = rate.per_second(pictures)
            if progress.due():
                waiting = pictures + sum(done.waiting.values())
                progress.show({"archived": f"{pictures:,} of {waiting:,}, {per_second:.1f} a second", "shard": shard})

        archiver = Archiver(
            build_archive(parts, database), kinds, settings.shard_pictures, settings.min_free_gb, observe
        )
        archiver.run()
    words = archived_in_words(archiver.done, settings.shard_pictures, parts.stop.reason)
    console.print(words, highlight=False, soft_wrap=True)
    return 0


def primary(settings: Settings, console: Console) -> int:
    """Make imageprimary/ show each listing's primary picture; exit status 0."""
    parts = build_parts(settings, console)
    opening = partial(open_for_writing, parts)
    with at_work(parts, PRIMARY, opening) as database, Progress(console, parts.clock, "primary pictures") as progress:
        rate = Rate(parts.clock, RATE_SECONDS)

        def observe(standing: Standing) -> None:
            per_second = rate.per_second(standing.seen)
            if progress.due():
                seen = f"{standing.seen:,} of {standing.total:,}, {per_second:.1f} a second"
                progress.show({"listings": seen, "placed": f"{standing.placed:,}", "changed": f"{standing.changed:,}"})

        primaries = Primaries(build_archive(parts, database), settings.min_free_gb, observe)
        primaries.run()
    console.print(primaries_in_words(primaries.standing, parts.stop.reason), highlight=False, soft_wrap=True)
    return 0


def build_archive(parts: Parts, database: Database) -> Archive:
    """Return what archiving works on; the database is open."""
    return Archive(database, parts.stop, parts.layout, ShardReader(parts.layout.shards))


def archived_in_words(done: Archived, shard_pictures: int, stopped_by: str) -> str:
    """Return the closing words of `archive`."""
    shards = done.shards.total()
    words = [f"{shards:,} shard{'' if shards == 1 else 's'} of {shard_pictures:,} pictures written."] if shards else []
    for prefix, number in done.put_back.items():
        words += [f"{number:,} {KINDS[prefix].words} pictures were missing or damaged and are {AGAIN[prefix]}."]
    if stopped_by:
        return " ".join([*words, f"Stopped by {stopped_by}; the same command goes on from there."])
    for prefix, number in done.waiting.items():
        if number:
            words += [f"{number:,} {KINDS[prefix].words} pictures wait; a shard takes {shard_pictures:,}."]
    if not done.waiting[PICTURES] and PICTURES not in done.begun:
        hint = "" if RAW in done.waiting else "; set ARCHIVE_RAW=1 to archive pictures as downloaded"
        words += [f"No background-free picture exists yet{hint}."]
    return " ".join(words or ["Nothing waits: every picture is in a shard."])


def primaries_in_words(standing: Standing, stopped_by: str) -> str:
    """Return the closing words of `primary`."""
    words = (
        f"{standing.placed:,} placed, {standing.changed:,} changed, {standing.there:,} already there, "
        f"{standing.waiting:,} waiting for their download"
    )
    if standing.queued_again:
        words += f" ({standing.queued_again:,} of them queued again: their file was missing or damaged)"
    if standing.lost_shards:
        words += f"; {len(standing.lost_shards):,} shards cannot be read, the log names them"
    return f"{words}. Stopped by {stopped_by}; the same command goes on." if stopped_by else f"{words}."
