"""What others need for one vector file: brute force with NumPy, usearch, hnswlib; and how fast memory can be read.

Runs in an environment of its own (bench/requirements-search.txt) and knows nothing of this program but the format of
a shard: fp16 rows. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hnswlib  # type: ignore[import-untyped,import-not-found,unused-ignore]
import numpy as np
import numpy.typing as npt
from usearch.index import Index  # type: ignore[import-untyped,import-not-found,unused-ignore]

Vectors = npt.NDArray[np.float32]
READ_BYTES, ROUNDS = 1 << 30, 5
NEIGHBOURS, WIDTH, EXPANSION = 10, 16, 128


def main() -> int:
    """Measure all of them on the first rows of a shard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shard", type=Path)
    parser.add_argument("--dim", type=int, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    rows = np.fromfile(given.shard, np.float16, given.rows * given.dim).reshape(-1, given.dim).astype(np.float32)
    random = np.random.default_rng(3)
    queries = rows[random.choice(len(rows), given.queries, replace=False)]
    queries = queries + 0.25 * random.standard_normal(queries.shape, np.float32) / np.float32(np.sqrt(given.dim))
    told: dict[str, Any] = {"rows": len(rows), "bytes_per_second": read_speed(given.threads)}
    told["numpy"], right = ask(queries, lambda query: np.argpartition(rows @ query, -NEIGHBOURS)[-NEIGHBOURS:])
    for name, build in (("usearch", build_usearch), ("hnswlib", build_hnswlib)):
        began = time.perf_counter()
        search = build(rows, given.threads)
        took = time.perf_counter() - began
        times, found = ask(queries, search)
        shared = [len(set(a) & set(b)) / NEIGHBOURS for a, b in zip(right, found, strict=True)]
        told[name], told[f"{name}_build"], told[f"{name}_recall"] = times, took, float(np.mean(shared))
    print(json.dumps(told))
    return 0


def ask(queries: Vectors, search: Callable[[Vectors], Any]) -> tuple[list[float], list[list[int]]]:
    """Return the time of each query and what it found."""
    times, found = [], []
    for query in queries:
        began = time.perf_counter()
        rows = search(query)
        times.append(time.perf_counter() - began)
        found.append([int(row) for row in rows])
    return times, found


def build_usearch(rows: Vectors, threads: int) -> Callable[[Vectors], Any]:
    """Return the search of a usearch graph that keeps fp16."""
    index = Index(
        ndim=rows.shape[1], metric="ip", dtype="f16", connectivity=WIDTH, expansion_add=128, expansion_search=EXPANSION
    )
    index.add(np.arange(len(rows)), rows, threads=threads)
    return lambda query: index.search(query, NEIGHBOURS).keys


def build_hnswlib(rows: Vectors, threads: int) -> Callable[[Vectors], Any]:
    """Return the search of an hnswlib graph."""
    index = hnswlib.Index(space="ip", dim=rows.shape[1])
    index.init_index(max_elements=len(rows), M=WIDTH, ef_construction=128)
    index.set_num_threads(threads)
    index.add_items(rows)
    index.set_ef(EXPANSION)
    return lambda query: index.knn_query(query, NEIGHBOURS)[0][0]


def read_speed(threads: int) -> float:
    """Return the bytes a second that so many threads read together, the best of several rounds."""
    parts = [np.ones(READ_BYTES // threads // 8, np.int64) for _ in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            list(pool.map(np.max, parts))
            best = max(best, READ_BYTES / (time.perf_counter() - began))
    return best


if __name__ == "__main__":
    sys.exit(main())
