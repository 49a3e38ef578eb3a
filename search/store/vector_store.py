"""The vectors of a home: append-only files and the database's word on how much of them counts.

    append to every file, each synced → one commit: rows, checksums, batch, image_status

The commit is the only truth. Killed before it, the files are longer than it says and are cut at the next start; killed
after it, everything is there. A file that is shorter than its commits has lost something, and nobody goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from runtime.errors import OperatorNeeded, UserMistake
from runtime.files import trouble_in_words
from search.catalogue import Catalogue, Make, vector_dims
from search.store import rows
from search.store.checks import check_vectors
from search.store.rows import FileState
from search.store.vectors import SHARD_ROWS, Halves, VectorFile
from search.tasks import EmbedResult, Key

RESTORE = "Put the folder back from a backup that is as new as the database"
log = logging.getLogger(__name__)


class VectorStore:
    """Vector files in `folder`, one sub-folder each, and their rows in the database, which is open and bound.

    Only one process on a home may write; `transaction` opens one on the database, `now` tells the time for rows.
    """

    def __init__(
        self,
        folder: Path,
        models: Catalogue,
        transaction: Callable[[], AbstractContextManager[None]],
        now: Callable[[], str],
        shard_rows: int = SHARD_ROWS,
    ) -> None:
        self.models = models
        self.dims = vector_dims(models)
        self.files = {name: VectorFile(folder / name, dim, shard_rows) for name, dim in self.dims.items()}
        self._folder, self._transaction, self._now = folder, transaction, now

    def recover(self) -> None:
        """Cut off what was never committed; OperatorNeeded where something that was committed is gone."""
        states = {name: state for name, state in rows.file_states().items() if name in self.files}
        for name, file in self.files.items():
            counted = states[name].rows if name in states else 0
            try:
                if file.rows < counted:
                    raise self._lost(name, file.rows, counted)
                file.cut(counted)
            except OSError as error:
                raise trouble_in_words(error, file.folder) from error
        for name, last in rows.last_batches(name for name, state in states.items() if state.rows).items():
            if self.files[name].checksum(last.first_row, last.number) != last.checksum:
                raise OperatorNeeded(
                    f"{self.files[name].folder} is damaged: rows {last.first_row} to "
                    f"{last.first_row + last.number - 1} are not what was written.",
                    advice=f"{RESTORE}, or make this model's vectors anew: {_renewing(name)}.",
                )

    def settle_makes(self, makes: Mapping[str, Make]) -> None:
        """Note what these models' vectors are made with; UserMistake where the store has vectors of another make."""
        states, known = rows.file_states(), rows.makes()
        for name, make in makes.items():
            state = states.get(name)
            if state is not None and state.rows and state.make_id != make.id:
                raise UserMistake(
                    f"The vectors of {name} were made with other weights or in another way than this start would "
                    f"make them ({_difference(known.get(state.make_id), make)}).",
                    advice=f"Put the former ones back, or make all of its vectors anew: {_renewing(name)}.",
                )
        with self._transaction():
            rows.write_makes(makes.values(), self._now())
            new = {
                name: FileState(make.id, 0)
                for make in makes.values()
                for name in self.models[make.model].vector_files
                if name not in states or not states[name].rows
            }
            rows.write_states(new)

    def forget(self, model: str) -> None:
        """Take all vectors of a model out; they are made anew, row by row."""
        states = rows.file_states()
        with self._transaction():
            names = [name for name in self.models[model].vector_files if name in states]
            rows.write_states({name: FileState(states[name].make_id, 0) for name in names})
            rows.drop_checksums(names)
            rows.unmark_model(model)
        for name in self.models[model].vector_files:
            self.files[name].cut(0)

    def behind(self) -> dict[str, int]:
        """Return the models that have fewer rows than there are, and how many they have."""
        states, number = rows.file_states(), rows.number_of_rows()
        held = {name: states[name].rows if name in states else 0 for name in self.models}
        return {name: count for name, count in held.items() if count < number}

    def add(self, result: EmbedResult, keys: tuple[Key, ...], makes: Mapping[str, str]) -> bool:
        """Store new rows in every file; return False where they are there already; BadVectors, OperatorNeeded."""
        check_vectors(result, keys, makes, self.dims)
        if rows.has_batch(result.task_id) or rows.embedded_already(result.keys):
            log.warning("The worker %s brought a batch that is stored already; dropped.", result.worker)
            return False
        first = rows.number_of_rows()
        checksums = self._append(first, result.vectors) if result.keys else {}
        with self._transaction():
            rows.write_failed(result.failed)
            self._note(result, first, len(result.keys), checksums)
            rows.write_rows(first, result.keys, list(self.models))
        return True

    def catch_up(self, result: EmbedResult, model: str, first: int, keys: tuple[Key, ...], make_id: str) -> bool:
        """Store one model's vectors of rows that the others have; a picture that is gone leaves a row of zeros."""
        dims = {name: self.dims[name] for name in self.models[model].vector_files}
        check_vectors(result, keys, {model: make_id}, dims)
        if rows.has_batch(result.task_id) or self.behind().get(model) != first:
            return False
        place = {key: number for number, key in enumerate(keys)}
        there = [place[key] for key in result.keys]
        full = {name: np.zeros((len(keys), dim), np.float16) for name, dim in dims.items()}
        for name, found in result.vectors.items():
            full[name][there] = found
        checksums = self._append(first, full)
        with self._transaction():
            self._note(result, first, len(keys), checksums)
            rows.mark_models(result.keys, [model])
        return True

    def _append(self, first: int, vectors: Mapping[str, Halves]) -> dict[str, int]:
        for name, found in vectors.items():
            try:
                self.files[name].append(first, found)
            except OSError as error:
                raise trouble_in_words(error, self.files[name].folder) from error
        number = len(next(iter(vectors.values())))
        return {name: self.files[name].checksum(first, number) for name in vectors}

    def _note(self, result: EmbedResult, first: int, number: int, checksums: Mapping[str, int]) -> None:
        rows.write_batch(result.task_id, first, number, checksums, result.worker, self._now())
        models = {name: make_id for name, make_id in result.makes.items() if name in self.models}
        files = {file: make_id for name, make_id in models.items() for file in self.models[name].vector_files}
        rows.write_states({name: FileState(files[name], first + number) for name in checksums})

    def _lost(self, name: str, found: int, counted: int) -> OperatorNeeded:
        return OperatorNeeded(
            f"{self.files[name].folder} holds {found:,} rows, and {counted:,} were committed: rows {found:,} to "
            f"{counted - 1:,} are lost.",
            advice=f"Is its disk mounted? {RESTORE}, or make this model's vectors anew: {_renewing(name)}.",
        )


def _renewing(file: str) -> str:
    return f"`python run.py embed --renew {file.removesuffix('_text')}`"


def _difference(before: Make | None, now: Make) -> str:
    if before is None:
        return "nothing is known of those"
    names = ("weights", "preprocessing", "back_end")
    return ", ".join(
        f"{name} {getattr(before, name)[:16]}, now {getattr(now, name)[:16]}"
        for name in names
        if getattr(before, name) != getattr(now, name)
    )
