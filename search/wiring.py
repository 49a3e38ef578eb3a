"""The composition root of the image search: builds the parts from the settings and passes them to each other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from peewee import Database
from rich.console import Console

from models import CRAWLER_MODELS, MIGRATIONS
from runtime.clock import iso
from runtime.database import transaction
from runtime.door import PROGRAM
from runtime.errors import UserMistake
from runtime.files import make_folders
from runtime.parts import Parts
from runtime.settings import Settings
from runtime.work import STOP_NAMES
from search.background import Remover, build_remover
from search.catalogue import Catalogue, Loader
from search.embedders.device import FULL, probe
from search.embedders.loading import build_loader
from search.embedders.table import MODELS
from search.embedders.weights import Places
from search.store.vector_store import VectorStore

KILL_ORCH, KILL_EMBED, KILL_BG = "KILL_ORCH", "KILL_EMBED", "KILL_BG"
STORE = "store"


@dataclass(frozen=True, slots=True)
class Kit:
    """What embeds: the table of models, how one is loaded, how backgrounds are removed.

    `reference` loads a model the way that nobody doubts: on the processor, in full precision. `index_command` builds
    the indexes in a process of its own; `machine` says what this machine can do.
    """

    models: Catalogue
    load: Loader
    reference: Loader
    load_remover: Callable[[], Remover]
    index_command: Sequence[str]
    machine: str


def build_parts(settings: Settings, console: Console, *kill_names: str) -> Parts:
    """Return the parts that need neither models nor database; the kill files with these names stop the work, too."""
    return Parts.build(settings, console, (*STOP_NAMES, *kill_names))


def build_kit(parts: Parts) -> Kit:
    """Return what embeds on this machine; UserMistake where the settings name a model that is not in the table."""
    models = chosen_models(parts.settings)
    places = places_of(parts)
    machine = probe()
    back_end = parts.settings.embed_back_end
    return Kit(
        models,
        build_loader(places, back_end, machine=machine),
        build_loader(places, back_end, "cpu", machine=machine, precision=FULL),
        partial(build_remover, parts.settings.background_model, places.models_folder),
        (sys.executable, str(PROGRAM), "index"),
        machine.words(),
    )


def places_of(parts: Parts) -> Places:
    """Return where models lie."""
    return Places(parts.home.models_folder(parts.settings.models_folder), parts.settings.hub_folder)


def chosen_models(settings: Settings) -> Catalogue:
    """Return the models that the settings name, all where they name none."""
    unknown = [name for name in settings.embed_models if name not in MODELS]
    if unknown:
        raise UserMistake(
            f"EMBED_MODELS names {', '.join(unknown)}, and there is no such model.",
            advice=f"There are: {', '.join(MODELS)}.",
        )
    return {name: MODELS[name] for name in settings.embed_models} or MODELS


def open_for_writing(parts: Parts) -> Database:
    """Open the database and bring it up to date; from now on the work ends where the file is gone."""
    return parts.open_for_writing(CRAWLER_MODELS, MIGRATIONS)


def open_for_reading(parts: Parts) -> Database:
    """Open the database for looking only."""
    return parts.open_for_reading(CRAWLER_MODELS)


def build_store(parts: Parts, models: Catalogue, database: Database) -> VectorStore:
    """Return the vectors of the home; its folders are made."""
    make_folders(parts.home.embeddings / STORE, parts.home.root)
    changing = partial(transaction, database, parts.stop)
    return VectorStore(parts.home.embeddings / STORE, models, changing, lambda: iso(parts.clock.now()))
