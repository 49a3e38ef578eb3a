"""The ensemble finds the same piece from another angle, and does so better than each of its models alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from runtime.settings import load_settings
from search.catalogue import TEXT, Vectors
from search.evaluation import Quality, evaluate, pick_queries
from search.index.library import Rows
from search.index.opened import open_generation
from search.index.served import Served
from search.index_commands import load_ids, load_sources
from search.wiring import build_parts
from tests.search.home import copy_of, crawled, embed_home, open_home
from tests.search.small import SMALL

LISTINGS, QUERIES = 120, 150


@dataclass(frozen=True)
class Place:
    served: Served
    queries: Rows

    def quality(self, *files: str) -> Quality:
        return evaluate(self.served, self.vectors_of, self.queries, files)

    def vectors_of(self, name: str, rows: Rows) -> Vectors:
        return self.served.source(name).file.gather(rows).astype(np.float32)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = copy_of(crawled(LISTINGS), tmp_path_factory.mktemp("quality") / "home")
    embed_home(home, index=True)
    database = open_home(home)
    parts = build_parts(load_settings(Path(home), {}), Console(quiet=True))
    sources = load_sources(parts, SMALL)
    number = sources["dinov2_base"].rows
    served = Served(open_generation(parts.home.embeddings, sources), sources, load_ids(number, number))
    yield Place(served, pick_queries(served, QUERIES))
    served.close()
    database.close()


def test_the_same_piece_comes_first(place: Place) -> None:
    together = place.quality(*SMALL)
    assert together.queries == QUERIES
    assert together.recall_at_1 > 0.8
    assert together.recall_at_10 > 0.97


@pytest.mark.parametrize("name", SMALL)
def test_the_ensemble_beats_each_of_its_models(place: Place, name: str) -> None:
    together, alone = place.quality(*SMALL), place.quality(name)
    assert together.recall_at_1 > alone.recall_at_1
    assert together.mean_average_precision > alone.mean_average_precision


def test_titles_are_vectors_of_words_that_lead_to_their_listings(place: Place) -> None:
    row = place.queries[:1]
    title = place.vectors_of("clip_vitb32" + TEXT, row)
    assert (title @ place.vectors_of("clip_vitb32" + TEXT, row).T).item() == pytest.approx(1.0, abs=1e-2)
