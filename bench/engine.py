"""The engine alone, with the limit lifted: listings a second from HTTP to the commit, beside Scrapy, dlt and the floor.

    make bench-engine
    make bench-engine ARGS="--listings 10000 --rounds 3"

A crawl of the sandbox's market is recorded once, up to VERIFY, and a server in a process of its own answers from the
recording: pages, batches, no limits, no latency. All contestants fetch the same listings and leave the same rows; each
run is checked, to the last column. The server has one core for itself and the contestants have the others.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

from rich.console import Console
from rich.table import Table

from bench import figures
from bench.contestants import ROOT
from bench.engine_recording import Recording, contents, record
from bench.figures import Figure
from bench.pictures import number
from bench.replay import BASE, pin
from bench.running import Failed, measure, versions
from models import CRAWLER_MODELS, MIGRATIONS
from runtime.database import open_database

PEERS_PYTHON = ROOT / ".venv-bench-engine" / "bin" / "python"
PEERS = ("scrapy", "twisted", "dlt", "sqlalchemy", "orjson")
OURS = ("requests", "urllib3", "peewee", "orjson")
THIS, FLOOR = "this program", "floor"
SCRAPY, FAST_SCRAPY = "Scrapy", "Scrapy, tuned"
DLT, FAST_DLT = "dlt", "dlt, tuned"
OWN_TABLES = (DLT, FAST_DLT)
GOALS = {SCRAPY: 2.0, FAST_SCRAPY: 2.0, DLT: 3.0, FAST_DLT: 3.0, FLOOR: 0.6}
"""How many times as fast as each this program is to be."""
MB, SHARE_OF = 1_000_000, 10_000
COLUMNS = (
    *("", "a second", "least to most", "of ours", "of floor", "start, end s"),
    *("CPU s", "whole CPU s", "peak MB", "calls", "server CPU s"),
)
LEGEND = """a second: listings, from the first request that the server got to the last commit; medians of the rounds.
start, end: how long the process lasted besides. CPU s: of that time; whole: of the process; for 10,000 listings."""


@dataclass(frozen=True)
class Contestant:
    """A program: which module does the work, in which environment and in which way."""

    name: str
    module: str
    settings: str
    python: str = sys.executable
    knows_calls: bool = True
    way: str = ""

    def in_words(self) -> str:
        """Return the way and the settings."""
        return ", ".join(filter(None, [WAYS.get(self.way, ""), self.settings]))

    def command(self, base_url: str, folder: Path, recording: Recording) -> list[str]:
        """Return the command line."""
        told = [str(recording.steps)] if self.knows_calls else []
        files = [str(database_of(folder)), str(folder / "ended.json")]
        return [self.python, "-m", self.module, base_url, *files, *told, *filter(None, [self.way])]


@dataclass(frozen=True)
class Run:
    """What one run cost."""

    seconds: float
    """From the first request to the last commit."""
    whole_seconds: float
    cpu_seconds: float
    whole_cpu_seconds: float
    peak_bytes: int
    calls: int
    server_cpu_seconds: float


CONTESTANTS = (
    (
        Contestant(
            THIS,
            "bench.engine_this",
            "engine, HttpWire, real pragmas; plans its calls by itself",
            knows_calls=False,
        ),
    ),
    (Contestant(FLOOR, "bench.engine_floor", "http.client, orjson, sqlite3.executemany; is told the calls"),),
    (
        Contestant(
            SCRAPY,
            "bench.scrapy_listings",
            "its own defaults, one item a listing, the floor's rows and transactions; is told the calls",
            str(PEERS_PYTHON),
            way="plain",
        ),
    ),
    tuple(
        Contestant(
            FAST_SCRAPY,
            "bench.scrapy_listings",
            "8 connections, no delay, no middlewares, orjson, the floor's rows and transactions; is told the calls",
            str(PEERS_PYTHON),
            way=way,
        )
        for way in ("answer", "listing")
    ),
    (
        Contestant(
            DLT,
            "bench.dlt_listings",
            "rest_api source, SQLAlchemy destination, its own defaults; is told the batches; tables of its own",
            str(PEERS_PYTHON),
            way="plain",
        ),
    ),
    tuple(
        Contestant(
            FAST_DLT,
            "bench.dlt_listings",
            "rest_api source, SQLAlchemy destination, one buffer a table; is told the batches; tables of its own",
            str(PEERS_PYTHON),
            way=way,
        )
        for way in ("typed-jsonl", "parquet")
    ),
)
WAYS = {
    "plain": "as it comes",
    "answer": "one item an answer",
    "listing": "one item a listing",
    "typed-jsonl": "loaded from typed-jsonl",
    "parquet": "loaded from parquet",
}


class Bench:
    """Runs contestants against one server, each time in a new folder."""

    def __init__(self, folder: Path, recording: Recording, address: str) -> None:
        self._folder = folder
        self._recording = recording
        self._address = address
        self._empty = folder / "empty.db"
        open_database(f"sqlite:///{self._empty}", folder, CRAWLER_MODELS, MIGRATIONS).close()

    def run(self, contestant: Contestant) -> Run:
        """Run it once and check what it stored; Failed."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        database_of(folder).parent.mkdir(parents=True)
        if contestant.name not in OWN_TABLES:
            shutil.copy(self._empty, database_of(folder))
        os.sync()  # what others left to be written must not be waited for by whoever syncs next
        self._ask("begin")
        command = contestant.command(self._address + BASE, folder, self._recording)
        cost = measure(contestant.name, command, folder, {})
        told = self._ask("told")
        self._check(contestant, folder, told["unknown"])
        ended = json.loads((folder / "ended.json").read_text(encoding="ascii"))
        shutil.rmtree(folder)
        return Run(
            seconds=ended["committed_at"] - told["first_at"],
            whole_seconds=cost["seconds"],
            cpu_seconds=ended["cpu_seconds"],
            whole_cpu_seconds=cost["cpu_seconds"],
            peak_bytes=cost["all_processes_bytes"] or cost["largest_process_bytes"],
            calls=told["calls"],
            server_cpu_seconds=told["cpu_seconds"],
        )

    def _check(self, contestant: Contestant, folder: Path, unknown: int) -> None:
        """Raise Failed where the database does not hold what the recorded crawl's did."""
        if unknown:
            raise Failed(f"{contestant.name} asked for {unknown} things that were not recorded")
        truth: Mapping[str, object] = self._recording.truth
        held: Mapping[str, object]
        if contestant.name in OWN_TABLES:
            truth, held = self._dlt_truth(), dlt_rows(folder)
        else:
            held = contents(database_of(folder))
        wrong = [f"{name}: {held.get(name)}, not {told}" for name, told in truth.items() if held.get(name) != told]
        if wrong:
            raise Failed(f"{contestant.name} stored something else:\n" + "\n".join(wrong))

    def _dlt_truth(self) -> dict[str, int]:
        recorded = self._recording
        return {"seen": recorded.listings, "listings": recorded.asked, "listings__images": recorded.images}

    def _ask(self, what: str) -> dict[str, Any]:
        with urlopen(f"{self._address}/-/{what}") as answer:
            told: dict[str, Any] = json.load(answer)
        return told


def database_of(folder: Path) -> Path:
    """Return where a contestant's database lies in its folder, which is this program's home."""
    return folder / "data" / "db" / "etsy_data.db"


def dlt_rows(folder: Path) -> dict[str, int]:
    """Return how many different listings, and images of them, dlt's tables hold."""
    keys = {"seen": "listing_id", "listings": "listing_id", "listings__images": "_dlt_id"}  # listings share images
    file = database_of(folder).with_name("etsy_data__market.db")  # a data set is a file beside the database
    with closing(sqlite3.connect(file)) as database:
        return {
            table: database.execute(f"SELECT count(DISTINCT {key}) FROM {table}").fetchone()[0]
            for table, key in keys.items()
        }


@contextmanager
def bench(folder: Path, listings: int) -> Iterator[tuple[Bench, Recording]]:
    """Record a crawl and serve it while the block lasts, on the first core, if there are several."""
    recording = record(folder / "recording", listings)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    core = str(cores[0]) if len(cores) > 1 else ""
    command = [sys.executable, "-m", "bench.replay", str(recording.answers), core]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None and server.stdout is not None
        pin(cores[1:])  # contestants inherit it
        try:
            yield Bench(folder, recording, f"http://127.0.0.1:{int(server.stdout.readline())}"), recording
        finally:
            server.stdin.close()


def choose(place: Bench, listings: int) -> list[Contestant]:
    """Return each program in the fastest of its ways; each is run once, which leaves nobody's code unread."""
    chosen = []
    for ways in CONTESTANTS:
        seconds = [place.run(way).seconds for way in ways]
        for way, taken in zip(ways, seconds, strict=True):
            print(
                f"tried: {' '.join(filter(None, [way.name, way.way]))}: {number(listings / taken)} a second", flush=True
            )
        chosen.append(ways[seconds.index(min(seconds))])
    return chosen


def compare(place: Bench, recording: Recording, rounds: int) -> list[Figure]:
    """Let the contestants run in turn, print the table, and return what it comes to."""
    chosen = choose(place, recording.listings)
    runs: dict[str, list[Run]] = {contestant.name: [] for contestant in chosen}
    for _ in range(rounds):
        for contestant in chosen:
            runs[contestant.name].append(place.run(contestant))
    console = Console(width=160, highlight=False)
    console.print(table(chosen, runs, recording))
    console.print(LEGEND)
    for contestant in chosen:
        console.print(f"{contestant.name}: {contestant.in_words()}", soft_wrap=True)
    found = list(held_against(runs, recording.listings))
    console.print(figures.table("", found))
    return found


def held_against(runs: Mapping[str, Sequence[Run]], listings: int) -> Iterator[Figure]:
    """Yield how fast this program is beside each of the others."""
    ours = f"{listings / median(run.seconds for run in runs[THIS]):,.0f}"
    for name, goal in GOALS.items():
        theirs = f"{name}: {listings / median(run.seconds for run in runs[name]):,.0f}"
        times, by_cpu = (ratio(runs, name, figure) for figure in (lambda run: run.seconds, lambda run: run.cpu_seconds))
        yield Figure("listings stored a second, no limit", ours, theirs, times, f">= {goal:g}", times >= goal)
        yield Figure("  by CPU time", "", name, by_cpu)


def ratio(runs: Mapping[str, Sequence[Run]], name: str, figure: Callable[[Run], float]) -> float:
    """Return how many times as much the other took as this program, by the medians."""
    return median(figure(run) for run in runs[name]) / median(figure(run) for run in runs[THIS])


def table(chosen: Sequence[Contestant], runs: Mapping[str, Sequence[Run]], recording: Recording) -> Table:
    """Return the medians of all rounds, and how they compare."""
    title = f"{recording.listings:,} listings: {recording.pages:,} pages, {recording.batches:,} batches"
    made = Table(title=title, title_justify="left")
    speed = {name: [recording.listings / run.seconds for run in taken] for name, taken in runs.items()}
    ours, floor = median(speed[THIS]), median(speed[FLOOR])
    for name in COLUMNS:
        made.add_column(name, justify="right" if name else "left")

    def middle(name: str, figure: Callable[[Run], float]) -> str:
        return number(median(figure(run) for run in runs[name]))

    for name in (contestant.name for contestant in chosen):
        made.add_row(
            name,
            f"{median(speed[name]):,.0f}",
            f"{min(speed[name]):,.0f} to {max(speed[name]):,.0f}",
            f"{median(speed[name]) / ours:.2f}",
            f"{median(speed[name]) / floor:.0%}",
            middle(name, lambda run: run.whole_seconds - run.seconds),
            middle(name, lambda run: SHARE_OF * run.cpu_seconds / recording.listings),
            middle(name, lambda run: SHARE_OF * run.whole_cpu_seconds / recording.listings),
            middle(name, lambda run: run.peak_bytes / MB),
            middle(name, lambda run: run.calls),
            middle(name, lambda run: run.server_cpu_seconds),
        )
    return made


def machine() -> str:
    """Return what the figures depend on."""
    ours = ", ".join(f"{name} {version(name)}" for name in OURS)
    peers = ", ".join(f"{name} {number}" for name, number in versions(PEERS_PYTHON, PEERS).items())
    return f"{figures.machine()}, {ours}; peers: {peers}"


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; exits with 2 where they are wrong."""
    parser = argparse.ArgumentParser(prog="bench.engine", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--listings", type=int, default=10_000, help="in the market (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contestant (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep the figures in this file too")
    given = parser.parse_args(arguments)
    if given.listings < 100 or given.rounds < 1:
        parser.error("--listings must be 100 or more, --rounds 1 or more.")
    if not PEERS_PYTHON.exists():
        parser.error(f"there is no {PEERS_PYTHON}; `make bench-engine` makes it.")
    return given


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark and return the exit status: 1 where a contestant did not do the work."""
    given = read_arguments(arguments)
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-engine-") as name:
        try:
            with bench(Path(name), given.listings) as (place, recording):
                found = compare(place, recording, given.rounds)
        except Failed as failed:
            print(failed, file=sys.stderr)
            return 1
    if given.json:
        figures.write(found, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
