"""The sub-commands of the image search as run.py offers them: their arguments, and what runs them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rich.console import Console

from runtime.door import Door
from runtime.settings import Settings
from search.filters import Filters
from search.pictures import PictureFiles

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?")
PART = "search"
Pictures = Callable[[Settings], PictureFiles]


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


def _embed(pictures: Pictures, module: Any, given: argparse.Namespace, settings: Settings, console: Console) -> int:
    found: int = module.embed(settings, console, pictures(settings), given.renew)
    return found


def _search(pictures: Pictures, module: Any, given: argparse.Namespace, settings: Settings, console: Console) -> int:
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
        settings,
        console,
        given.query,
        filters,
        given.top,
        given.json,
        given.as_it_is,
        pictures(settings).find_primary,
    )
    return found


def doors(pictures: Pictures) -> Mapping[str, Door]:
    """Return the sub-commands by name; `pictures` gives them the files of a home."""
    return {
        "embed": Door(
            "remove backgrounds and make the vectors of all pictures that wait, then build the indexes",
            "python run.py embed",
            PART,
            "search.embed_commands",
            _embed_arguments,
            partial(_embed, pictures),
        ),
        "embed-worker": Door(
            "lend this machine's models to another one's `embed`",
            "python run.py embed-worker 192.168.1.5:8786",
            PART,
            "search.helper_command",
            _helper_arguments,
            lambda module, given, settings, console: module.embed_worker(settings, console, given.address),
        ),
        "index": Door(
            "build the served indexes from the vectors",
            "python run.py index",
            PART,
            "search.index_commands",
            _index_arguments,
            lambda module, given, settings, console: module.index(settings, console, given.anew),
        ),
        "models": Door(
            "say which models are there, where they come from and under what licence",
            "python run.py models --fetch",
            PART,
            "search.model_commands",
            _models_arguments,
            lambda module, given, settings, console: module.models(settings, console, given.fetch, given.export),
        ),
        "search": Door(
            "find similar pieces by picture, words or number",
            "python run.py search chair.jpg --max-price 500",
            PART,
            "search.search_commands",
            _search_arguments,
            partial(_search, pictures),
        ),
    }
