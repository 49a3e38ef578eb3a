"""Downloads the same pictures with this program, img2dataset and Scrapy, side by side, and says what each cost.

    make bench-pictures
    make bench-pictures ARGS="--pictures 1000 --rounds 1 --latency 0"

The pictures come from the sandbox, which runs in a process of its own. The work is the same for all: fetch with 8
connections, decode to find broken pictures, store as a file, record in a table. Each run is checked afterwards. A run
of a single picture beside each tells what starting and ending cost in CPU time. How fast the pictures come is told by
the host: seconds less those of the single picture would flatter who waits for more pictures before it ends.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from bench import figures
from bench.contestants import CONNECTIONS, ROOT, Contestant, Task, ThisProgram, contestants
from bench.figures import Figure, cpu_name
from bench.picture_host import PictureHost, Work, market, path_of, warm_sandbox
from bench.running import Failed, measure, versions
from sandbox import Sandbox
from sandbox.market import PictureAddress

PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
PEERS = ("img2dataset", "scrapy", "pillow", "opencv-python-headless", "twisted")
OURS = ("pillow", "requests", "urllib3", "peewee")
SAMPLE = 100
CEILING_SLACK = 1.02  # the last few may come in less than a full turn
FEWEST_PICTURES = 500  # with fewer, start and end are most of the time, and the net figures noise
LEGEND = """
while they come: from the host's first request to its last answer, so without start and end. net: less the CPU time of a
run of a single picture. Figures are the median of the rounds, with the least and the most. peak MB, all its processes:
added up, pages that they share count for each. The host's own CPU time is counted to nobody."""
MEMORY_PICTURES = (1_000, 100_000)
MB = 1_000_000
NET_SPEED = "pictures a second, while they come"
LABEL_WIDTH, COLUMN_WIDTH = 38, 26


@dataclass(frozen=True)
class Run:
    """What one command cost, and what it stored."""

    pictures: int
    seconds: float
    cpu_seconds: float
    largest_process_bytes: int
    all_processes_bytes: int
    host: Work
    as_sent: bool
    """Whether the files are to the byte what the host sent."""


@dataclass(frozen=True)
class Pair:
    """A run, and one of a single picture right before it."""

    start: Run
    full: Run

    def figures(self) -> dict[str, float]:
        """Return the figures of the table, by their labels."""
        pictures, more = self.full.pictures, self.full.pictures - self.start.pictures
        cpu_seconds = self.full.cpu_seconds - self.start.cpu_seconds
        return {
            "pictures a second": pictures / self.full.seconds,
            NET_SPEED: pictures / self.full.host.seconds,
            "CPU s for 1,000": 1000 * self.full.cpu_seconds / pictures,
            "CPU s for 1,000, net": 1000 * cpu_seconds / more,
            "start and end, s": self.start.seconds,
            "start and end, CPU s": self.start.cpu_seconds,
            "peak MB, all its processes": (self.full.all_processes_bytes or self.full.largest_process_bytes) / MB,
            "peak MB, largest process": self.full.largest_process_bytes / MB,
            "the host's CPU s for 1,000": 1000 * self.full.host.cpu_seconds / pictures,
            "connections opened": self.full.host.connections,
        }


COMPARED = ("pictures a second", NET_SPEED, "CPU s for 1,000", "CPU s for 1,000, net")


class Bench:
    """Runs contestants on the first pictures of one host, each time in a new folder.

    All folders stay to the end: for a minute after a file was deleted, ext4 is slow to make new ones (it took a
    tenth of the next contestant's CPU time).
    """

    def __init__(self, folder: Path, host: PictureHost, sandbox: Sandbox, addresses: Sequence[PictureAddress]) -> None:
        self._folder = folder
        self._host = host
        self._sandbox = sandbox
        self._addresses = addresses

    def pair(self, contestant: Contestant) -> Pair:
        """Run it on a single picture, then on all."""
        return Pair(self.run(contestant, 1), self.run(contestant, len(self._addresses)))

    def run(self, contestant: Contestant, pictures: int) -> Run:
        """Run it on so many pictures and check what it stored; Failed."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        task = Task(folder, self._host.cdn_url, self._addresses[:pictures])
        contestant.prepare(task)
        # What others left to be written must not be waited for by whoever syncs next.
        os.sync()
        self._host.begin()
        cost = measure(contestant.name, contestant.command(task), task.folder, contestant.environment(task))
        done = self._host.work()
        return Run(pictures, **cost, host=done, as_sent=self._check(contestant, task, done))

    def _check(self, contestant: Contestant, task: Task, done: Work) -> bool:
        """Raise Failed where a picture is missing or broken; return whether a sample is what the host sent."""
        stored = contestant.stored(task)
        wanted = {address.image_id for address in task.addresses}
        if set(stored) != wanted:
            raise Failed(f"{contestant.name} recorded {len(stored)} of {len(wanted)} pictures")
        empty = sum(not path.is_file() or not path.stat().st_size for path in stored.values())
        if empty or len(set(stored.values())) != len(wanted):
            raise Failed(f"{contestant.name}: {empty} of {len(wanted)} recorded files are not there, or two are one")
        if done.pictures != len(wanted):
            raise Failed(f"{contestant.name} fetched {done.pictures} pictures, not {len(wanted)}")
        latency = self._sandbox.settings.picture_latency_seconds
        if len(wanted) > CONNECTIONS and len(wanted) * latency > CONNECTIONS * done.seconds * CEILING_SLACK:
            raise Failed(f"{contestant.name} had more than {CONNECTIONS} pictures in flight")
        sample = task.addresses[:: max(1, len(wanted) // SAMPLE)]
        bodies = [(stored[address.image_id].read_bytes(), path_of(address)) for address in sample]
        for body, _ in bodies:
            with Image.open(io.BytesIO(body)) as image:
                image.load()
        return all(body == self._sandbox.picture(path).body for body, path in bodies)


@contextmanager
def bench(folder: Path, pictures: int, latency_seconds: float) -> Iterator[Bench]:
    """Serve so many pictures, each so late."""
    settings = market(pictures, latency_seconds)
    sandbox = warm_sandbox(settings)
    addresses = list(sandbox.picture_addresses(pictures))
    if len(addresses) < pictures:
        raise Failed(f"the sandbox has only {len(addresses)} pictures")
    with PictureHost(settings) as host:
        yield Bench(folder, host, sandbox, addresses)


def compare(folder: Path, pictures: int, rounds: int, latency_seconds: float) -> dict[str, Any]:
    """Let the contestants run in turn, print the table, and return all that was measured."""
    print(f"\n{latency_seconds * 1000:g} ms before each answer; pictures: {pictures:,}; rounds: {rounds}\n", flush=True)
    with bench(folder, pictures, latency_seconds) as place:
        chosen, tried = choose(place)
        pairs: list[list[Pair]] = [[] for _ in chosen]
        for _ in range(rounds):
            for contestant, taken in zip(chosen, pairs, strict=True):
                taken.append(place.pair(contestant))
    print_table(chosen, pairs)
    return {
        "latency_seconds": latency_seconds,
        "pictures": pictures,
        "tried_before": tried,
        "contestants": [
            {
                "name": one.name,
                "way": one.way,
                "settings": one.settings,
                "rounds": [asdict(pair) | {"figures": pair.figures()} for pair in taken],
            }
            for one, taken in zip(chosen, pairs, strict=True)
        ],
    }


def choose(place: Bench) -> tuple[list[Contestant], list[dict[str, Any]]]:
    """Return each program in the fastest of its ways, and how many pictures a second each of the ways brought.

    Every way is run once, which also leaves nobody's code to be read from the disk for the first time later.
    """
    chosen: list[Contestant] = []
    tried: list[dict[str, Any]] = []
    for ways in contestants(PEERS_PYTHON):
        speeds = [place.pair(way).figures()[NET_SPEED] for way in ways]
        chosen.append(ways[speeds.index(max(speeds))])
        for way, speed in zip(ways, speeds, strict=True):
            tried.append({"name": way.name, "way": way.way, "pictures_a_second_while_they_come": speed})
            print(f"tried: {way.name}, {way.way}: {number(speed)} a second, while they come", flush=True)
    return chosen, tried


def print_table(chosen: Sequence[Contestant], pairs: Sequence[Sequence[Pair]]) -> None:
    """Print the medians of all rounds, with the least and the most, and the ratios to the first column."""
    print()
    for contestant in chosen:
        print(f"{contestant.name}: {contestant.way}; {contestant.settings}")
    print()
    print_line("", [contestant.name for contestant in chosen])
    columns = [[pair.figures() for pair in taken] for taken in pairs]
    for label in columns[0][0]:
        values = [[told[label] for told in column] for column in columns]
        print_line(label, [in_words(column) for column in values])
        if label in COMPARED:
            ours = median(values[0])
            print_line("  ratio to this program", [f"{median(column) / ours:.2f}" for column in values])
    print_line("there, recorded, decoded, fetched once", ["yes"] * len(chosen))
    same = [all(pair.full.as_sent for pair in taken) for taken in pairs]
    print_line("stored as it was sent", ["yes" if one else "no, encoded anew" for one in same])


def print_line(label: str, cells: Sequence[str]) -> None:
    """Print a line of the table."""
    print(f"{label:<{LABEL_WIDTH}}" + "".join(f"{cell:>{COLUMN_WIDTH}}" for cell in cells), flush=True)


def in_words(values: Sequence[float]) -> str:
    """Return the median and, of several values, the least and the most."""
    middle = number(median(values))
    return f"{middle} ({number(min(values))} to {number(max(values))})" if len(values) > 1 else middle


def number(value: float) -> str:
    """Return the number with as many places as say something."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def memory(folder: Path) -> list[dict[str, Any]]:
    """Download a few and many pictures with this program; print and return its peak memory."""
    lines = []
    print("\nthis program's memory", flush=True)
    for pictures in MEMORY_PICTURES:
        with bench(folder, pictures, 0.0) as place:
            run = place.run(ThisProgram(), pictures)
        lines.append({"pictures": pictures, "peak_bytes": run.largest_process_bytes, "seconds": run.seconds})
        print(
            f"{pictures:>8,} pictures: {run.largest_process_bytes / MB:.1f} MB at most, {run.seconds:.0f} s", flush=True
        )
    return lines


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "system": platform.platform(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "folder": tempfile.gettempdir(),
        "connections": CONNECTIONS,
        "peers": versions(PEERS_PYTHON, PEERS),
        "this_program": {name: version(name) for name in OURS},
    }


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; exits with 2 where they are wrong."""
    parser = argparse.ArgumentParser(prog="bench.pictures", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=3_000, help="in each run (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="0: no comparison (%(default)s)")
    parser.add_argument(
        "--latency",
        type=float,
        nargs="+",
        default=[0.02, 0.0],
        metavar="SECONDS",
        help="before each answer; several are measured one after the other (0.02 and 0)",
    )
    parser.add_argument("--memory", action="store_true", help="this program at 1,000 and at 100,000 pictures as well")
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep the figures in this file too")
    given = parser.parse_args(arguments)
    if given.pictures < FEWEST_PICTURES or given.rounds < 0 or min(given.latency) < 0:
        parser.error(f"--pictures must be {FEWEST_PICTURES} or more, --rounds and --latency 0 or more.")
    if not PEERS_PYTHON.exists():
        parser.error(f"there is no {PEERS_PYTHON}; `make bench-pictures` makes it.")
    return given


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark and return the exit status: 1 where a contestant did not do the work."""
    given = read_arguments(arguments)
    measured: dict[str, Any] = {"machine": machine(), "comparisons": []}
    for name, value in measured["machine"].items():
        print(f"{name}: {value}")
    print(LEGEND)
    with tempfile.TemporaryDirectory(prefix="bench-pictures-") as name:
        folder = Path(name)
        try:
            for latency in given.latency if given.rounds else ():
                measured["comparisons"].append(compare(folder, given.pictures, given.rounds, latency))
            if given.memory:
                measured["memory"] = memory(folder)
        except Failed as failed:
            print(failed, file=sys.stderr)
            return 1
    if given.json:
        figures.write(held_against(measured), given.json)
    return 0


def held_against(measured: Mapping[str, Any]) -> Iterator[Figure]:
    """Yield how this program's medians compare with the others'."""
    for comparison in measured["comparisons"]:
        late = f"{comparison['latency_seconds'] * 1000:g} ms before each answer"
        for label in (NET_SPEED, "CPU s for 1,000, net"):
            (_, ours), *others = [
                (one["name"], median(taken["figures"][label] for taken in one["rounds"]))
                for one in comparison["contestants"]
            ]
            for name, theirs in others:
                yield Figure(f"{label}, {late}", number(ours), f"{name}: {number(theirs)}", ours / theirs)
    for line in measured.get("memory", ()):
        megabytes = line["peak_bytes"] / MB
        yield Figure(f"memory with {line['pictures']:,} pictures", f"{megabytes:.0f} MB")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
