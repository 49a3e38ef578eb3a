"""The sub-command `search`: from words on the command line to a table of listings."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from runtime.database import errors_in_words
from runtime.errors import UserMistake
from runtime.parts import Parts
from runtime.settings import Settings
from search.catalogue import Catalogue
from search.filters import Filters
from search.finder import Encode, Finder, Found
from search.index.opened import open_generation
from search.index.served import Served
from search.index_commands import load_ids, load_sources
from search.query import read_query
from search.resident import Resident
from search.wiring import Kit, build_kit, build_parts, chosen_models, open_for_reading

PrimaryPath = Callable[[int], Path | None]
GOOD = 2.0  # deviations above an average pair: below that nothing alike was found


def search(
    settings: Settings,
    console: Console,
    told: Sequence[str],
    filters: Filters,
    top: int,
    as_json: bool,
    keep_background: bool,
    primary_path: PrimaryPath,
    models: Catalogue | None = None,
    build: Callable[[Parts], Kit] = build_kit,
) -> int:
    """Print the listings that are most like what is told; exit status 0."""
    if top < 1:
        raise UserMistake("--top must be 1 or more.")
    looked = read_query(told)
    parts = build_parts(settings, console)
    resident = Resident(settings, parts.clock, build)
    with errors_in_words(parts.database_path), closing(open_for_reading(parts)), closing(resident):
        finder = build_finder(parts, resident.encode, models)
        found = finder.find(looked, filters, top, keep_background)
    if as_json:
        console.out(json.dumps([_row(one, primary_path) for one in found], indent=1, ensure_ascii=False))
        return 0
    console.print(table(found))
    for name, why in finder.missing.items():
        console.print(f"{name} does not take part: {why}.", highlight=False, soft_wrap=True)
    if found and found[0].match.above_average < GOOD:
        console.print("Nothing very alike was found.")
    if not found:
        console.print("Nothing fits." if filters else "Nothing was found.")
    return 0


def build_finder(parts: Parts, encode: Encode, models: Catalogue | None = None) -> Finder:
    """Return what answers queries from the indexes of these models in force; the database is open."""
    sources = load_sources(parts, models or chosen_models(parts.settings))
    generation = open_generation(parts.home.embeddings, sources)
    newer = load_ids(len(generation.ids), max((source.rows for source in sources.values()), default=0))
    served = Served(generation, sources, newer)
    return Finder(served, sources, encode)


def table(found: Sequence[Found]) -> Table:
    """Return the listings as a table; a share is what a model gave to the score."""
    names = list(found[0].match.shares) if found else []
    made = Table()
    for name in ("", "listing", "title", "price", "score", "alike", *names):
        made.add_column(name, justify="left" if name in ("title", "listing") else "right")
    for place, one in enumerate(found, 1):
        price = "" if one.shown.price is None else f"{one.shown.price:,.2f} {one.shown.currency or ''}"
        shares = (f"{one.match.shares[name]:.2f}" for name in names)
        alike = f"{one.match.above_average:.1f} ({one.match.agreeing} of {len(names)})"
        listing = str(one.match.listing_id)
        made.add_row(str(place), listing, one.shown.title[:60], price, f"{one.match.score:.2f}", alike, *shares)
    return made


def _row(one: Found, primary_path: PrimaryPath) -> Mapping[str, Any]:
    path = primary_path(one.match.listing_id)
    match = asdict(one.match)
    match.pop("rows")
    return {**match, **asdict(one.shown), "picture": None if path is None else str(path), "images": one.images}
