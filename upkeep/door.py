"""The sub-commands of upkeep as run.py offers them: their arguments, and what runs them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from runtime.door import Door, no_arguments
from runtime.settings import Settings

PART = "upkeep"
SCHEDULE_ACTIONS = {
    "show": "print what would be installed and what is (without a flag, too)",
    "install": "show it, ask, then install it",
    "remove": "show what is installed of this home, ask, then remove it",
}
TryKey = Callable[[Settings, Console], tuple[int, str]]
Survey = Callable[[Settings, Console], Mapping[str, Any]]


def _alert_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--test", action="store_true", help="send a message to try the addresses")


def _backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--accept", action="store_true", help="take the folders as they are, marked or not")


def _mirror_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tars", action="store_true", help="the tar shards, to MIRROR_TARS_FOLDER")
    parser.add_argument("--full", action="store_true", help="compare all bytes afterwards, not samples")
    parser.add_argument("--accept", action="store_true", help="take the folder, and what is to be deleted, as it is")


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a folder that does not exist yet, or is empty")
    parser.add_argument("--csv", action="store_true", help="write each file as CSV, too")


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a backup, or the folder that holds them (the newest is taken)")


def _migrate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", help="the address of a PostgreSQL database; its password is better kept in ~/.pgpass")


def _schedule_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_mutually_exclusive_group()
    for action, help_text in SCHEDULE_ACTIONS.items():
        actions.add_argument(f"--{action}", dest="action", action="store_const", const=action, help=help_text)
    parser.set_defaults(action="show")
    parser.add_argument("--yes", action="store_true", help="do not ask, where nobody is at a terminal")


DOORS: Mapping[str, Door] = {
    "backup": Door(
        "copy the databases, settings and vectors into BACKUP_FOLDERS while the crawl goes on",
        "python run.py backup",
        PART,
        "upkeep.backup_commands",
        _backup_arguments,
        lambda module, given, settings, console: module.backup(settings, console, given.accept),
    ),
    "mirror": Door(
        "have data/ and images/imageprimary/ on a second disk (MIRROR_FOLDER) as they are here",
        "python run.py mirror",
        PART,
        "upkeep.mirror_commands",
        _mirror_arguments,
        lambda module, given, settings, console: module.mirror(settings, console, given.tars, given.full, given.accept),
    ),
    "restore-backup": Door(
        "put a backup into this home, which is empty",
        "python run.py restore-backup /Volumes/Backup/crawler",
        PART,
        "upkeep.backup_commands",
        _restore_arguments,
        lambda module, given, settings, console: module.restore_backup(settings, console, given.folder),
    ),
    "export": Door(
        "write every table and the weekly views as Parquet, while the crawl goes on",
        "python run.py export market-2026-11-21",
        PART,
        "upkeep.export_commands",
        _export_arguments,
        lambda module, given, settings, console: module.export(settings, console, given.folder, given.csv),
    ),
    "migrate-database": Door(
        "carry the SQLite data set over to PostgreSQL and compare the two; the SQLite file stays as it is",
        "python run.py migrate-database postgresql://crawler@localhost/furniture",
        PART,
        "upkeep.migrate_commands",
        _migrate_arguments,
        lambda module, given, settings, console: module.migrate_database(settings, console, given.url),
    ),
    "schedule": Door(
        "have the crawl kept alive, and backups, mirrors and archives made, by launchd, systemd or cron",
        "python run.py schedule --install",
        PART,
        "upkeep.schedule_commands",
        _schedule_arguments,
        lambda module, given, settings, console: module.schedule(settings, console, given.action, given.yes),
    ),
}
"""The sub-commands that need nothing of the crawl."""


def doors(survey: Survey, try_key: TryKey) -> Mapping[str, Door]:
    """Return the sub-commands by name; `survey` tells them what `status` does, `try_key` makes one call."""
    return {
        "alerts": Door(
            "say what needs you, and tell ALERTS what is new",
            "python run.py alerts --test",
            PART,
            "upkeep.alert_commands",
            _alert_arguments,
            lambda module, given, settings, console: module.tell(settings, console, survey, given.test),
        ),
        "doctor": Door(
            "examine this home and this machine, and say what to do; one call tries the key",
            "python run.py doctor",
            PART,
            "upkeep.doctor_commands",
            no_arguments,
            lambda module, given, settings, console: module.doctor(settings, console, survey, try_key),
        ),
        **DOORS,
    }
