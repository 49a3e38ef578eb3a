"""Which models there are, and what a set of vectors was made with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

Vectors = npt.NDArray[np.float32]
"""One unit vector a row."""
TEXT = "_text"


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes a model's input: the shorter side to `resize` pixels, the middle `crop` of it.

    `resample` is "bicubic" or "bilinear"; `mean` and `std` are of the colours, 0 to 1. `rescale_first`: the
    picture becomes numbers before it is resized, not after. `squash`: both sides to `resize`, whatever its shape.
    `even_crop`: an odd rest is shared out as torchvision does (half to even), not with the smaller half first.
    """

    resize: int
    crop: int
    resample: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rescale_first: bool = False
    squash: bool = False
    even_crop: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """An entry of the table of models.

    `family` says which library loads it ("open_clip" or "transformers"), `architecture` by which name. `hub` is
    where its weights come from, `licence` under what conditions, `sources` names them for a person.
    """

    name: str
    dim: int
    family: str
    architecture: str
    hub: str
    licence: str
    sources: tuple[str, ...]
    preprocessing: Preprocessing
    has_text: bool = False

    @property
    def vector_files(self) -> tuple[str, ...]:
        """The names of its vector files: one of pictures, and one of titles where it reads words."""
        return (self.name, self.name + TEXT) if self.has_text else (self.name,)


@dataclass(frozen=True, slots=True)
class Make:
    """What vectors were made with; those of two makes are never compared.

    `weights` is the SHA-256 of the checkpoint, `preprocessing` names how pictures were prepared, `back_end` is
    "torch" or "onnx" (or what a test calls its own).
    """

    model: str
    weights: str
    preprocessing: str
    back_end: str

    @property
    def id(self) -> str:
        """A short name that no other make has."""
        told = json.dumps(asdict(self), sort_keys=True)
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


class Embedder(Protocol):
    """A loaded model; not to be used by two threads at once."""

    @property
    def make(self) -> Make:
        """What its vectors are made with."""

    def embed_pictures(self, pictures: Sequence[Image.Image]) -> Vectors:
        """Return a unit vector for each picture (RGB), in their order."""

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Return a unit vector for each text, in their order; only where the model has a text side."""


class Loader(Protocol):
    """Loads a model of the table by its name; OperatorNeeded or UserMistake where it cannot."""

    def __call__(self, name: str) -> Embedder:
        """Return the model, ready to embed."""


Catalogue = Mapping[str, Model]
"""Models by name, in the order of their files."""


def vector_dims(models: Catalogue) -> dict[str, int]:
    """Return the dimensions of every vector file of these models, by the files' names."""
    return {file: model.dim for model in models.values() for file in model.vector_files}
