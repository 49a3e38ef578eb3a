"""Who does the work: this process by itself, or helpers as well. A crew hands tasks out and results back."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Protocol

from runtime.errors import Stopped
from search.tasks import Result, Task
from search.work import Workbench

HERE = "here"
AHEAD = 2  # one under way and one waiting, so that the models never wait for the disk


class Crew(Protocol):
    """Workers by name, each of which takes some tasks at a time; results come in any order, and may come twice."""

    def workers(self) -> Sequence[str]:
        """Return who is there now."""

    def has_room(self, worker: str) -> bool:
        """Return whether this worker would take another task."""

    def begin(self, worker: str, task: Task) -> None:
        """Hand a task to a worker."""

    def results(self, seconds: float) -> Sequence[Result]:
        """Return what came back, after waiting for the first for at most so long."""

    def close(self) -> None:
        """Let everybody go; tasks under way are dropped."""


class LocalCrew:
    """One worker, a thread of this process; its bench looks at `leaving` between a few pictures.

    An error that is none of a task (a stop apart) is raised by `results`.
    """

    def __init__(self, bench: Workbench, leaving: threading.Event) -> None:
        self._bench, self._leaving = bench, leaving
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
        self._under_way = 0
        self._thread = threading.Thread(target=self._work, name="embed", daemon=True)
        self._thread.start()

    def workers(self) -> Sequence[str]:
        """Return the one."""
        return (self._bench.worker,)

    def has_room(self, worker: str) -> bool:
        """Return whether it has less than two tasks."""
        return self._under_way < AHEAD

    def begin(self, worker: str, task: Task) -> None:
        """Queue the task."""
        self._under_way += 1
        self._tasks.put(task)

    def results(self, seconds: float) -> Sequence[Result]:
        """Return the next result."""
        try:
            found = self._results.get(timeout=seconds)
        except queue.Empty:
            return ()
        if isinstance(found, BaseException):
            raise found
        self._under_way -= 1
        return (found,)

    def close(self) -> None:
        """Wait for the thread, which drops what it has."""
        self._leaving.set()
        self._tasks.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                self._results.put(self._bench.do(task))
            except Stopped:
                return
            except BaseException as error:
                self._results.put(error)
                return
