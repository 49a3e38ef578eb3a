"""What is to be done, stage by stage: which pictures make the next task, and what is kept of its result.

    TO_CUT rows → CutTask → JPEGs into images/imageall_new → bg_removed
    TO_EMBED rows → EmbedTask → a row in every vector file → embed_*

A stage walks through what waits once; what cannot be read is passed by and found again by the next walk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from runtime.errors import Bug, OperatorNeeded
from search.pictures import PictureFiles
from search.store import rows
from search.store.rows import START, Place
from search.store.vector_store import VectorStore
from search.tasks import KEPT, CutResult, CutTask, EmbedResult, EmbedTask, Key, Result, Task, task_id

CUT, EMBED = "cut", "embed"
FAILED = "failed"
MANY = 8  # pictures: fewer may be lost one by one
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """Work that somebody is to do: a stage's images, and for a model that is behind the rows they belong to.

    `asked` are those of the images whose bytes could be read, once a task was made of it.
    """

    stage: str
    keys: tuple[Key, ...]
    model: str = ""
    first_row: int = 0
    asked: tuple[Key, ...] = ()

    def halves(self) -> tuple[Plan, Plan]:
        """Return the same work in two parts."""
        middle = len(self.keys) // 2
        second = replace(self, keys=self.keys[middle:], first_row=self.first_row + middle)
        return replace(self, keys=self.keys[:middle]), second


class Stage(Protocol):
    """One part of the way from a downloaded picture to its vectors."""

    name: str

    def plan(self, size: int) -> Plan | None:
        """Return the next work for so many pictures, None where nothing waits any more."""

    def task(self, plan: Plan) -> tuple[Plan, Task] | None:
        """Return what a worker needs for it, and what of it is asked for; None where no picture can be read."""

    def take(self, plan: Plan, result: Result) -> int:
        """Keep the result; return how many pictures went on by it. BadVectors, OperatorNeeded."""

    def give_up(self, plan: Plan, why: str) -> None:
        """Note that this work's picture cannot be done."""

    def rewind(self) -> None:
        """Begin another walk through what waits; nothing of this stage is under way."""


class CutStage:
    """Removes backgrounds; `kept` counts pictures that stayed as they were, since nothing would have been left."""

    name = CUT

    def __init__(self, files: PictureFiles, transaction: Callable[[], AbstractContextManager[None]]) -> None:
        self._files, self._transaction = files, transaction
        self._place: Place = START
        self.kept = 0

    def plan(self, size: int) -> Plan | None:
        """Return the next pictures; listings that share one have it done once."""
        found = rows.to_cut(self._place, size)
        if not found:
            return None
        self._place = found[-1][0]
        return Plan(self.name, tuple({key.image_id: key for _, key in found}.values()))

    def task(self, plan: Plan) -> tuple[Plan, CutTask] | None:
        """Return the pictures as they were downloaded."""
        bodies = _read(self._files.read_downloaded, plan.keys, "downloaded pictures")
        asked = _asked(plan, bodies)
        return (asked, CutTask(task_id(self.name, sorted(bodies), {}), bodies)) if bodies else None

    def take(self, plan: Plan, result: Result) -> int:
        """Store the pictures, then note what became of each."""
        if not isinstance(result, CutResult):
            raise Bug(f"{result} is no answer to {plan.stage}.")
        wanted = {key.image_id for key in plan.asked}
        bodies = {image_id: body for image_id, body in result.bodies.items() if image_id in wanted}
        self._files.store_background_free(bodies)
        with self._transaction():
            outcomes = {image_id: why for image_id, why in result.outcomes.items() if image_id in wanted}
            rows.write_cuts(outcomes, bodies.keys())
        self.kept += sum(outcome == KEPT for outcome in outcomes.values())
        return len(bodies)

    def rewind(self) -> None:
        """Begin another walk through what waits; nothing of this stage is under way."""
        self._place = START

    def give_up(self, plan: Plan, why: str) -> None:
        """Note that these pictures stay as they are."""
        log.warning("Giving up the background of %s: %s", [key.image_id for key in plan.keys], why)
        with self._transaction():
            rows.write_cuts({key.image_id: FAILED for key in plan.keys}, ())


class EmbedStage:
    """Makes vectors: first those that one model lacks of rows that the others have, then new rows."""

    name = EMBED

    def __init__(
        self,
        files: PictureFiles,
        store: VectorStore,
        makes: Mapping[str, str],
        transaction: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._files, self._store, self._makes, self._transaction = files, store, makes, transaction
        self._place: Place = START
        self._next_row = store.behind()
        self._early: dict[tuple[str, int], tuple[Plan, EmbedResult]] = {}

    def plan(self, size: int) -> Plan | None:
        """Return the next images; none that are new while a model is behind, since its rows would not fit."""
        for model, first in self._next_row.items():
            keys = rows.keys(first, size)
            if keys:
                self._next_row[model] += len(keys)
                return Plan(self.name, tuple(keys), model, first)
        if self._store.behind():
            return None
        found = rows.to_embed(self._place, size)
        if not found:
            return None
        self._place = found[-1][0]
        return Plan(self.name, tuple(key for _, key in found))

    def task(self, plan: Plan) -> tuple[Plan, EmbedTask] | None:
        """Return pictures without their background, and titles."""
        bodies = _read(self._files.read_background_free, plan.keys, "pictures without background")
        plan = _asked(plan, bodies)
        keys = plan.asked
        if not keys:
            if plan.model:
                self.give_up(plan, "their pictures are gone")
            return None
        makes = {plan.model: self._makes[plan.model]} if plan.model else self._makes
        told = rows.titles({key.listing_id for key in keys})
        titles = {key.listing_id: told.get(key.listing_id, "") for key in keys}
        name = task_id(self.name, (plan.first_row, *keys), makes)
        return plan, EmbedTask(name, keys, bodies, titles, makes)

    def take(self, plan: Plan, result: Result) -> int:
        """Store the vectors; those of a model that is behind in the order of their rows."""
        if not isinstance(result, EmbedResult):
            raise Bug(f"{result} is no answer to {plan.stage}.")
        if plan.model:
            return self._catch_up(plan, result)
        return len(result.keys) if self._store.add(result, plan.asked, self._makes) else 0

    def rewind(self) -> None:
        """Begin another walk through what waits; nothing of this stage is under way."""
        self._place = START

    def give_up(self, plan: Plan, why: str) -> None:
        """Note that these images get no row; of a model that is behind, their rows stay without its vectors."""
        log.warning("Giving up the vectors of %s: %s", [key.image_id for key in plan.keys], why)
        if plan.model:
            self._catch_up(replace(plan, asked=()), self._nothing(plan))
            return
        with self._transaction():
            rows.write_failed(dict.fromkeys(plan.keys, FAILED))

    def _catch_up(self, plan: Plan, result: EmbedResult) -> int:
        self._early[(plan.model, plan.first_row)] = (plan, result)
        stored = 0
        while (at := (plan.model, self._store.behind().get(plan.model, -1))) in self._early:
            early, came = self._early.pop(at)
            absent = {key: FAILED for key in early.keys if key not in early.asked}
            came = replace(came, failed={**came.failed, **absent})
            self._store.catch_up(came, plan.model, at[1], early.keys, self._makes[plan.model])
            stored += len(came.keys)
        return stored

    def _nothing(self, plan: Plan) -> EmbedResult:
        files = self._store.models[plan.model].vector_files
        empty = {name: np.empty((0, self._store.dims[name]), np.float16) for name in files}
        makes = {plan.model: self._makes[plan.model]}
        name = task_id(FAILED, (plan.first_row, *plan.keys), makes)
        return EmbedResult(name, (), dict.fromkeys(plan.keys, FAILED), empty, makes, "home", 0.0)


def _asked(plan: Plan, bodies: Collection[int]) -> Plan:
    return replace(plan, asked=tuple(key for key in plan.keys if key.image_id in bodies))


def _read(
    read: Callable[[Collection[int]], Mapping[int, bytes]], keys: Sequence[Key], what: str
) -> Mapping[int, bytes]:
    """Return the pictures' bytes; OperatorNeeded where many are asked for and not one is there."""
    wanted = {key.image_id for key in keys}
    bodies = read(wanted)
    if not bodies and len(wanted) >= MANY:
        raise OperatorNeeded(
            f"Not one of {len(wanted)} {what} can be read: is their disk mounted?",
            advice="Mount it, or run `python run.py verify`, then start again; nothing is lost.",
        )
    return bodies
