"""What goes out to a worker and what comes back: plain values, the same in this process and over a network.

A task names what it is by its id; the answer carries the same id. A worker knows no database and no shared disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from search.catalogue import Vectors
from search.store.vectors import Halves

REMOVED, KEPT, UNUSABLE = "removed", "kept", "undecodable"


@dataclass(frozen=True, slots=True)
class Key:
    """One image of one listing: what a row of the vector files is of."""

    listing_id: int
    image_id: int


@dataclass(frozen=True, slots=True)
class CutTask:
    """Pictures whose background is to be removed, by image_id."""

    task_id: str
    bodies: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class CutResult:
    """JPEGs on white by image_id, and what became of each picture: removed, kept or undecodable."""

    task_id: str
    bodies: Mapping[int, bytes]
    outcomes: Mapping[int, str]
    worker: str
    seconds: float


@dataclass(frozen=True, slots=True)
class EmbedTask:
    """Pictures to be embedded: `keys` in the order of their rows to be, their bytes, and titles by listing.

    `makes` says for each model by its name what its vectors have to be made with.
    """

    task_id: str
    keys: tuple[Key, ...]
    bodies: Mapping[int, bytes]
    titles: Mapping[int, str]
    makes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """Vectors by file, a row for each of `keys`; `failed` says why others have none."""

    task_id: str
    keys: tuple[Key, ...]
    failed: Mapping[Key, str]
    vectors: Mapping[str, Halves]
    makes: Mapping[str, str]
    worker: str
    seconds: float
    model_seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GoldenTask:
    """Asks a worker to show that its models give the vectors that they should; `versions` are the home's."""

    task_id: str
    models: tuple[str, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """Vectors of the golden pictures and texts, by model and kind."""

    task_id: str
    vectors: Mapping[str, Mapping[str, Vectors]]
    makes: Mapping[str, str]
    worker: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that a worker could not do: out of memory (smaller ones may go), or for a reason of its own."""

    task_id: str
    worker: str
    words: str
    out_of_memory: bool = False


Task = CutTask | EmbedTask | GoldenTask
Result = CutResult | EmbedResult | GoldenResult | Failure


def task_id(kind: str, ids: Iterable[object], makes: Mapping[str, str]) -> str:
    """Return the name of a task: the same work has the same name, whoever does it and whenever."""
    told = json.dumps([kind, [str(one) for one in ids], sorted(makes.items())])
    return f"{kind}-{hashlib.blake2b(told.encode(), digest_size=12).hexdigest()}"
