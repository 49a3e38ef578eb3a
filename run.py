#!/usr/bin/env python3
"""The door: sub-commands, errors into words, exit status.

Exit status: 0 done or stopped as asked, 1 a bug of this program (with a dump), 2 wrong usage or settings,
3 the key is refused, 4 already running.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from publishing.door import doors as publishing_doors
from runtime.errors import CrawlError
from runtime.output import outlive_readers
from runtime.settings import Settings, load_settings
from search.door import doors as search_doors
from upkeep.door import doors as upkeep_doors
from upkeep.watch import watched
from web.door import DOORS as WEB_DOORS

ROOT = Path(__file__).resolve().parent
PLAIN_WIDTH = 160  # of tables that go to a file or a pipe
Command = Callable[[argparse.Namespace, Settings, Console], int]


def late(module: str, name: str) -> Callable[..., Any]:
    """Return the function of that name; its module is imported when it is called: `status` needs few of them."""

    def call(*given: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*given)

    return call


crawl, try_key, build_pace = (late("crawler.commands", name) for name in ("crawl", "try_key", "build_pace"))
beside, file_checks, files = (late("imaging.commands", name) for name in ("beside", "file_checks", "files"))
COMMANDS: dict[str, tuple[str, str, Command]] = {
    "status": (
        "say where the crawl stands",
        "python run.py status --json | python -m json.tool",
        lambda given, settings, console: late("crawler.look_commands", "status")(settings, console, given.json),
    ),
    "plan": (
        "say what the cycle under way and a whole one cost, beside the day's calls; no call is made",
        "python run.py plan",
        lambda given, settings, console: late("crawler.look_commands", "plan")(settings, console, given.json),
    ),
    "dump": (
        "write position, plan, quota and counts to checkpoints/state-<UTC>.json and print its path",
        "python run.py dump",
        lambda given, settings, console: late("crawler.commands", "dump")(settings, console),
    ),
    "restore": (
        "put the position back to what a dump holds",
        "python run.py restore checkpoints/state-20261120T150405Z.json",
        lambda given, settings, console: late("crawler.commands", "restore")(settings, console, given.file),
    ),
    "verify": (
        "audit the data set once and print the report; no call is made, nothing is changed",
        "python run.py verify",
        lambda given, settings, console: late("crawler.commands", "verify")(settings, console, file_checks(settings)),
    ),
    "again": (
        "have what could not be read tried again in this cycle: one thing, or all where none is named",
        "python run.py again listing 1234567890",
        lambda given, settings, console: late("crawler.commands", "again")(settings, console, given.kind, given.number),
    ),
    "sync": (
        "fetch the listings whose ids a file names, one a line",
        "python run.py sync ids.txt",
        lambda given, settings, console: late("crawler.commands", "sync")(settings, console, given.file),
    ),
    "download": (
        "download the pictures that are queued, without the crawl",
        "python run.py download",
        lambda given, settings, console: late("imaging.commands", "download")(settings, console),
    ),
    "archive": (
        "pack background-free pictures (ARCHIVE_RAW=1: downloaded ones too) into tar shards with an index",
        "python run.py archive",
        lambda given, settings, console: late("imaging.archive_commands", "archive")(settings, console),
    ),
    "primary": (
        "keep the first picture of each listing in images/imageprimary/",
        "python run.py primary",
        lambda given, settings, console: late("imaging.archive_commands", "primary")(settings, console),
    ),
}
DOORS = {
    **search_doors(files),
    **upkeep_doors(late("crawler.look_commands", "tell_status"), try_key),
    **WEB_DOORS,
    **publishing_doors(build_pace),
}
ELSEWHERE = {
    "sandbox": ("serve a simulated Etsy on this machine", "sandbox.commands"),
    "demo": ("crawl the sandbox through one whole cycle", "sandbox.demo"),
}
"""What has a `main` with arguments of its own; a crawl's start does not wait for these modules."""


def main(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name and return the exit status."""
    if arguments and arguments[0] in ELSEWHERE:
        return int(importlib.import_module(ELSEWHERE[arguments[0]][1]).main(arguments[1:]))
    given = _parser().parse_args(arguments)
    # No markup: what a server says and how folders are named may have brackets in it.
    console = Console(markup=False, emoji=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    try:
        settings = load_settings(ROOT)
        if given.command is None:
            with watched(settings):
                return int(crawl(settings, console, partial(beside, settings, console), file_checks(settings)))
        if given.command in DOORS:
            return DOORS[given.command].enter(given.command, given, settings, console)
        return COMMANDS[given.command][2](given, settings, console)
    except CrawlError as error:
        print(error.words(), file=sys.stderr)
        return error.exit_status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py", description="Without a command: crawl and download, until a KILL file or a signal stops it."
    )
    subparsers = parser.add_subparsers(dest="command", metavar="command")
    for name, (help_text, example, _) in COMMANDS.items():
        sub = subparsers.add_parser(name, help=help_text, description=help_text, epilog=f"example: {example}")
        if name in ("status", "plan"):
            sub.add_argument("--json", action="store_true", help="everything, as JSON")
        if name == "again":
            sub.add_argument("kind", nargs="?", help="listing, shop, images, reviews or interval")
            sub.add_argument("number", nargs="?", help="its number, as `status` tells it")
        if name in ("restore", "sync"):
            sub.add_argument("file", type=Path, help="the dump" if name == "restore" else "one listing id a line")
    for name, door in DOORS.items():
        door.arguments(
            subparsers.add_parser(name, help=door.help, description=door.help, epilog=f"example: {door.example}")
        )
    for name, (help_text, _) in ELSEWHERE.items():
        subparsers.add_parser(name, help=help_text, add_help=False)
    return parser


if __name__ == "__main__":
    outlive_readers()
    sys.exit(main(sys.argv[1:]))
