"""One process that serves the indexes of `bench.search_speed` and measures itself: start, queries, recall, memory.

Started by `bench.search_speed`; prints one line of JSON. It stands alone so that its memory is that of serving.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bench.search_data import BLOCK, DIMS, Market
from search import scoring
from search.catalogue import TEXT, Vectors
from search.index import exact
from search.index.exact import Hits, Source
from search.index.library import Rows
from search.index.opened import open_generation
from search.index.served import Query, Served
from search.scoring import PROPOSED, Question
from search.store.vectors import VectorFile

MAKE = "bench"
QUERY_BLOCKS = 5
NO_NEWER = np.empty((0, 2), np.int64)
PICTURE_FILES = tuple(name for name in DIMS if not name.endswith(TEXT))
ONE_FILE = "clip_vitl14"


@dataclass(frozen=True, slots=True)
class Report:
    """What one process measured; times in seconds, memory in bytes."""

    start: float
    first_query: float
    queries: list[float]
    one_file: list[float]
    title_queries: list[float]
    filtered: list[float]
    private_bytes: int
    recall: float
    rank_one: float


def main() -> int:
    """Serve, ask, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--queries", type=int, required=True)
    parser.add_argument("--exact", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--hard", action="store_true")
    given = parser.parse_args()
    sources = sources_of(given.folder, given.rows)
    began = time.perf_counter()
    served = Served(open_generation(given.folder, sources), sources, NO_NEWER, given.threads)
    start = time.perf_counter() - began
    served.prefetch().join()
    print(json.dumps(asdict(measure(served, Market(given.rows, is_hard=given.hard), given, start))))
    served.close()
    return 0


def sources_of(folder: Path, rows: int) -> dict[str, Source]:
    """Return the vector files of the benchmark's store."""
    return {name: Source(VectorFile(folder / "store" / name, dim), rows, MAKE) for name, dim in DIMS.items()}


def measure(served: Served, market: Market, given: argparse.Namespace, start: float) -> Report:
    """Ask everything once for the memory's sake, then take the times."""
    rows = query_rows(market.rows, given.queries)
    vectors = {name: market.queries(name, rows) for name in DIMS}
    allowed = np.sort(np.random.default_rng(2).choice(market.rows, market.rows // 10, replace=False))
    pictures = [Question({name: vectors[name][at : at + 1] for name in PICTURE_FILES}) for at in range(len(rows))]
    everything = [Question({name: vectors[name][at : at + 1] for name in DIMS}) for at in range(len(rows))]
    some = [Question(question.vectors, allowed=allowed) for question in pictures[: given.queries // 4]]
    first = times(served, pictures[:1])[0]
    times(served, pictures)
    taken = times(served, pictures)
    one = [clocked(partial(served.candidates, ONE_FILE, query, PROPOSED)) for query in vectors[ONE_FILE]]
    private = private_bytes()
    recall, rank_one = compare(served, rows, vectors, pictures, given.exact)
    return Report(start, first, taken, one, times(served, everything), times(served, some), private, recall, rank_one)


def query_rows(rows: int, number: int) -> Rows:
    """Return rows out of a few blocks of the market, for every block that is touched has to be made again."""
    random = np.random.default_rng(1)
    blocks = random.choice(rows // BLOCK, min(QUERY_BLOCKS, rows // BLOCK), replace=False)
    return np.unique(random.choice(blocks, number) * BLOCK + random.integers(0, BLOCK, number)).astype(np.int64)


def times(served: Served, questions: Sequence[Question]) -> list[float]:
    """Return how long each question took, one after the other."""
    return [clocked(partial(scoring.search, served, question)) for question in questions]


def clocked(work: Callable[[], object]) -> float:
    """Return how long a call took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(
    served: Served, rows: Rows, vectors: Mapping[str, Vectors], questions: Sequence[Question], number: int
) -> tuple[float, float]:
    """Return the recall@10 of the exact ensemble, and how often the piece itself is the first, of `number` queries."""
    chosen = np.linspace(0, len(questions) - 1, number).astype(int)
    best = {
        name: exact.scan(served.source(name), vectors[name][chosen], PROPOSED, lambda: None) for name in PICTURE_FILES
    }
    hits, firsts = [], []
    for at, question in enumerate(chosen):

        def propose(name: str, query: Query, number: int, at: int = at) -> Hits:
            return Hits(best[name][1][at], best[name][0][at])

        right = [match.listing_id for match in scoring.answer(served, questions[question], propose)]
        found = [match.listing_id for match in scoring.search(served, questions[question])]
        hits.append(len(set(right) & set(found)) / len(right))
        firsts.append(found[0] == served.book.listings_of(rows[question : question + 1])[0])
    return float(np.mean(hits)), float(np.mean(firsts))


def private_bytes() -> int:
    """Return the memory that is this process's alone and no cache of files; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


if __name__ == "__main__":
    sys.exit(main())
