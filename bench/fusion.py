"""Which fusion finds the piece: five simulated models over listings with known answers, by search.ensemble itself.

`python -m bench.fusion`: 12,000 listings of 4 pictures, seen by five models with noise and scales of their own; each
query is another picture of one listing. Three regimes: all models fine; each bad on three queries in ten; errors of the
models alike (correlation 0.7). "Lists" join what each model's best 100 rows say; "completed" gives every candidate its
score by every model. The result is the share of queries whose listing is first (R@1) and among the first ten (R@10).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from bench import figures
from bench.figures import Figure
from search import ensemble
from search.ensemble import DEFAULT, FUSIONS, Scores

MODELS, PICTURES, LATENT, DIM, LISTED, BACKGROUND = 5, 4, 32, 64, 100, 2_000
ANGLE, NOISE, BAD_NOISE = 0.6, 1.0, 2.0
SCALES = np.array([0.3, 0.5, 1.0, 0.8, 0.6], np.float32)
OFFSETS = np.array([0.6, 0.3, 0.0, 0.1, 0.2], np.float32)
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Regime:
    """How the models err: a share of queries on which each is bad, and how much of their errors they have in common."""

    name: str
    bad: float = 0.0
    common: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One query's scores: of the rows that some model listed (`listed`: by whom), and of the background."""

    scores: Scores
    listed: npt.NDArray[np.bool_]
    listings: npt.NDArray[np.int64]
    background: Scores
    everything: Scores
    all_listings: npt.NDArray[np.int64]


REGIMES = (Regime("all fine"), Regime("each bad on 30 %", bad=0.3), Regime("errors alike 0.7", common=0.7))
Method = Callable[[Asked], npt.NDArray[np.int64]]


def fused(name: str, *, completed: bool) -> Method:
    """Return the method that ranks listings by a fusion of search.ensemble."""

    def rank(asked: Asked) -> npt.NDArray[np.int64]:
        scores = asked.scores if completed else np.where(asked.listed, asked.scores, np.float32(np.nan))
        return ensemble.fuse(scores, asked.listings, np.ones(MODELS, np.float32), FUSIONS[name]).listings

    return rank


def alone(model: int) -> Method:
    """Return the method that believes one model."""

    def rank(asked: Asked) -> npt.NDArray[np.int64]:
        weights = np.eye(MODELS, dtype=np.float32)[model]
        return ensemble.fuse(asked.scores, asked.listings, weights, FUSIONS["cosine sum"]).listings

    return rank


def by_background(asked: Asked) -> npt.NDArray[np.int64]:
    """Rank by z-scores against pictures that are the same for every query."""
    z = (asked.scores - asked.background.mean(axis=0)) / asked.background.std(axis=0)
    return ensemble.fuse(z, asked.listings, np.ones(MODELS, np.float32), FUSIONS["cosine sum"]).listings


def with_all_pictures(asked: Asked) -> npt.NDArray[np.int64]:
    """Rank by the default, all pictures of the candidates' listings added: what `search` does."""
    return ensemble.fuse(asked.everything, asked.all_listings, np.ones(MODELS, np.float32), FUSIONS[DEFAULT]).listings


SINGLES = {f"model {number + 1} alone": alone(number) for number in range(MODELS)}
METHODS: dict[str, Method] = {
    **SINGLES,
    "lists, RRF": fused("RRF", completed=False),
    "lists, CombSUM": fused("CombSUM", completed=False),
    "lists, CombMNZ": fused("CombMNZ", completed=False),
    "lists, z-score sum": fused("z-score sum", completed=False),
    "completed, RRF": fused("RRF", completed=True),
    "completed, cosine sum": fused("cosine sum", completed=True),
    "completed, z of a background": by_background,
    "completed, z-score sum": fused("z-score sum", completed=True),
    f"completed, {DEFAULT}": fused(DEFAULT, completed=True),
    f"all pictures, {DEFAULT}": with_all_pictures,
}


def main() -> int:
    """Ask everything in every regime and print the table; the exit status is 1 where the default is not the best."""
    parser = argparse.ArgumentParser(prog="python -m bench.fusion", description=__doc__)
    parser.add_argument("--listings", type=int, default=12_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep the figures in this file too")
    given = parser.parse_args()
    found = {regime.name: compare(regime, given) for regime in REGIMES}
    made = Table(title=f"R@1 / R@10 of {given.seeds} x {given.queries} queries", title_justify="left")
    for column in ("method", *found):
        made.add_column(column)
    for name in METHODS:
        made.add_row(name, *(words(results[name]) for results in found.values()))
    Console(width=170, highlight=False).print(made)
    if given.json:
        figures.write(kept_figures(found), given.json)
    return 0 if all(is_best(results) for results in found.values()) else 1


def is_best(results: dict[str, npt.NDArray[np.float64]]) -> bool:
    """Return whether what `search` does finds the piece first at least as often as every other method."""
    others = [result[0] for name, result in results.items() if not name.endswith(DEFAULT)]
    return bool(results[f"all pictures, {DEFAULT}"][0] >= max(others))


def words(result: npt.NDArray[np.float64]) -> str:
    """Return R@1 and R@10 as one text."""
    return f"{result[0]:.3f} / {result[1]:.3f}"


def kept_figures(found: dict[str, dict[str, npt.NDArray[np.float64]]]) -> Iterator[Figure]:
    """Yield the default beside RRF and beside the best single model, for a table of several benchmarks."""
    for regime, results in found.items():
        single = max((results[name] for name in SINGLES), key=lambda result: float(result[0]))
        beside = f"RRF {words(results['lists, RRF'])}, best single model {words(single)}"
        yield Figure(f"R@1 / R@10 of the ensemble, {regime}", words(results[f"all pictures, {DEFAULT}"]), beside)


def compare(regime: Regime, given: argparse.Namespace) -> dict[str, npt.NDArray[np.float64]]:
    """Return R@1 and R@10 of every method, over all seeds."""
    hits: dict[str, list[tuple[bool, bool]]] = {name: [] for name in METHODS}
    for seed in range(given.seeds):
        for listing, asked in simulate(regime, given.listings, given.queries, seed):
            for name, method in METHODS.items():
                order = method(asked)
                hits[name].append((bool(order[0] == listing), bool((order[:10] == listing).any())))
    return {name: np.mean(found, axis=0) for name, found in hits.items()}


def simulate(regime: Regime, listings: int, queries: int, seed: int) -> Iterator[tuple[int, Asked]]:
    """Yield queries: the listing that is looked for, and what the models say."""
    random = np.random.default_rng([seed, 17])
    pieces = random.standard_normal((listings, LATENT), np.float32)
    rows = np.repeat(pieces, PICTURES, axis=0)
    rows = rows + ANGLE * random.standard_normal(rows.shape, np.float32)
    wanted = random.choice(listings, queries, replace=False)
    asked = pieces[wanted] + ANGLE * random.standard_normal((queries, LATENT), np.float32)
    projections = [random.standard_normal((LATENT, DIM), np.float32) / np.sqrt(np.float32(DIM)) for _ in range(MODELS)]
    shared = [random.standard_normal(part.shape, np.float32) for part in (rows, asked)]
    views = [
        [see(part, projection, noise, regime, random) for part, noise in zip((rows, asked), shared, strict=True)]
        for projection in projections
    ]
    scores = np.stack([queries_seen @ rows_seen.T for rows_seen, queries_seen in views], axis=2) * SCALES + OFFSETS
    bad = random.random((queries, MODELS)) < regime.bad
    for at, listing in enumerate(wanted):
        noise = random.standard_normal(scores[at].shape, np.float32) * scores[at].std(axis=0) * np.float32(BAD_NOISE)
        yield int(listing), ask(scores[at] + bad[at] * noise)


def see(part: Vectors, projection: Vectors, shared: Vectors, regime: Regime, random: np.random.Generator) -> Vectors:
    """Return unit vectors of what a model sees: its own projection, with errors of its own and some common ones."""
    own = random.standard_normal((len(part), DIM), np.float32) * np.float32(np.sqrt(LATENT / DIM))
    common = shared @ projection
    error = np.sqrt(np.float32(regime.common)) * common + np.sqrt(np.float32(1 - regime.common)) * own
    seen = part @ projection + NOISE * error
    return np.asarray(seen / np.linalg.norm(seen, axis=1, keepdims=True), np.float32)


def ask(scores: Scores) -> Asked:
    """Return what a search would work with: each model's best 100 rows, joined."""
    best = np.argpartition(-scores, LISTED, axis=0)[:LISTED]
    rows = np.unique(best)
    listed = np.stack([np.isin(rows, column) for column in best.T], axis=1)
    everything = (np.unique(rows // PICTURES)[:, None] * PICTURES + np.arange(PICTURES)).ravel()
    background = scores[:: max(len(scores) // BACKGROUND, 1)]
    return Asked(scores[rows], listed, rows // PICTURES, background, scores[everything], everything // PICTURES)


if __name__ == "__main__":
    sys.exit(main())
