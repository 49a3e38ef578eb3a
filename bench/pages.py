"""How long the pages take on a database of a million listings: `python -m bench.pages --listings 1000000`.

It serves the home of `bench.size` by `run.py web`, waits until the words are indexed and the market is counted, and
asks for each kind of page so many times, for listings, shops and words by chance, one after the other. Nothing else is
asked meanwhile; the first page of each kind is asked once before.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles

import requests
from rich.console import Console

from bench import figures, size_market
from bench.figures import Figure
from bench.size_places import Place
from tests.web.serving import serving

GOAL_SECONDS = 0.1
LOOK_SECONDS, MOST_SECONDS = 1.0, 900.0
QUERIES = ("chair", "oak table", "walnut", "vintage", "teak sideboard", "oak chair solid wood", "zebra")
BOUNDS = ("", "&country=DE", "&max=200", "&era=2020_2026&min=50")
Address = Callable[[], str]


class Visitor:
    """Asks a server for pages and takes the time."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._session = requests.Session()
        self._session.trust_env = False

    def ask(self, below: str) -> tuple[float, str]:
        """Return how many seconds a page took, to its last byte, and its text."""
        began = time.perf_counter()
        answer = self._session.get(self._address + below)
        took = time.perf_counter() - began
        answer.raise_for_status()
        return took, answer.text

    def wait_for(self, below: str, words: str) -> None:
        """Ask until the page has these words."""
        began = time.perf_counter()
        while words not in self.ask(below)[1]:
            if time.perf_counter() - began > MOST_SECONDS:
                raise SystemExit(f"The page {below} does not come to say: {words}.")
            time.sleep(LOOK_SECONDS)


def numbers(place: Place, query: str) -> list[int]:
    """Return the first column of what the database answers, which is opened for reading only."""
    with closing(sqlite3.connect(f"file:{place.database}?mode=ro", uri=True)) as database:
        return [row[0] for row in database.execute(query)]


def addresses(place: Place, chance: random.Random) -> Mapping[str, Address]:
    """Return for each kind of page what gives an address of it, another one each time."""
    listings = numbers(place, "SELECT listing_id FROM listings LIMIT 200000")
    shops = numbers(place, "SELECT shop_id FROM shops LIMIT 20000")
    return {
        "Now": lambda: "",
        "the part of it that is renewed": lambda: "now/live",
        "Market": lambda: "market",
        "Health": lambda: "health",
        "a listing": lambda: f"listing/{chance.choice(listings)}",
        "a shop": lambda: f"shop/{chance.choice(shops)}",
        "a search by words": lambda: f"search?by=text&q={chance.choice(QUERIES)}{chance.choice(BOUNDS)}",
    }


def measure(place: Place, rounds: int) -> Iterator[Figure]:
    """Return the figures of each kind of page."""
    (listings,) = numbers(place, "SELECT COUNT(*) FROM listings")
    with serving(place.home) as address:
        visitor = Visitor(address)
        visitor.wait_for("search", f"{listings:,} listings are indexed")
        visitor.wait_for("market", "Counted")
        for kind, find in addresses(place, random.Random(1)).items():
            visitor.ask(find())
            yield _figure(kind, [visitor.ask(find())[0] for _ in range(rounds)])


def _figure(kind: str, seconds: Sequence[float]) -> Figure:
    p99 = quantiles(seconds, n=100)[-1]
    told = {"p50": median(seconds), "p99": p99, "longest": max(seconds)}
    value = ", ".join(f"{name} {took * 1000:.0f} ms" for name, took in told.items())
    return Figure(f"page: {kind}", value, "", p99 / GOAL_SECONDS, "p99 < 100 ms", p99 < GOAL_SECONDS)


def main() -> int:
    """Fill the home where it is not there yet, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--listings", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=200, help="how often each kind of page is asked for")
    parser.add_argument("--folder", type=Path, help="where the home is kept; by default one that is deleted")
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep the figures in this file too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-pages-") as temporary:
        place = Place(given.folder or Path(temporary))
        size_market.fill_where_missing(place, given.listings)
        found = list(measure(place, given.rounds))
    console = Console(width=170, highlight=False)
    console.print(figures.table(f"The page, {given.listings:,} listings", found))
    console.print(figures.machine())
    if given.json:
        figures.write(found, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
