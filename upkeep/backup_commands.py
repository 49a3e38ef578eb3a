"""The sub-commands `backup` and `restore-backup`."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from rich.console import Console

from runtime.clock import iso
from runtime.errors import CrawlError, OperatorNeeded, Stopped, UserMistake
from runtime.files import trouble_in_words
from runtime.instance import at_work_on
from runtime.parts import Parts
from runtime.settings import Settings
from runtime.work import BACKUP, at_work
from upkeep.backup import Backup, Made, originals
from upkeep.records import Records
from upkeep.restoring import Restoring
from upkeep.retention import Rule
from upkeep.targets import Target
from upkeep.wiring import build_parts, open_for_reading

log = logging.getLogger(__name__)


def backup(settings: Settings, console: Console, accept: bool) -> int:
    """Make a backup in each of BACKUP_FOLDERS while the crawl goes on; exit status 0.

    OperatorNeeded names each folder that got none; the others have got theirs.
    """
    parts = build_parts(settings, console)
    records = Records(parts.home, BACKUP)
    with at_work(parts, BACKUP, partial(open_for_reading, parts)) as database:
        database.close()  # it is there; what reads it has connections of its own
        troubles = []
        for folder in folders(parts):
            try:
                made = _backup_into(parts, folder, folder.as_posix() in records.load(), accept)
            except Stopped:
                raise
            except (CrawlError, OSError) as error:
                told = error if isinstance(error, CrawlError) else trouble_in_words(error, folder)
                log.error("No backup in %s: %s", folder, told.words())
                records.note(folder, iso(parts.clock.now()), trouble=told.words())
                troubles.append(f"No backup in {folder}: {told.words()}")
            else:
                records.note(folder, iso(parts.clock.now()), details={"path": str(made.path)})
                console.print(_in_words(made), highlight=False, soft_wrap=True)
        if troubles:
            raise OperatorNeeded("\n".join(troubles))
    return 0


def folders(parts: Parts) -> list[Path]:
    """Return the folders that backups go to; relative ones lie in the home."""
    return [parts.home.root / folder.expanduser() for folder in parts.settings.backup_folders]


def _backup_into(parts: Parts, folder: Path, known: bool, accept: bool) -> Made:
    warning = Target(folder, parts.home, BACKUP).open(known, accept)
    if warning:
        log.warning("%s Name another disk's folder in BACKUP_FOLDERS.", warning)
    settings = parts.settings
    rule = Rule(settings.backup_keep_hours, settings.backup_keep_days, settings.backup_keep_months)
    return Backup(originals(parts), folder, parts.clock, parts.stop, rule).make()


def _in_words(made: Made) -> str:
    size = sum(kept.size for kept in made.manifest.files.values())
    linked = f", {made.linked:,} of them unchanged since the last" if made.linked else ""
    removed = f"; {made.removed:,} old backups removed" if made.removed else ""
    return f"{made.path}: {size / 1e6:,.1f} MB in {len(made.manifest.files):,} files{linked}{removed}."


def restore_backup(settings: Settings, console: Console, folder: Path) -> int:
    """Put a backup into this home, which is empty; exit status 0. `folder` is a backup, or holds some."""
    parts = build_parts(settings, console)
    if not folder.is_dir():
        raise UserMistake(f"There is no folder {folder}.", advice="Name a backup, or the folder that holds them.")
    restoring = Restoring(folder, parts.home, parts.database_path, parts.stop)
    with at_work_on(parts.home, parts.home.lock, parts.clock), parts.stop.signals():
        try:
            told = restoring.run()
        except OSError as error:
            raise trouble_in_words(error) from error
        except Stopped:
            parts.stop.obeyed()
            raise
    for words in told:
        console.print(words, highlight=False, soft_wrap=True)
    return 0
