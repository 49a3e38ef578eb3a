"""The sub-command `index`: the served indexes, built from the vectors."""

from __future__ import annotations

from functools import partial

import numpy as np
from rich.console import Console

from models import VectorRow
from runtime import bulk
from runtime.clock import iso
from runtime.database import transaction
from runtime.errors import UserMistake
from runtime.parts import Parts
from runtime.settings import Settings
from runtime.work import INDEX, at_work
from search.catalogue import Catalogue, vector_dims
from search.index.exact import Source
from search.index.generation import build_generation
from search.index.library import Rows
from search.index.opened import is_up_to_date
from search.store import rows
from search.store.vectors import VectorFile
from search.wiring import STORE, build_parts, chosen_models, open_for_writing


def index(settings: Settings, console: Console, anew: bool, models: Catalogue | None = None) -> int:
    """Build the indexes of all vectors that are stored, from those in force where they can grow; exit status 0."""
    parts = build_parts(settings, console)
    with at_work(parts, INDEX, partial(open_for_writing, parts)) as database:
        sources = load_sources(parts, models or chosen_models(settings))
        number = max((source.rows for source in sources.values()), default=0)
        if not number:
            raise UserMistake("There are no vectors to build indexes of.", advice="Make some: python run.py embed")
        if not anew and is_up_to_date(parts.home.embeddings, sources):
            console.print(f"The indexes are of all {number:,} rows already.", highlight=False)
            return 0
        built = build_generation(
            parts.home.embeddings,
            sources,
            load_ids(0, number),
            lambda words: console.print(words, highlight=False, soft_wrap=True),
            parts.stop.raise_if_requested,
            anew=anew,
        )
        recall = {name: round(file.recall, 4) for name, file in built.files.items()}
        with transaction(database, parts.stop):
            rows.save_index(iso(parts.clock.now()), built.number, built.rows, recall)
        console.print(f"Generation {built.number} of {built.rows:,} rows is in force.", highlight=False)
    return 0


def load_sources(parts: Parts, models: Catalogue) -> dict[str, Source]:
    """Return the vector files that have committed rows, as the database counts them."""
    states, folder = rows.file_states(), parts.home.embeddings / STORE
    return {
        name: Source(VectorFile(folder / name, dim), states[name].rows, states[name].make_id)
        for name, dim in vector_dims(models).items()
        if name in states and states[name].rows
    }


def load_ids(first: int, end: int) -> Rows:
    """Return listing_id and image_id of the rows from `first` to before `end`, an array of two columns."""
    query = VectorRow.select(VectorRow.listing_id, VectorRow.image_id).where(
        VectorRow.row >= first, VectorRow.row < end
    )
    return np.array(bulk.raw(query.order_by(VectorRow.row)), np.int64).reshape(-1, 2)
