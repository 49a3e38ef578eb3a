"""The real engine on a large database, with an API that answers at once; a process of its own, for its memory.

    python -m bench.size_steps FOLDER RESULT.json STEPS

Of each step three times are taken: its write transaction from begin to commit; that and every statement before it;
and the whole step without the wire, in which answers are parsed as well. Behind each step a loop that is always the
same tells how fast the processor is just then. It imports nothing that a crawl does not need.
"""

from __future__ import annotations

import json
import resource
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from peewee import Database
from rich.console import Console

from bench import statements
from bench.meter import MAXRSS_BYTES
from bench.size_places import CYCLES, FIRST_NEW_ID, FIRST_NEW_REVIEW, FIRST_SHOP, PICTURES, QUOTA, Place, stand_at
from crawler.api.limiter import SlotFile
from crawler.api.wire import WireAnswer
from crawler.engine import Engine
from crawler.outcome import Outcome, Position
from crawler.parts import Parts, open_for_writing
from crawler.wiring import build_calling, build_watch
from runtime.database import LogTidier, transaction
from runtime.interpreter import suit_a_crawl
from runtime.progress import Progress
from runtime.settings import Home, load_settings
from runtime.stop import Stop

TIDIED_SECONDS = 0.001  # a look that carried nothing over takes less
LOOP = 10_000
LATENCY_SECONDS = 0.3  # of an answer, on the virtual clock: as Etsy's
OLD_ROWS, NEW_ROWS = 98, 2  # of a search page
SHARES = {"VERIFY": 0.05, "TAXONOMY": 0.6, "BACKFILL": 0.1, "REVIEWS": 0.25}
KINDS = {"/listings/active": "page", "/listings/batch": "batch"}
SHOWN = "SELECT listing_id, shop_id, wanted, cents, currency, taxonomy_id FROM shown "


class WaitlessClock:
    """The time, in which every wait is over at once."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._began = time.time(), time.monotonic()

    def now(self) -> float:
        """Return the wall time in Unix seconds."""
        return self._began[0] + self._ahead

    def monotonic(self) -> float:
        """Return seconds that never jump back."""
        return self._began[1] + self._ahead

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Let the seconds pass; return whether the event is set."""
        self.advance(max(1e-6, seconds))
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Let the seconds pass."""
        self._ahead += seconds


class MarketWire:
    """Answers as Etsy would, from what the market shows; `seconds` is what the answering took."""

    def __init__(self, place: Place, clock: WaitlessClock) -> None:
        self._market = sqlite3.connect(place.market)
        self._patterns = orjson.loads(place.templates.read_bytes())
        self._clock = clock
        self._bounds = self._find_bounds()
        self.seconds = 0.0
        self.kind = ""

    def get(self, path: str, params: Mapping[str, str]) -> WireAnswer:
        """Return the answer to a search, a batch or a visit to reviews."""
        began = time.perf_counter()
        self.kind = KINDS.get(path, "review")
        if path == "/listings/active":
            told = self._search(float(params.get("min_price", 0)), int(params["offset"]) // 100)
        elif path == "/listings/batch":
            told = self._batch([int(part) for part in params["listing_ids"].split(",")])
        else:
            told = self._reviews(int(path.split("/")[2]))
        headers = {"x-limit-per-day": str(QUOTA), "x-remaining-today": str(QUOTA // 2)}
        answer = WireAnswer(200, headers, orjson.dumps(told))
        self._clock.advance(LATENCY_SECONDS)
        self.seconds += time.perf_counter() - began
        return answer

    def _find_bounds(self) -> list[tuple[float, int, int]]:
        """Return of each interval its lowest price, number and rows."""
        rows = self._market.execute("SELECT MIN(cents), interval, COUNT(*) FROM shown GROUP BY interval").fetchall()
        return [(0.0 if interval == 0 else cents / 100, interval, count) for cents, interval, count in rows]

    def _search(self, low: float, page: int) -> dict[str, Any]:
        """Return a page of the interval; newest first means no order, as listings are renewed at any time."""
        _, interval, rows = min(self._bounds, key=lambda bound: abs(bound[0] - low))
        pages = -(-rows // OLD_ROWS)
        order = f"WHERE interval = ? ORDER BY place * {40_505 + 2 * CYCLES} % 65521 LIMIT {OLD_ROWS} OFFSET ?"
        found = self._market.execute(SHOWN + order, (interval, page * OLD_ROWS)).fetchall()
        first = FIRST_NEW_ID + (interval * 1_000 + page) * NEW_ROWS
        found += [_new(listing_id) for listing_id in range(first, first + NEW_ROWS)] if page < pages else []
        return {"count": rows + NEW_ROWS * pages, "results": [self._row("search", row) for row in found]}

    def _batch(self, ids: list[int]) -> dict[str, Any]:
        holes = ", ".join("?" * len(ids))
        found = self._market.execute(f"{SHOWN} WHERE listing_id IN ({holes})", ids).fetchall()
        found += [_new(listing_id) for listing_id in ids if listing_id >= FIRST_NEW_ID]
        return {"count": len(found), "results": [self._detailed(row) for row in found]}

    def _row(self, kind: str, row: tuple[Any, ...]) -> dict[str, Any]:
        listing_id, shop_id, wanted, cents, currency, taxonomy_id = row
        patterns = self._patterns[kind]
        return {
            **patterns[listing_id % len(patterns)],
            "listing_id": listing_id,
            "shop_id": shop_id,
            "state": "active",
            "when_made": "made_to_order" if wanted else "1960s",
            "taxonomy_id": taxonomy_id,
            "price": {"amount": cents, "divisor": 100, "currency_code": currency},
        }

    def _detailed(self, row: tuple[Any, ...]) -> dict[str, Any]:
        told, shop_id = self._row("batch", row), row[1]
        moved = shop_id % 5 == 0  # one shop in five has a new review since its last visit
        figures = {"shop_id": shop_id, "review_count": 300 + moved, "review_average": 4.8}
        images = [_image(told["images"][0], row[0], rank) for rank in range(PICTURES)]
        return {**told, "shop": {**told["shop"], **figures}, "images": images}

    def _reviews(self, shop_id: int) -> dict[str, Any]:
        """Return new reviews: five, of one shop in ten a whole page."""
        number = 100 if shop_id % 10 == 0 else 5
        first, patterns = FIRST_NEW_REVIEW + (shop_id - FIRST_SHOP) * 100, self._patterns["reviews"]
        rows = [
            {**patterns[i % len(patterns)], "transaction_id": first + i, "shop_id": shop_id, "create_timestamp": at}
            for i in range(number)
            if (at := int(self._clock.now()) - 3600 * i)
        ]
        return {"count": number, "results": rows}


def _new(listing_id: int) -> tuple[Any, ...]:
    """Return a listing that appeared since the last cycle."""
    return listing_id, FIRST_SHOP + listing_id % 500 * 7, listing_id % 4 != 3, 10_000 + listing_id % 90_000, "USD", 992


def _image(pattern: Mapping[str, Any], listing_id: int, rank: int) -> dict[str, Any]:
    """Return an image as the database has it; of one listing in fifty, the last one is new."""
    image_id = listing_id * 8 + (7 if rank == PICTURES - 1 and listing_id % 50 == 0 else rank)
    where = f"{image_id * 7 % 16777216:06x}/{image_id}"
    address = f"https://i.etsystatic.com/il/{where}/il_570xN.{image_id}_{image_id % 65536:04x}.jpg"
    return {**pattern, "listing_id": listing_id, "listing_image_id": image_id, "rank": rank + 1, "url_570xN": address}


@dataclass
class Steps:
    """Runs the engine and keeps of each step what it was and how long it took."""

    place: Place
    clock: WaitlessClock
    wire: MarketWire

    def __post_init__(self) -> None:
        """Begin with no step taken."""
        self.taken: list[dict[str, Any]] = []
        self.tidied: list[float] = []
        self._transaction_seconds = self._cpu_seconds = self._sql_within = 0.0

    def run(self, state: str, number: int, watch_too: bool) -> dict[str, list[float]]:
        """Take so many steps from the beginning of a state; return how long the display's values took."""
        stand_at(self.place, state)
        home = Home(self.place.home)
        settings = load_settings(home.root, {"ETSY_API_KEY": "key:secret"})
        stop = Stop(self.clock, ())
        parts = Parts(settings, home, self.clock, stop, Console(quiet=True))
        database = open_for_writing(parts)
        calling = build_calling(parts, self.wire, SlotFile(None), workers=0)
        end = len(self.taken) + number

        tidy = LogTidier(database)

        def observe(position: Position, outcome: Outcome | None) -> None:
            self._note(state)
            began = time.perf_counter()
            tidy()
            self.tidied.append(time.perf_counter() - began)
            if len(self.taken) >= end or position.state != state:
                stop.ask("the bench")
            self._begin()

        engine = Engine(calling.context, calling.ledger, partial(self._transaction, database, stop), observe)
        self._begin()
        engine.run()
        watch = build_watch(parts, calling, Progress(parts.console, self.clock, ""), Nobody())
        looked = {"first": [], "later": []} if not watch_too else self._look(watch, engine.position)
        database.close()
        return looked

    def _look(self, watch: Any, position: Position) -> dict[str, list[float]]:
        """Time what a display gathers: all of it, and what it gathers each half second."""
        looked: dict[str, list[float]] = {"first": [], "later": []}
        for number in range(10):
            began = time.perf_counter()
            watch._values(position)
            looked["later" if number else "first"].append(time.perf_counter() - began)
            self.clock.advance(0.5)
        return looked

    @contextmanager
    def _transaction(self, database: Database, stop: Stop) -> Iterator[None]:
        began, cpu, sql = time.perf_counter(), time.thread_time(), statements.STATEMENTS.seconds
        with transaction(database, stop):
            yield
        self._cpu_seconds += time.thread_time() - cpu
        self._transaction_seconds += time.perf_counter() - began
        self._sql_within += statements.STATEMENTS.seconds - sql

    def _begin(self) -> None:
        self._transaction_seconds = self._cpu_seconds = self._sql_within = self.wire.seconds = 0.0
        self.wire.kind = ""
        self._sql_before = statements.STATEMENTS.seconds
        self._began = time.perf_counter()

    def _note(self, state: str) -> None:
        whole = time.perf_counter() - self._began - self.wire.seconds
        reads = statements.STATEMENTS.seconds - self._sql_before - self._sql_within
        kind = self.wire.kind or state.lower()
        kind = "backfill batch" if state == "BACKFILL" and kind == "batch" else kind
        self.taken.append(
            {
                "kind": kind,
                "transaction": self._transaction_seconds,
                "cpu": self._cpu_seconds,
                "database": self._transaction_seconds + reads,
                "whole": whole,
                "loop": loop_seconds(),
            }
        )


class Nobody:
    """Stands for the downloads beside a crawl."""

    def at_work(self) -> AbstractContextManager[None]:
        """Do nothing while the block lasts."""
        return nullcontext()

    def tell(self, queued: int) -> str:
        """Say nothing."""
        return ""


def loop_seconds() -> float:
    """Return how long a loop takes that needs the processor alone."""
    began = time.perf_counter()
    for _ in range(LOOP):
        pass
    return time.perf_counter() - began


def peak_bytes() -> int:
    """Return the most memory that this process held so far."""
    # getrusage begins with what the parent held when it started this process; this does not.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_BYTES


def main(arguments: list[str]) -> int:
    """Take the steps and write down what they took."""
    place, result, number = Place(Path(arguments[0])), Path(arguments[1]), int(arguments[2])
    statements.time_all()
    suit_a_crawl()
    clock = WaitlessClock()
    steps = Steps(place, clock, MarketWire(place, clock))
    peaks = {"the first step": peak_bytes()}
    looked: dict[str, Any] = {}
    for state, share in SHARES.items():
        looked[state] = steps.run(state, round(number * share), watch_too=state == "TAXONOMY")
        peaks[f"the end of {state}"] = peak_bytes()
    told = {
        "steps": steps.taken,
        "tidied": [seconds for seconds in steps.tidied if seconds > TIDIED_SECONDS],
        "watch": looked["TAXONOMY"],
        "peaks": peaks,
        "statements": statements.as_json(25),
    }
    result.write_text(json.dumps(told), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
