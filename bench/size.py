"""What the crawler needs on a database of a million listings: `python -m bench.size --listings 1000000`.

It fills a home with ten weeks of a crawl (and keeps it, where `--folder` names a place), then measures on it: bytes a
listing; start to first call; each step's work on the database, and the memory of that; `status`, `plan` and `verify`.
Cold means that the system was asked to forget the database's pages. `--explain` adds the slowest statements.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from bench import figures, size_market, statements
from bench.figures import Figure
from bench.first_call import first_call_server
from bench.size_places import Place, plan_again, rewind
from imaging.store import auditing
from models import CRAWLER_MODELS, MIGRATIONS
from runtime.database import open_database, open_read_only
from runtime.settings import DEFAULT_DATABASE_URL

ROOT = Path(__file__).resolve().parent.parent
GOALS = {"start": 2.0, "step": 0.020, "memory": 150e6, "status": 1.0, "verify": 600.0}
ROUNDS = 3
MOST_SECONDS = 570
CHUNK = 16 << 20
SHOWN = 7  # slowest statements of each command


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took."""

    seconds: float
    memory_bytes: int
    output: str


class Measuring:
    """Measures one filled home."""

    def __init__(self, place: Place, steps: int) -> None:
        self._place = place
        self._steps = steps
        self._scratch = place.folder / "scratch"
        self.slowest: dict[str, list[dict[str, Any]]] = {}

    def run(self, explain: bool) -> Iterator[Figure]:
        """Measure everything, from the end of a cycle on into the next one."""
        # A home that is older than the newest migration: to bring it up to date is no part of what is measured.
        open_database(DEFAULT_DATABASE_URL, self._place.home, CRAWLER_MODELS, MIGRATIONS).close()
        rewind(self._place)
        yield from self._size()
        yield from self._verify(explain)
        yield from self._starts(explain)
        yield from self._looks(explain)
        yield from self._steps_taken()

    # The file

    def _size(self) -> Iterator[Figure]:
        with closing(sqlite3.connect(self._place.database)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            listings = database.execute("SELECT COUNT(*) FROM listings").fetchone()[0]
            size = self._place.database.stat().st_size
            yield Figure("database", f"{size / 1e9:.2f} GB, {size / listings:,.0f} bytes a listing")
            yield Figure("  by table and index, bytes a listing", _by_table(database, listings))

    # Commands

    def _verify(self, explain: bool) -> Iterator[Figure]:
        self._warm()
        cost = self._command("verify")
        yield _seconds("verify, without picture files", cost.seconds, "verify", f"found: {_found(cost.output)}")
        yield _memory("  its memory", cost.memory_bytes)
        yield Figure("  and reading the rows of all pictures", f"{walk_pictures(self._place):.1f} s")
        if explain:
            self._profile("verify")

    def _starts(self, explain: bool) -> Iterator[Figure]:
        for name, before in (("a new cycle, planned first", plan_again), ("within a cycle", None)):
            for kind in ("warm", "cold"):
                if before is not None:
                    before(self._place)
                self._cool() if kind == "cold" else self._warm()
                seconds, cost = self._first_call()
                yield _seconds(f"start to first call, {name}, {kind}", seconds, "start")
                yield _memory("  its memory", cost.memory_bytes)
        if explain:
            plan_again(self._place)
            self._profile("", "a new cycle's start")
            self._profile("", "a start within a cycle")

    def _looks(self, explain: bool) -> Iterator[Figure]:
        for command in ("status", "status --json", "plan"):
            self._warm()
            costs = [self._command(command) for _ in range(ROUNDS)]
            yield _seconds(f"{command}, warm", median(cost.seconds for cost in costs), "status")
            self._cool()
            yield _seconds(f"{command}, cold", self._command(command).seconds, "status")
            yield _memory("  its memory", max(cost.memory_bytes for cost in costs))
            if explain:
                self._warm()
                self._profile(command)

    def _steps_taken(self) -> Iterator[Figure]:
        self._warm()
        result = self._scratch_file("steps.json")
        subprocess.run(
            [sys.executable, "-m", "bench.size_steps", self._place.folder, result, str(self._steps)],
            cwd=ROOT,
            check=True,
            timeout=MOST_SECONDS,
        )
        told = json.loads(result.read_text(encoding="utf-8"))
        self.slowest["steps"] = told["statements"]
        yield from _step_figures(told["steps"])
        yield _pace(told["steps"])
        first, *others = told["peaks"].items()
        rising = [
            f"{first[1] / 1e6:,.0f} MB before {first[0]}",
            *(f"{peak / 1e6:,.0f} after {n}" for n, peak in others),
        ]
        yield _memory("memory of the process with these steps", others[-1][1], ", ".join(rising))
        first, later = told["watch"]["first"][0], max(told["watch"]["later"])
        yield Figure("the live display's values", f"{first:.2f} s the first time, then at most {later:.2f} s")

    # Processes

    def _command(self, command: str) -> Cost:
        """Run one command to its end."""
        result, output = self._scratch_file("cost.json"), self._scratch_file("output.txt")
        with output.open("wb") as told:
            subprocess.run(
                self._metered(result, command),
                cwd=ROOT,
                env=self._environment("http://127.0.0.1:9"),
                stdout=told,
                stderr=subprocess.STDOUT,
                timeout=MOST_SECONDS,
                check=True,
            )
        return _cost(result, output)

    def _first_call(self) -> tuple[float, Cost]:
        """Start to crawl; return after how many seconds the first call came, and what the process took in all."""
        result, output = self._scratch_file("cost.json"), self._scratch_file("output.txt")
        with first_call_server() as server, output.open("wb") as told:
            began = time.perf_counter()
            process = subprocess.Popen(
                self._metered(result, ""),
                cwd=ROOT,
                env=self._environment(f"http://127.0.0.1:{server.server_address[1]}"),
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.STDOUT,
            )
            came = server.came.wait(MOST_SECONDS)
            (self._place.home / "KILL").touch()
            process.wait(60)
        if not came:
            raise RuntimeError(f"no call came: {output.read_text(encoding='utf-8')}")
        return server.came_at - began, _cost(result, output)

    def _profile(self, command: str, name: str = "") -> None:
        """Run a command once more with its statements timed."""
        result = self._scratch_file("statements.json")
        with first_call_server() as server, self._scratch_file("output.txt").open("wb") as told:
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.statements", str(result), *command.split()],
                cwd=ROOT,
                env=self._environment(f"http://127.0.0.1:{server.server_address[1]}"),
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.STDOUT,
            )
            if not command:
                server.came.wait(MOST_SECONDS)
                (self._place.home / "KILL").touch()
            process.wait(MOST_SECONDS)
        self.slowest[name or command] = json.loads(result.read_text(encoding="utf-8"))

    def _metered(self, result: Path, command: str) -> list[str]:
        """Return the command line that runs `run.py` and writes down what it took; the meter adds some 20 ms."""
        return [sys.executable, "-I", "bench/meter.py", str(result), sys.executable, "run.py", *command.split()]

    def _environment(self, url: str) -> dict[str, str]:
        """Return what a process gets to see: this home, this server, and no PostgreSQL driver, whose import is slow."""
        left_out = self._scratch_file("left-out") / "psycopg.py"
        left_out.parent.mkdir(exist_ok=True)
        left_out.write_text("raise ImportError", encoding="utf-8")
        state = self._scratch_file("state")
        shutil.rmtree(state, ignore_errors=True)  # a start is not to wait for the calls of the one before
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self._scratch),
            "XDG_STATE_HOME": str(state),
            "PYTHONPATH": str(left_out.parent),
            "CRAWLER_HOME": str(self._place.home),
            "ETSY_API_URL": url,
            "ETSY_CDN_URL": url,
            "ETSY_API_KEY": "keystring",
            "ETSY_SHARED_SECRET": "secret",
        }

    def _scratch_file(self, name: str) -> Path:
        self._scratch.mkdir(exist_ok=True)
        return self._scratch / name

    # The file system's cache

    def _warm(self) -> None:
        """Have the database's pages in the file system's cache, as far as it is large enough."""
        with self._place.database.open("rb", buffering=0) as file:
            while file.read(CHUNK):
                pass

    def _cool(self) -> None:
        """Have the system forget the database's pages."""
        for path in self._place.database.parent.glob("etsy_data.db*"):
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def walk_pictures(place: Place) -> float:
    """Read the rows of all downloaded pictures as VERIFY does, without a look at files; return the seconds."""
    database = open_read_only(DEFAULT_DATABASE_URL, place.home, CRAWLER_MODELS)
    began, after = time.perf_counter(), 0
    while rows := auditing.done_after(after, 5_000):
        after = rows[-1].image_id
    database.close()
    return time.perf_counter() - began


def _cost(result: Path, output: Path) -> Cost:
    told = json.loads(result.read_text(encoding="ascii"))
    words = output.read_text(encoding="utf-8")
    if told["exit_status"]:
        raise RuntimeError(f"it ended with {told['exit_status']}:\n{words}")
    return Cost(told["seconds"], told["largest_process_bytes"], words)


def _found(report: str) -> str:
    """Return what an audit's table tells of gaps; `pictures not looked at` is meant to be all, as there are none."""
    lines = [re.split(r"\s{2,}", line)[0].strip() for line in report.splitlines()]
    return ", ".join(lines[lines.index("looked at") + 1 : lines.index("intervals")]) or "nothing"


def _by_table(database: sqlite3.Connection, listings: int) -> str:
    """Return what each table and index takes, the large ones; nothing where SQLite was built without `dbstat`."""
    try:
        rows = database.execute("SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE").fetchall()
    except sqlite3.OperationalError:
        return "this SQLite cannot tell"
    large = sorted(((size / listings, name) for name, size in rows), reverse=True)
    return "\n".join(f"{share:6,.0f} {name}" for share, name in large if share >= 1)


def _step_figures(steps: Sequence[dict[str, Any]]) -> Iterator[Figure]:
    """Return the figures of all steps and of each kind, milliseconds at p50, p99 and the longest."""
    by_kind: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for step in steps:
        by_kind[step["kind"]].append(step)
        if step["kind"] != "verify":
            by_kind["step that calls"].append(step)
    for kind, taken in sorted(by_kind.items(), key=lambda item: -len(item[1])):
        for what, name in (
            ("transaction", f"{kind}: write transaction ({len(taken):,} steps)"),
            ("cpu", "  of it CPU"),
            ("database", "  with the reads before"),
            ("whole", "  with parsing and thinking"),
        ):
            seconds = sorted(step[what] for step in taken)
            p99 = _quantile(seconds, 0.99)
            value = f"p50 {_ms(_quantile(seconds, 0.5))}, p99 {_ms(p99)}, longest {_ms(seconds[-1])}"
            if what == "database" and kind != "verify":
                yield Figure(name, value, "", p99 / GOALS["step"], "p99 < 20 ms", p99 < GOALS["step"])
            else:
                yield Figure(name, value)


def _pace(steps: Sequence[dict[str, Any]]) -> Figure:
    """Return how far the processor's own speed moved meanwhile: what takes longer then is not the step's doing."""
    loops = sorted(step["loop"] for step in steps)
    usual, slow = _quantile(loops, 0.5), _quantile(loops, 0.99)
    return Figure("a loop behind each step", f"p50 {usual * 1000:.2f} ms, p99 {slow * 1000:.2f} ms", "", slow / usual)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * share) - 1)]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"


def _seconds(measure: str, seconds: float, goal: str, note: str = "") -> Figure:
    value = f"{seconds:,.2f} s" + (f" ({note})" if note else "")
    return Figure(measure, value, "", seconds / GOALS[goal], f"< {GOALS[goal]:g} s", seconds < GOALS[goal])


def _memory(measure: str, number: int, note: str = "") -> Figure:
    value = f"{number / 1e6:,.0f} MB" + (f" ({note})" if note else "")
    return Figure(measure, value, "", number / GOALS["memory"], "< 150 MB", number < GOALS["memory"])


def main() -> int:
    """Fill the home where it is not there yet, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.size", description=__doc__)
    parser.add_argument("--listings", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=1_500)
    parser.add_argument("--folder", type=Path, help="where the home is kept; by default one that is deleted")
    parser.add_argument("--explain", action="store_true", help="add the slowest statements and how they are answered")
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep the figures in this file too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-size-") as temporary:
        place = Place(given.folder or Path(temporary))
        console = Console(width=170, highlight=False)
        size_market.fill_where_missing(place, given.listings)
        measuring = Measuring(place, given.steps)
        found = []
        for figure in measuring.run(given.explain):
            found.append(figure)
            print(f"{figure.measure}: {figure.value}", file=sys.stderr, flush=True)
        console.print(figures.table(f"{given.listings:,} listings, 10 cycles", found))
        console.print(figures.machine())
        if given.json:
            figures.write(found, given.json)
        if given.explain:
            _print_statements(console, place, measuring.slowest)
    return 0


def _print_statements(console: Console, place: Place, slowest: dict[str, list[dict[str, Any]]]) -> None:
    """Print the slowest statements of each command and how SQLite answers them."""
    for command, found in slowest.items():
        console.print(f"\n[bold]{command}[/bold]")
        for statement in found[:SHOWN]:
            times = f"{statement['seconds']:8.3f} s in {statement['runs']:,} runs, longest {_ms(statement['longest'])}"
            console.print(f"{times}: {statements.without_lists(statement['sql'])}", markup=False, soft_wrap=True)
            for line in statements.explained(place.database, statement):
                console.print(f"             {line}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
