"""A query's pictures and words into vectors, in a process of its own: FAISS and torch in one crash on a Mac."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import StringIO

import numpy as np
from rich.console import Console

from runtime.errors import ItemTrouble, UserMistake
from runtime.parts import Parts
from runtime.settings import Settings
from search.catalogue import TEXT, Catalogue, Vectors
from search.embedders.preprocess import open_picture
from search.wiring import Kit, build_kit, build_parts


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to become vectors: pictures as files' bytes, and texts; by these models."""

    bodies: tuple[bytes, ...]
    texts: tuple[str, ...]
    models: tuple[str, ...]
    keep_background: bool = False


@dataclass(frozen=True, slots=True)
class Encoded:
    """Vectors by the vector file that they are to be held against, and the make id of each model that made them."""

    vectors: dict[str, Vectors]
    makes: dict[str, str]


def encode_apart(settings: Settings, wanted: Wanted, build: Callable[[Parts], Kit] = build_kit) -> Encoded:
    """Return the vectors, made by another process; UserMistake where something is no picture, OperatorNeeded."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        told = pool.submit(encode, settings, wanted, build).result()
    if isinstance(told, str):
        raise UserMistake(told)
    return told


def encode(settings: Settings, wanted: Wanted, build: Callable[[Parts], Kit]) -> Encoded | str:
    """Return the vectors, or in words what was wrong with the query."""
    kit = build(build_parts(settings, Console(file=StringIO())))
    bodies = wanted.bodies
    try:
        if bodies and not wanted.keep_background:
            remover = kit.load_remover()
            bodies = tuple(remover.remove(body).body for body in bodies)
        pictures = [open_picture(body) for body in bodies]
    except ItemTrouble as trouble:
        return f"The query cannot be read as a picture: {trouble}"
    vectors: dict[str, list[Vectors]] = {}
    makes: dict[str, str] = {}
    for name in _asked(kit.models, wanted):
        embedder = kit.load(name)
        makes[name] = embedder.make.id
        if pictures:
            vectors.setdefault(name, []).append(embedder.embed_pictures(pictures))
        if wanted.texts and kit.models[name].has_text:
            told = embedder.embed_texts(wanted.texts)
            vectors.setdefault(name, []).append(told)
            vectors.setdefault(name + TEXT, []).append(told)
    return Encoded({name: np.concatenate(parts) for name, parts in vectors.items()}, makes)


def _asked(models: Catalogue, wanted: Wanted) -> Sequence[str]:
    """Return the models that have something to say: all of pictures, of words those that read them."""
    return [name for name in wanted.models if name in models and (wanted.bodies or models[name].has_text)]
