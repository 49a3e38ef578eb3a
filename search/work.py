"""Doing a task: bytes in, pictures or vectors out; the same code in this process and on a helper.

bytes → picture → background removed → JPEG on white
bytes → picture (decoded once) → each model in turn → unit vectors in fp16
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from runtime.clock import Clock
from runtime.errors import CrawlError, ItemTrouble, Stopped, UserMistake
from search.background import Remover
from search.catalogue import TEXT, Catalogue, Embedder, Loader, Vectors
from search.embedders.golden import golden_vectors
from search.embedders.preprocess import open_picture
from search.handshake import difference
from search.store.vectors import Halves
from search.tasks import (
    KEPT,
    REMOVED,
    UNUSABLE,
    CutResult,
    CutTask,
    EmbedResult,
    EmbedTask,
    Failure,
    GoldenResult,
    GoldenTask,
    Key,
    Result,
    Task,
)

CHUNK = 8  # pictures between two looks at whether to stop
OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")


class Workbench:
    """Does one task at a time with the models of this process; nothing is loaded before it is needed.

    `between` is called every few pictures and may raise Stopped.
    """

    def __init__(
        self,
        worker: str,
        models: Catalogue,
        load: Loader,
        load_remover: Callable[[], Remover],
        clock: Clock,
        between: Callable[[], None],
    ) -> None:
        self.worker = worker
        self._models, self._load, self._load_remover = models, load, load_remover
        self._clock, self._between = clock, between

    def do(self, task: Task) -> Result:
        """Return what came of the task; raises Stopped, everything else becomes a Failure."""
        try:
            if isinstance(task, CutTask):
                return self._cut(task)
            if isinstance(task, EmbedTask):
                return self._embed(task)
            return self._prove(task)
        except Stopped:
            raise
        except CrawlError as error:
            return Failure(task.task_id, self.worker, error.words())
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            scarce = isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in OUT_OF_MEMORY)
            return Failure(task.task_id, self.worker, words, out_of_memory=scarce)

    def _cut(self, task: CutTask) -> CutResult:
        began = self._clock.monotonic()
        remover = self._load_remover()
        bodies: dict[int, bytes] = {}
        outcomes: dict[int, str] = {}
        for image_id, body in task.bodies.items():
            self._between()
            try:
                cut = remover.remove(body)
            except ItemTrouble:
                outcomes[image_id] = UNUSABLE
                continue
            bodies[image_id] = cut.body
            outcomes[image_id] = KEPT if cut.kept_original else REMOVED
        return CutResult(task.task_id, bodies, outcomes, self.worker, self._clock.monotonic() - began)

    def _embed(self, task: EmbedTask) -> EmbedResult:
        began = self._clock.monotonic()
        pictures, failed = self._open(task)
        keys = tuple(key for key in task.keys if key not in failed)
        vectors: dict[str, Halves] = {}
        makes: dict[str, str] = {}
        seconds: dict[str, float] = {}
        for name in task.makes:
            model_began = self._clock.monotonic()
            embedder = self._load(name)
            makes[name] = embedder.make.id
            found = self._embed_pictures(embedder, pictures)
            vectors[name] = _rows(found, [key.image_id for key in keys], self._models[name].dim)
            if self._models[name].has_text:
                told = self._embed_titles(embedder, {key.listing_id: task.titles[key.listing_id] for key in keys})
                vectors[name + TEXT] = _rows(told, [key.listing_id for key in keys], self._models[name].dim)
            seconds[name] = self._clock.monotonic() - model_began
        whole = self._clock.monotonic() - began
        return EmbedResult(task.task_id, keys, failed, vectors, makes, self.worker, whole, seconds)

    def _open(self, task: EmbedTask) -> tuple[dict[int, Image.Image], dict[Key, str]]:
        """Decode each picture once, for all models."""
        pictures: dict[int, Image.Image] = {}
        bad: dict[int, str] = {}
        for image_id, body in task.bodies.items():
            self._between()
            try:
                pictures[image_id] = open_picture(body)
            except ItemTrouble:
                bad[image_id] = UNUSABLE
        return pictures, {key: bad[key.image_id] for key in task.keys if key.image_id in bad}

    def _embed_pictures(self, embedder: Embedder, pictures: Mapping[int, Image.Image]) -> dict[int, Vectors]:
        return self._in_chunks(list(pictures), lambda ids: embedder.embed_pictures([pictures[one] for one in ids]))

    def _embed_titles(self, embedder: Embedder, titles: Mapping[int, str]) -> dict[int, Vectors]:
        return self._in_chunks(list(titles), lambda ids: embedder.embed_texts([titles[one] for one in ids]))

    def _in_chunks(self, ids: Sequence[int], embed: Callable[[Sequence[int]], Vectors]) -> dict[int, Vectors]:
        found: dict[int, Vectors] = {}
        for start in range(0, len(ids), CHUNK):
            self._between()
            chunk = ids[start : start + CHUNK]
            found.update(zip(chunk, embed(chunk), strict=True))
        return found

    def _prove(self, task: GoldenTask) -> GoldenResult:
        began = self._clock.monotonic()
        other = difference(task.versions)
        if other:
            raise UserMistake(f"Home and helper differ ({other}).", advice="Install the same on both.")
        vectors: dict[str, dict[str, Vectors]] = {}
        makes: dict[str, str] = {}
        for name in task.models:
            self._between()
            embedder = self._load(name)
            makes[name] = embedder.make.id
            vectors[name] = golden_vectors(embedder, self._models[name].has_text)
        return GoldenResult(task.task_id, vectors, makes, self.worker, self._clock.monotonic() - began)


def _rows(found: Mapping[int, Vectors], ids: Sequence[int], dim: int) -> Halves:
    """Return a row for each id, in their order."""
    if not ids:
        return np.empty((0, dim), np.float16)
    return np.stack([found[one] for one in ids]).astype(np.float16)
