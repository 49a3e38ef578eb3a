"""A query's pictures and words into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtime.errors import ItemTrouble, UserMistake
from search.background import Remover
from search.catalogue import TEXT, Catalogue, Vectors
from search.embedders.preprocess import open_picture
from search.wiring import Kit


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


class Encoder:
    """Makes vectors with the models of a kit; what it has loaded it keeps, as far as the kit's loader does."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._remover: Remover | None = None

    def encode(self, wanted: Wanted) -> Encoded:
        """Return the vectors; UserMistake where something is no picture, OperatorNeeded where a model is missing."""
        try:
            pictures = [open_picture(body) for body in self._without_background(wanted)]
        except ItemTrouble as trouble:
            raise UserMistake(f"The query cannot be read as a picture: {trouble}") from trouble
        vectors: dict[str, list[Vectors]] = {}
        makes: dict[str, str] = {}
        for name in _asked(self._kit.models, wanted):
            embedder = self._kit.load(name)
            makes[name] = embedder.make.id
            if pictures:
                vectors.setdefault(name, []).append(embedder.embed_pictures(pictures))
            if wanted.texts and self._kit.models[name].has_text:
                told = embedder.embed_texts(wanted.texts)
                vectors.setdefault(name, []).append(told)
                vectors.setdefault(name + TEXT, []).append(told)
        return Encoded({name: np.concatenate(parts) for name, parts in vectors.items()}, makes)

    def _without_background(self, wanted: Wanted) -> Sequence[bytes]:
        if wanted.keep_background or not wanted.bodies:
            return wanted.bodies
        self._remover = self._remover or self._kit.load_remover()
        return [self._remover.remove(body).body for body in wanted.bodies]


def _asked(models: Catalogue, wanted: Wanted) -> Sequence[str]:
    """Return the models that have something to say: all of pictures, of words those that read them."""
    return [name for name in wanted.models if name in models and (wanted.bodies or models[name].has_text)]
