"""The sub-command `mirror`: data/ and the primary pictures to a second disk, the shards to a third."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from runtime.clock import iso
from runtime.errors import CrawlError, OperatorNeeded, Stopped, UserMistake
from runtime.files import make_folders, trouble_in_words
from runtime.parts import Parts
from runtime.settings import Settings
from runtime.work import MIRROR, MIRROR_TARS, at_work
from upkeep.backup import originals
from upkeep.mirror import ASIDE, Mirror, Mirrored, find_rsync
from upkeep.records import Records
from upkeep.targets import Target
from upkeep.wiring import build_parts, open_for_reading

log = logging.getLogger(__name__)
Tree = tuple[str, Path]


def mirror(settings: Settings, console: Console, tars: bool, full: bool, accept: bool) -> int:
    """Mirror data/ and images/imageprimary/ to MIRROR_FOLDER, or (`tars`) the shards to MIRROR_TARS_FOLDER.

    Exit status 0; OperatorNeeded where the mirror is not as the home when this ends.
    """
    parts = build_parts(settings, console)
    work, setting = (MIRROR_TARS, "MIRROR_TARS_FOLDER") if tars else (MIRROR, "MIRROR_FOLDER")
    told = settings.mirror_tars_folder if tars else settings.mirror_folder
    if told is None:
        raise UserMistake(f"{setting} is not set.", advice="Name a folder on another disk.")
    folder = parts.home.root / told.expanduser()
    records = Records(parts.home, work)
    with at_work(parts, work, partial(open_for_reading, parts)) as database:
        database.close()  # it is there; what reads it has connections of its own
        try:
            details = _mirror_into(parts, folder, work, records, full, accept)
        except Stopped:
            raise
        except (CrawlError, OSError) as error:
            trouble = error if isinstance(error, CrawlError) else trouble_in_words(error, folder)
            records.note(folder, iso(parts.clock.now()), trouble=trouble.words())
            raise trouble from error
        records.note(folder, iso(parts.clock.now()), details=details)
    return 0


def _mirror_into(
    parts: Parts, folder: Path, work: str, records: Records, full: bool, accept: bool
) -> Mapping[str, Any]:
    before = records.load().get(str(folder))
    warning = Target(folder, parts.home, work).open(before is not None, accept)
    if warning:
        log.warning("%s", warning)
    details: dict[str, Any] = {}
    if work == MIRROR:
        details["databases"] = _copy_databases(parts, folder, before.details.get("databases", {}) if before else {})
    for name, source in _trees(parts, work):
        target = folder / name
        if not source.is_dir():
            if target.is_dir() and not accept:
                raise OperatorNeeded(f"{source} is not there, but mirrored.", advice="Is its disk mounted?")
            continue
        now_ns = partial(_now_ns, parts)
        made = Mirror(source, target, parts.stop, find_rsync(), now_ns).run(full, accept)
        details[name] = {"files": made.files, "bytes": made.size}
        parts.console.print(_in_words(source, target, made), highlight=False, soft_wrap=True)
    return details


def _trees(parts: Parts, work: str) -> Iterator[Tree]:
    images = parts.home.images
    if work == MIRROR_TARS:
        yield "imageall_tars", images / "imageall_tars"
        return
    yield "data", parts.home.root / "data"
    yield "imageprimary", images / "imageprimary"


def _copy_databases(parts: Parts, folder: Path, before: Mapping[str, Any]) -> Mapping[str, Any]:
    """Copy each database into the mirror, where it has changed since the last time; return what tells that."""
    told = originals(parts)
    found: dict[str, Any] = {}
    for name, copy in told.copies(parts.stop).items():
        target = folder / name
        make_folders(target.parent, folder)
        found[name] = _version(told.databases.get(name))
        if found[name] and found[name] == before.get(name) and target.exists():
            continue
        aside = target.with_name(f"{ASIDE}{target.name}")
        aside.unlink(missing_ok=True)
        try:
            copy(aside)
            aside.replace(target)
        except BaseException:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise
    return found


def _version(database: Path | None) -> list[int]:
    """Return what changes with every write to the database's file; nothing for a server."""
    if database is None:
        return []
    log_of_commits = database.with_name(f"{database.name}-wal")
    told = [path.stat() for path in (database, log_of_commits) if path.exists()]
    return [number for one in told for number in (one.st_size, one.st_mtime_ns)]


def _now_ns(parts: Parts) -> int:
    return int(parts.clock.now() * 1e9)


def _in_words(source: Path, target: Path, made: Mirrored) -> str:
    return (
        f"{source} → {target}: {made.files:,} files, {made.size / 1e6:,.1f} MB; {made.copied:,} copied, "
        f"{made.deleted:,} deleted, {made.digested:,} compared byte for byte."
    )
