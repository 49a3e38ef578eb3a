"""The sub-command `publish` as run.py offers it: its own sub-commands, their arguments, and what runs them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runtime.door import Door

PART = "publishing"
SHOPS = ("shopify", "etsy", "ebay", "amazon")
MOST = 10_000.0


def doors(build_pace: Callable[[Any], Any]) -> Mapping[str, Door]:
    """Return the sub-command by name; `build_pace` makes, of runtime's Parts, what lets calls with the key go."""
    return {
        "publish": Door(
            "bring artworks from a folder to shop listings: ingest, work, approve, status",
            "python run.py publish ingest ~/artworks",
            PART,
            "publishing.commands",
            _arguments,
            lambda module, given, settings, console: module.publish(given, settings, console, build_pace),
        )
    }


def _arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)

    def add(name: str, words: str, example: str) -> argparse.ArgumentParser:
        example = f"example: python run.py publish {example}"
        return actions.add_parser(name, help=words, description=words, epilog=example)

    ingest = add("ingest", "make a file of each new picture of a folder", "ingest ~/artworks --factor 4")
    ingest.add_argument("folder", type=Path, help="pictures, each with a JSON of its name beside it or not")
    ingest.add_argument("--factor", type=_positive, default=2.0, help="how much larger each side becomes (%(default)s)")
    ingest.add_argument("--dpi", type=int, default=300, help="written into the picture (%(default)s)")
    work = add("work", "carry out the jobs, until a KILL file or a signal", "work --until-empty")
    work.add_argument("--until-empty", action="store_true", help="end when no job is pending or running")
    _approve_arguments(
        add("approve", "approve processed files and have them listed", "approve ID --price 45 --taxonomy-id 2078")
    )
    example = "list ID --platform ebay --price 45 --taxonomy-id 2078"
    _approve_arguments(add("list", "have approved files listed on one more platform, or once more tried", example))
    retry = add("retry", "have failed jobs tried again", "retry ID")
    retry.add_argument("ids", nargs="*", metavar="ID", help="jobs; none: all that failed")
    status = add("status", "say where files and jobs stand, what is stuck, what failed and why", "status")
    usage = add("usage", "say what was called, what is left and what it cost, by day and service", "usage --days 7")
    usage.add_argument("--days", type=_positive, default=30.0, help="how far back (%(default)s)")
    for told in (status, usage):
        told.add_argument("--json", action="store_true", help="everything, as JSON")
    add("webhook", "take one webhook's payload in from standard input, once only", "webhook < payload.json")
    add("serve", "take webhooks in over HTTP on 127.0.0.1 (WEBHOOK_PORT)", "serve")


def _approve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="+", metavar="ID", help="files, as `publish status` names them")
    parser.add_argument("--platform", default="etsy", choices=SHOPS, help="(%(default)s)")
    parser.add_argument("--price", type=_positive, required=True, help="in the shop's currency")
    parser.add_argument("--taxonomy-id", type=int, required=True, help="Etsy's category")
    parser.add_argument("--quantity", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--who-made", default="i_did", help="i_did, someone_else or collective (%(default)s)")
    parser.add_argument("--when-made", default="made_to_order", help="as Etsy has it (%(default)s)")
    parser.add_argument("--shipping-profile-id", type=int, metavar="ID", help="Etsy's, for a physical piece")


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= MOST:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most {MOST:g}, not {text}")
    return value


_positive.__name__ = "number"
