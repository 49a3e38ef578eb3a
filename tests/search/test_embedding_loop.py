"""The loop of `embed` with a crew that a test plays: workers that hang, leave, lie, and answer twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from imaging.files import PictureFiles
from imaging.layout import Layout
from models import VectorBatch
from runtime.database import transaction
from runtime.errors import OperatorNeeded
from runtime.settings import Home
from runtime.stop import Stop
from search.embedding import Embedding, Standing
from search.gate import EVERY, Gate
from search.pace import Pace
from search.references import load_references
from search.stages import CutStage, EmbedStage
from search.store import rows
from search.store.vector_store import VectorStore
from search.tasks import EmbedResult, EmbedTask, GoldenTask, Result, Task
from search.work import Workbench
from tests.rig import VirtualClock
from tests.search.home import copy_of, crawled, open_home
from tests.search.small import SMALL, RoomRemover, load_small

AT = "2026-11-21T00:00:00Z"
MAKES = {name: load_small(name).make for name in SMALL}
IDS = {name: make.id for name, make in MAKES.items()}
Twist = Callable[[str, Task, Result], Sequence[Result]]


class PlayedCrew:
    """Workers that do their tasks when they are asked for results, each result through the test's own twist."""

    def __init__(self, clock: VirtualClock, names: Sequence[str], twist: Twist) -> None:
        self.names = list(names)
        self.begun: list[tuple[str, Task]] = []
        self.closed = False
        self.ahead = 1
        self._clock, self._twist = clock, twist
        self._waiting: list[tuple[str, Task]] = []
        self._benches = {
            name: Workbench(name, SMALL, load_small, RoomRemover, clock, lambda: None) for name in (*names, "late")
        }

    def workers(self) -> Sequence[str]:
        return tuple(self.names)

    def has_room(self, worker: str) -> bool:
        return sum(name == worker for name, _ in self._waiting) < self.ahead

    def begin(self, worker: str, task: Task) -> None:
        self.begun.append((worker, task))
        self._waiting.append((worker, task))

    def results(self, seconds: float) -> Sequence[Result]:
        self._clock.advance(seconds)
        if not self._waiting:
            return ()
        worker, task = self._waiting.pop(0)
        return self._twist(worker, task, self._benches[worker].do(task))

    def close(self) -> None:
        self.closed = True


def honest(worker: str, task: Task, result: Result) -> Sequence[Result]:
    return (result,)


class Loop:
    """A home and the loop on it."""

    def __init__(self, home: Path, names: Sequence[str] = ("one",), twist: Twist = honest) -> None:
        self.clock = VirtualClock()
        self.stop = Stop(self.clock, ())
        self.database = open_home(home)
        changing = partial(transaction, self.database, self.stop)
        embeddings = Home(home).embeddings
        self.store = VectorStore(embeddings / "store", SMALL, changing, lambda: AT)
        self.store.settle_makes(MAKES)
        pictures = PictureFiles(Layout(Home(home).images), 0.0)
        stages = (EmbedStage(pictures, self.store, IDS, changing), CutStage(pictures, changing))
        self.gate = Gate(load_references(embeddings, SMALL, MAKES, load_small), IDS)
        self.crew = PlayedCrew(self.clock, names, twist)
        self.pace = Pace()
        self.run = Embedding(
            stages, self.crew, self.gate, self.pace, self.clock, self.stop, lambda stage: False, lambda *told: None
        ).run

    def all_are_stored(self) -> bool:
        number = rows.number_of_rows()
        return all(file.rows == number for file in self.store.files.values()) and rows.count_waiting() == (0, 0)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = copy_of(crawled(), tmp_path / "home")
    (home / "data/embeddings/store").mkdir(parents=True)
    yield home


def test_nobody_gets_pictures_before_it_has_proved_itself(home: Path) -> None:
    loop = Loop(home, ("one", "two"))
    loop.run()
    for name in ("one", "two"):
        tasks = [task for worker, task in loop.crew.begun if worker == name]
        assert isinstance(tasks[0], GoldenTask)
    assert loop.all_are_stored()


def test_every_result_that_comes_twice_is_stored_once(home: Path) -> None:
    loop = Loop(home, ("one",), lambda worker, task, result: (result, result))
    standing = loop.run()
    assert loop.all_are_stored()
    assert standing.dropped > 0
    assert standing.done["embed"] == rows.number_of_rows()


def test_a_worker_that_never_answers_is_replaced_by_another_and_its_late_answer_dropped(home: Path) -> None:
    kept: list[Result] = []

    def twist(worker: str, task: Task, result: Result) -> Sequence[Result]:
        if worker == "two" and isinstance(task, EmbedTask) and not kept:
            kept.append(result)
            return ()
        if worker == "one" and kept and kept[0].task_id == task.task_id:
            return (result, kept[0])
        return (result,)

    loop = Loop(home, ("one", "two"), twist)
    standing = loop.run()
    assert kept
    assert loop.all_are_stored()
    assert standing.dropped == 1


def test_what_a_worker_had_that_left_is_done_by_the_others(home: Path) -> None:
    loop = Loop(home, ("one", "two"))

    def twist(worker: str, task: Task, result: Result) -> Sequence[Result]:
        if worker == "two" and isinstance(task, EmbedTask):
            loop.crew.names.remove("two")
            return ()
        return (result,)

    loop.crew._twist = twist
    loop.run()
    assert loop.crew.names == ["one"]
    assert loop.all_are_stored()


def test_a_worker_that_joins_in_the_middle_is_employed(home: Path) -> None:
    loop = Loop(home, ("one",))

    def twist(worker: str, task: Task, result: Result) -> Sequence[Result]:
        if not isinstance(task, GoldenTask) and "late" not in loop.crew.names:
            loop.crew.names.append("late")
        return (result,)

    loop.crew._twist = twist
    loop.pace.ran_short("one", "cut", 6)
    loop.pace.ran_short("one", "embed", 6)
    loop.run()
    assert any(worker == "late" and not isinstance(task, GoldenTask) for worker, task in loop.crew.begun)
    assert loop.all_are_stored()


def test_a_worker_that_brings_no_numbers_is_refused_and_another_does_it(home: Path) -> None:
    def twist(worker: str, task: Task, result: Result) -> Sequence[Result]:
        if worker == "two" and isinstance(result, EmbedResult):
            result.vectors["dinov2_base"][:] = np.nan
        return (result,)

    loop = Loop(home, ("two", "one"), twist)
    standing = loop.run()
    assert set(standing.refused) == {"two"}
    assert "no numbers" in standing.refused["two"]
    assert loop.all_are_stored()


def test_what_a_refused_worker_had_besides_is_not_taken_either(home: Path) -> None:
    brought: list[str] = []

    def twist(worker: str, task: Task, result: Result) -> Sequence[Result]:
        if worker == "two" and isinstance(result, EmbedResult):
            brought.append(task.task_id)
            if len(brought) == 1:
                result.vectors["dinov2_base"][:] = np.nan
        return (result,)

    loop = Loop(home, ("two", "one"), twist)
    loop.crew.ahead = 2
    loop.pace.ran_short("two", "embed", 2)
    loop.run()
    assert loop.all_are_stored()
    assert VectorBatch.select().where(VectorBatch.worker == "two").count() == 0


def test_where_the_only_worker_is_refused_the_run_ends_with_why(home: Path) -> None:
    def twist(worker: str, task: Task, result: Result) -> Sequence[Result]:
        if isinstance(result, EmbedResult):
            result.vectors["clip_vitb32"][:] = 0
        return (result,)

    with pytest.raises(OperatorNeeded, match="length 0"):
        Loop(home, ("one",), twist).run()
    assert rows.number_of_rows() == 0


def test_a_worker_proves_itself_again_after_so_many_results(home: Path) -> None:
    loop = Loop(home)
    loop.pace.ran_short("one", "cut", 2)
    loop.pace.ran_short("one", "embed", 2)
    loop.run()
    proofs = [number for number, (_, task) in enumerate(loop.crew.begun) if isinstance(task, GoldenTask)]
    assert len(loop.crew.begun) > EVERY
    assert proofs == [0, EVERY + 1]


def test_batches_grow_with_a_worker_s_speed_and_stay_within_its_memory() -> None:
    pace = Pace()
    pace.note("fast", "embed", 10, 2.0)
    pace.note("slow", "embed", 2, 30.0)
    assert pace.size("new", "embed") < pace.size("fast", "embed")
    assert pace.size("slow", "embed") == 4
    pace.ran_short("fast", "embed", 100)
    assert pace.size("fast", "embed") == 50


def test_the_standing_tells_who_is_there(home: Path) -> None:
    standing: Standing = Loop(home, ("one", "two")).run()
    assert standing.workers == ("one", "two")
