"""The image search in a program that stays: the indexes in force, and models that are asked without waiting long."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from runtime.errors import UserMistake
from runtime.parts import Parts
from search.catalogue import Catalogue
from search.encode import Encoded, Wanted
from search.filters import Filters
from search.finder import Finder, Found
from search.index.manifest import IMAGE_INDEX
from search.query import Looked, StillAtWork
from search.resident import Resident
from search.search_commands import build_finder
from search.wiring import Kit, build_kit

PATIENCE_SECONDS = 0.5  # a query in words takes so long where the models are loaded
MOST_KEPT, MOST_WAITING = 100, 5
IDLE_SECONDS = 600.0


class Live:
    """Answers queries of many threads; the database is open.

    Vectors of queries are kept, so that another page of the same query asks no model. The models' process ends when
    nobody has looked for something new for ten minutes, and where there are other indexes.
    """

    def __init__(
        self, parts: Parts, models: Catalogue | None = None, build: Callable[[Parts], Kit] = build_kit
    ) -> None:
        self._parts, self._models = parts, models
        self._resident = Resident(parts.settings, parts.clock, build)
        self._asking, self._searching = threading.Lock(), threading.Lock()
        self._kept: OrderedDict[tuple[object, ...], Future[Encoded]] = OrderedDict()
        self._loaded: tuple[Path, Finder] | None = None

    def find(self, looked: Looked, filters: Filters, top: int, keep_background: bool = False) -> Sequence[Found]:
        """Return the best listings; StillAtWork where the models need longer, UserMistake, OperatorNeeded."""
        with self._searching:
            finder = self._finder()
        asked = finder.encode(looked, keep_background)
        with self._searching:  # one query after the other: each uses all cores
            return finder.answer(looked, asked, filters, top)

    def rest(self) -> None:
        """Let go of the models where nobody needs them."""
        self._resident.end_after(IDLE_SECONDS)

    def close(self) -> None:
        """End the models' process."""
        self._resident.close()

    def _finder(self) -> Finder:
        version = (self._parts.home.embeddings / IMAGE_INDEX).resolve().parent
        if self._loaded is None or self._loaded[0] != version:
            if self._loaded is not None:  # the models may be other ones, too
                with self._asking:
                    self._kept.clear()
                self._resident.end_after(0)
            self._loaded = version, build_finder(self._parts, self._encode, self._models)
        return self._loaded[1]

    def _encode(self, wanted: Wanted) -> Encoded:
        digests = tuple(hashlib.sha256(body).digest() for body in wanted.bodies)
        key = (digests, wanted.texts, wanted.models, wanted.keep_background)
        with self._asking:
            asked = self._kept.get(key) or self._begin(key, wanted)
            self._kept.move_to_end(key)
        try:
            return asked.result(PATIENCE_SECONDS)
        except TimeoutError:
            raise StillAtWork("The models are at work; the first query takes longer, while they are loaded.") from None
        except BaseException:
            with self._asking:
                self._kept.pop(key, None)
            raise

    def _begin(self, key: tuple[object, ...], wanted: Wanted) -> Future[Encoded]:
        if sum(not one.done() for one in self._kept.values()) >= MOST_WAITING:
            raise UserMistake("The models have several queries to answer.", advice="Look again in a minute.")
        self._kept[key] = self._resident.begin(wanted)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]
