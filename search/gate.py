"""Who may bring vectors: workers whose models give, for pictures and texts that never change, what they should."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.errors import CrawlError
from search.catalogue import Vectors
from search.embedders.golden import check_golden
from search.handshake import versions
from search.tasks import Failure, GoldenResult, GoldenTask, task_id

EVERY = 50  # results of a worker between two proofs: a driver or a library may change under it


class Gate:
    """Holds workers' golden vectors against references; `makes` are the make ids by model."""

    def __init__(self, references: Mapping[str, Mapping[str, Vectors]], makes: Mapping[str, str]) -> None:
        self._references, self._makes = references, makes
        self._trusted: dict[str, int] = {}
        self._asked: dict[str, str] = {}
        self._proofs = 0
        self.refused: dict[str, str] = {}

    def admits(self, worker: str) -> bool:
        """Return whether this worker has proved itself, lately enough."""
        return self._trusted.get(worker, 0) > 0

    def proof_for(self, worker: str) -> GoldenTask | None:
        """Return what a worker has to do to be admitted; None where it is at it, or was refused."""
        if worker in self._asked or worker in self.refused:
            return None
        self._proofs += 1
        name = task_id("golden", (worker, self._proofs), self._makes)
        task = GoldenTask(name, tuple(self._makes), versions())
        self._asked[worker] = task.task_id
        return task

    def is_proof(self, name: str) -> bool:
        """Return whether the task of this name is one of the gate's."""
        return name in self._asked.values()

    def hear(self, result: GoldenResult | Failure) -> str:
        """Take a proof; return why the worker is refused, empty where it is admitted."""
        self._asked.pop(result.worker, None)
        words = result.words if isinstance(result, Failure) else self._trouble(result)
        if words:
            self.refuse(result.worker, words)
        else:
            self._trusted[result.worker] = EVERY
        return words

    def used(self, worker: str) -> None:
        """Note that a result of this worker was stored."""
        self._trusted[worker] = self._trusted.get(worker, 1) - 1

    def refuse(self, worker: str, words: str) -> None:
        """Take nothing more from this worker."""
        self._trusted.pop(worker, None)
        self.refused[worker] = words

    def gone(self, worker: str) -> None:
        """Forget a worker that left: who comes back under its name proves itself anew."""
        self._trusted.pop(worker, None)
        self._asked.pop(worker, None)

    def _trouble(self, result: GoldenResult) -> str:
        if result.makes != self._makes:
            return f"its models are of another make ({dict(result.makes)}, not {self._makes})"
        try:
            for name, reference in self._references.items():
                check_golden(reference, result.vectors.get(name, {}))
        except CrawlError as error:
            return error.words()
        return ""
