"""The sub-command `export`: from settings to a folder of Parquet files."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from peewee import Database
from rich.console import Console

from runtime.clock import EARLIEST, iso
from runtime.database import errors_in_words
from runtime.errors import OperatorNeeded, Stopped
from runtime.parts import Parts
from runtime.progress import Progress
from runtime.settings import Home, Settings
from runtime.work import STOP_NAMES, meant_for_others
from upkeep.export.exporting import Export
from upkeep.export.folder import new_folder
from upkeep.export.snapshot import Snapshot
from upkeep.wiring import open_for_reading


def export(settings: Settings, console: Console, folder: Path, csv: bool) -> int:
    """Write the whole data set into a new folder; nothing in the home changes, and a crawl goes on. Exit status 0."""
    parts = _parts(settings, console)
    with parts.stop.signals():
        try:
            with errors_in_words(parts.database_path), closing(open_for_reading(parts)) as database:
                made = _write(parts, database, folder, csv)
        except Stopped:
            _obey(parts)
            console.print(f"Stopped by {parts.stop.reason}; nothing was written.", highlight=False, soft_wrap=True)
            return 0
    console.print(in_words(made, folder), highlight=False, soft_wrap=True)
    return 0


def in_words(made: Export, folder: Path) -> str:
    """Return the closing words of `export`."""
    rows = sum(file.rows for name, file in made.written.items() if name.endswith(".parquet"))
    size = sum(file.bytes for file in made.written.values())
    until = f", with data until {iso(made.until)}" if made.until is not None else ""
    return (
        f"{len(made.written)} files in {folder}: {rows:,} rows, {size / 1e6:,.1f} MB{until}. Read its README.md first."
    )


def _parts(settings: Settings, console: Console) -> Parts:
    """Return the parts; KILL files that are there already are meant for others, or left over."""
    there = {name for name in STOP_NAMES if os.path.lexists(Home(settings.crawler_home).root / name)}
    parts = Parts.build(settings, console, [name for name in STOP_NAMES if name not in there])
    if parts.clock.now() < EARLIEST:
        raise OperatorNeeded(
            f"The computer's clock says {iso(parts.clock.now())}, which cannot be: all data would lie in the future.",
            advice="Set the clock, then start again.",
        )
    return parts


def _write(parts: Parts, database: Database, folder: Path, csv: bool) -> Export:
    with new_folder(folder) as aside, Progress(parts.console, parts.clock, "export") as progress:

        def tell(file: str, rows: int) -> None:
            if progress.due():
                progress.show({"file": file, "rows": f"{rows:,}"})

        made = Export(aside, csv, parts.stop.raise_if_requested, tell)
        now = parts.clock.now()
        made.write_tables(Snapshot(database), now)
        database.close()
        made.write_views()
        made.write_notice(now)
    return made


def _obey(parts: Parts) -> None:
    """Remove the KILL file that was obeyed, unless somebody else is at work on the home who has yet to see it."""
    parts.stop.obeyed(keep=meant_for_others(parts.home))
