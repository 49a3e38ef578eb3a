"""The sub-commands of the image search as run.py offers them: their arguments, and what runs them.

The libraries that they need are many and large; a crawl neither loads them nor needs them installed.
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console

from runtime.errors import UserMistake
from runtime.settings import Settings
from search.filters import Filters
from search.pictures import PictureFiles

OURS = re.compile(r"(?:search|imaging|models|runtime)(?:\..*)?")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?")


class Run(Protocol):
    """Runs a sub-command with the module that has it."""

    def __call__(
        self, module: Any, given: argparse.Namespace, settings: Settings, console: Console, pictures: PictureFiles
    ) -> int:
        """Return the exit status."""


@dataclass(frozen=True, slots=True)
class Door:
    """A sub-command: what it does, an example, its module, its arguments, and how it is called."""

    help: str
    example: str
    module: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Run


def enter(name: str, given: argparse.Namespace, settings: Settings, console: Console, pictures: PictureFiles) -> int:
    """Run the sub-command and return its exit status; UserMistake where its libraries are not installed."""
    door = DOORS[name]
    try:
        module = importlib.import_module(door.module)
    except ModuleNotFoundError as error:
        if error.name is None or OURS.fullmatch(error.name):
            raise
        raise UserMistake(
            f"`{name}` needs libraries that are not installed ({error.name}).",
            advice="Install them: `make search`, or `pip install -r requirements-search.txt`.",
        ) from error
    return door.run(module, given, settings, console, pictures)


def _embed_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--renew", action="append", default=[], metavar="MODEL", help="make all vectors of this model anew"
    )


def _helper_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", help="EMBED_ADDRESS of the home machine, host:port")


def _index_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--anew", action="store_true", help="build all of it, also what could be grown")


def _models_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fetch", action="store_true", help="download what is missing")
    parser.add_argument("--export", action="store_true", help="write ONNX files for machines without torch")


def _search_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", nargs="+", help="a picture's file, words, a listing, image:NUMBER; or several")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="how many listings (10)")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    parser.add_argument("--as-it-is", action="store_true", help="leave the picture's background where it is")
    parser.add_argument("--min-price", type=float, metavar="PRICE", help="in the seller's currency")
    parser.add_argument("--max-price", type=float, metavar="PRICE")
    parser.add_argument("--era", metavar="WHEN_MADE", help="as Etsy has it: made_to_order, 2020_2026, …")
    parser.add_argument("--shop", type=int, metavar="SHOP_ID")
    parser.add_argument("--country", metavar="CODE", help="where the shop is or ships from: US, DE, …")
    parser.add_argument("--state", help="as last read: active, sold_out, expired, removed, …")
    parser.add_argument("--taxonomy", type=int, metavar="TAXONOMY_ID")
    parser.add_argument("--seen-since", metavar="DAY", type=_day, help="shown by a search since this day (UTC)")


def _day(told: str) -> str:
    if not DAY.fullmatch(told):
        raise argparse.ArgumentTypeError(f"{told!r} is no day like 2026-11-21")
    return told


def _search(
    module: Any, given: argparse.Namespace, settings: Settings, console: Console, pictures: PictureFiles
) -> int:
    filters = Filters(
        min_price=given.min_price,
        max_price=given.max_price,
        era=given.era,
        shop_id=given.shop,
        country=given.country,
        state=given.state,
        taxonomy_id=given.taxonomy,
        seen_since=given.seen_since,
    )
    found: int = module.search(
        settings, console, given.query, filters, given.top, given.json, given.as_it_is, pictures.find_primary
    )
    return found


DOORS: Mapping[str, Door] = {
    "embed": Door(
        "remove backgrounds and make the vectors of all pictures that wait, then build the indexes",
        "python run.py embed",
        "search.embed_commands",
        _embed_arguments,
        lambda module, given, settings, console, pictures: module.embed(settings, console, pictures, given.renew),
    ),
    "embed-worker": Door(
        "lend this machine's models to another one's `embed`",
        "python run.py embed-worker 192.168.1.5:8786",
        "search.helper_command",
        _helper_arguments,
        lambda module, given, settings, console, pictures: module.embed_worker(settings, console, given.address),
    ),
    "index": Door(
        "build the served indexes from the vectors",
        "python run.py index",
        "search.index_commands",
        _index_arguments,
        lambda module, given, settings, console, pictures: module.index(settings, console, given.anew),
    ),
    "models": Door(
        "say which models are there, where they come from and under what licence",
        "python run.py models --fetch",
        "search.model_commands",
        _models_arguments,
        lambda module, given, settings, console, pictures: module.models(settings, console, given.fetch, given.export),
    ),
    "search": Door(
        "find similar pieces by picture, words or number",
        "python run.py search chair.jpg --max-price 500",
        "search.search_commands",
        _search_arguments,
        _search,
    ),
}
