"""How fast a million pictures are searched: `python -m bench.search_speed --rows 1000000 --folder /tmp/search`.

Makes a store of all seven vector files from a seed (bench.search_data; 10 GB and some minutes for a million rows, kept
for the next run with `--folder`), builds the indexes, serves them in a process of its own (bench.search_serve) with the
query vectors given, and adds 10,000 rows. Beside it, with `--peers PYTHON` of an environment that has
bench/requirements-search.txt: brute force with NumPy, usearch and hnswlib, and what the memory's speed allows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.console import Console

from bench import figures
from bench.contestants import ROOT
from bench.figures import Figure
from bench.search_data import BLOCK, DIMS, Market
from bench.search_serve import ONE_FILE, PICTURE_FILES, Report, sources_of
from search.index.generation import build_generation
from search.index.manifest import Manifest

APPENDED = 10_000
GB, MS = 1e9, 1e3
T = TypeVar("T")
PICTURE_DIMS = sum(DIMS[name] for name in PICTURE_FILES)


def main() -> int:
    """Run the steps and print the table; the exit status is 1 where a goal is missed."""
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-search-") as own:
        folder = given.folder or Path(own)
        folder.mkdir(exist_ok=True)
        found = list(steps(given, folder))
    console = Console(width=170, highlight=False)
    data = "cone-shaped (hard)" if given.hard else "clustered"
    console.print(figures.table(f"Search, {given.rows:,} rows of {data} vectors in {len(DIMS)} files", found))
    console.print(figures.machine())
    if given.json:
        figures.write(found, given.json)
    return 0 if given.hard or all(figure.is_met is not False for figure in found) else 1


def arguments() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.search_speed", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help=f"a multiple of {BLOCK:,}")
    parser.add_argument("--folder", type=Path, help="where the store is made and kept for the next run")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--exact", type=int, default=50, help="so many queries are held against a scan of all rows")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--hard", action="store_true", help="a cone without categories, where few bits are not enough")
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="the interpreter of the peers' environment")
    parser.add_argument("--peer-rows", type=int, default=100_000)
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep the figures in this file too")
    given = parser.parse_args()
    if given.rows % BLOCK:
        parser.error(f"--rows must be a multiple of {BLOCK:,}")
    return given


def steps(given: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    """Do one step after the other and yield what each found."""
    market = Market(given.rows, is_hard=given.hard)
    say(f"made the store in {clocked(lambda: make_store(folder, market))[0]:.0f} s")
    seconds, manifest = clocked(lambda: build(folder, market, anew=True))
    yield from built_figures(seconds, manifest, folder)
    yield from served_figures(serve(given, folder))
    more = Market(given.rows + APPENDED, is_hard=given.hard)
    make_store(folder, more)
    seconds, manifest = clocked(lambda: build(folder, more, anew=False))
    yield Figure(f"adding {APPENDED:,} rows to all indexes", f"{seconds:.1f} s", goal="< 60 s", is_met=seconds < 60)
    if given.peers:
        yield from peer_figures(ask_peers(given, folder), given.rows)


def make_store(folder: Path, market: Market) -> None:
    """Make the vector files as long as the market, where they are not yet, and cut what is longer."""
    for name, source in sources_of(folder, market.rows).items():
        source.file.cut(market.rows)
        for first, vectors in market.blocks(name, source.file.rows // BLOCK * BLOCK):
            source.file.append(first, vectors)


def build(folder: Path, market: Market, *, anew: bool) -> Manifest:
    """Build a generation, saying how far it is."""
    return build_generation(folder, sources_of(folder, market.rows), market.ids(), say, lambda: None, anew=anew)


def serve(given: argparse.Namespace, folder: Path) -> Report:
    """Return what a process that serves the indexes measured."""
    numbers = [f"--{name}={getattr(given, name)}" for name in ("rows", "queries", "exact", "threads")]
    command = [sys.executable, "-m", "bench.search_serve", str(folder), *numbers, *["--hard"] * given.hard]
    return Report(**json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout))


def ask_peers(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return what the peers' environment measured on the first rows of one file."""
    rows = min(given.peer_rows, given.rows)
    shard = sources_of(folder, rows)[ONE_FILE].file.path(0)
    command = [given.peers, ROOT / "bench" / "search_peers.py", shard, f"--dim={DIMS[ONE_FILE]}", f"--rows={rows}"]
    command.append(f"--threads={given.threads}")
    told: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return told


def built_figures(seconds: float, manifest: Manifest, folder: Path) -> Iterator[Figure]:
    """Yield what building took and what it chose."""
    size = sum(file.size_bytes for file in manifest.files.values())
    yield Figure("building all indexes anew, with their tests", f"{seconds:.0f} s, {size / GB:.2f} GB")
    for name, file in manifest.files.items():
        chosen = f"{file.kind}, {file.candidates:,} candidates"
        met = file.recall >= 0.99
        yield Figure(f"recall@10 of {name}", f"{file.recall:.3f}", chosen, goal="≥ 0.99", is_met=met)


def served_figures(report: Report) -> Iterator[Figure]:
    """Yield what serving took, beside the goals."""
    p50, p99 = (float(np.quantile(report.queries, share)) * MS for share in (0.5, 0.99))
    private = report.private_bytes / GB
    yield Figure("start", f"{report.start:.2f} s", goal="< 3 s", is_met=report.start < 3)
    yield Figure("the first query", f"{report.first_query * MS:.0f} ms")
    yield Figure("a picture query, p50", f"{p50:.0f} ms", goal="< 100 ms", is_met=p50 < 100)
    yield Figure("a picture query, p99", f"{p99:.0f} ms", goal="< 250 ms", is_met=p99 < 250)
    yield Figure("a query of all seven files, p50 / p99", spread(report.title_queries))
    yield Figure("a picture query, one row in ten allowed, p50 / p99", spread(report.filtered))
    yield Figure(f"one file ({ONE_FILE}), p50 / p99", spread(report.one_file))
    met = report.recall >= 0.99
    yield Figure("recall@10 of the exact ensemble", f"{report.recall:.3f}", goal="≥ 0.99", is_met=met)
    yield Figure("the piece itself comes first", f"{report.rank_one:.3f}")
    yield Figure("private memory", f"{private:.2f} GB", goal="< 2 GB", is_met=private < 2)


def peer_figures(told: dict[str, Any], rows: int) -> Iterator[Figure]:
    """Yield what others need, and what the memory's speed allows."""
    small = f"{told['rows']:,} rows of {DIMS[ONE_FILE]} dimensions"
    scale = rows / told["rows"] * PICTURE_DIMS / DIMS[ONE_FILE]
    whole = float(np.median(told["numpy"])) * MS * scale
    beside = f"≈ {whole:,.0f} ms for a picture query of {rows:,} rows"
    yield Figure(f"NumPy, all of {small}, p50 / p99", spread(told["numpy"]), beside)
    for name in ("usearch", "hnswlib"):
        beside = f"recall@10 {told[f'{name}_recall']:.3f}, built in {told[f'{name}_build']:.0f} s"
        yield Figure(f"{name}, {small}, p50 / p99", spread(told[name]), beside)
    speed = told["bytes_per_second"]
    for words, bits in (("fp32", 32), ("fp16", 16), ("int8", 8), ("1 bit", 1)):
        least = rows * PICTURE_DIMS * bits / 8 / speed * MS
        yield Figure(f"reading five files at {words} takes at least", f"{least:.0f} ms", f"{speed / GB:.1f} GB/s")


def spread(seconds: list[float]) -> str:
    """Return the middle and the tail of some times."""
    p50, p99 = (float(np.quantile(seconds, share)) * MS for share in (0.5, 0.99))
    return f"{p50:.1f} / {p99:.1f} ms"


def clocked(work: Callable[[], T]) -> tuple[float, T]:
    """Return how long a call took and its result."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def say(line: str) -> None:
    """Show how far it is."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
