"""Several crews as one."""

from __future__ import annotations

from collections.abc import Sequence

from search.crew import Crew
from search.tasks import Result, Task


class Crews:
    """Hands each task to the crew that has the worker; waits for all of them in turn."""

    def __init__(self, crews: Sequence[Crew]) -> None:
        self._crews = crews
        self._of: dict[str, Crew] = {}

    def workers(self) -> Sequence[str]:
        """Return everybody who is there now."""
        self._of = {worker: crew for crew in self._crews for worker in crew.workers()}
        return tuple(self._of)

    def has_room(self, worker: str) -> bool:
        """Return whether this worker would take another task."""
        return self._of[worker].has_room(worker)

    def begin(self, worker: str, task: Task) -> None:
        """Hand a task to a worker."""
        self._of[worker].begin(worker, task)

    def results(self, seconds: float) -> Sequence[Result]:
        """Return what came back to any of them."""
        return [result for crew in self._crews for result in crew.results(seconds / len(self._crews))]

    def close(self) -> None:
        """Let everybody go."""
        for crew in self._crews:
            crew.close()
