"""A file's statuses: the table says what may follow, the database lets nothing else happen, whoever tries."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from peewee import Database

from models.publishing import PUBLISHING_MIGRATIONS, PUBLISHING_MODELS, File
from publishing import files
from publishing.machine import ALIVE, EVENTS, MOVES, STATES, Lifecycle, diagram
from runtime.clock import SystemClock
from runtime.database import open_database, transaction
from runtime.errors import Bug
from runtime.stop import Stop

NOW = 1_800_000_000.0
MOVE: dict[str, Callable[[str, float], None]] = {
    "begin": files.begin,
    "finish": files.finish,
    "approve": files.approve,
    "publish": files.publish,
    "fail": files.fail,
}
NAMES = [state.name for state in STATES]


def add(file_id: str, status: str = "ingested") -> None:
    File.insert(id=file_id, original_filename="a.jpg", status=status).execute()


def test_the_table_is_the_one_of_the_data_model() -> None:
    assert NAMES == ["ingested", "processing", "processed", "approved", "published", "failed"]
    lifecycle = Lifecycle()
    on = {(source, lifecycle.find_next(source, event)) for source in NAMES for event in EVENTS}
    steps = {*pairwise(NAMES[:5]), *((source, "failed") for source in NAMES[:5])}
    assert {step for step in on if step[1] is not None} == steps
    assert lifecycle.find_next("of another program", "fail") is None
    assert MOVE.keys() == EVENTS.keys()
    with pytest.raises(Bug):
        lifecycle.find_next("ingested", "explode")


def test_the_documentation_shows_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "publishing.md").read_text(encoding="utf-8")
    assert diagram() in page


@pytest.mark.parametrize("status", NAMES)
@pytest.mark.parametrize("event", EVENTS)
def test_a_move_that_may_not_be_changes_nothing_and_says_what_to_do(
    database: Database, status: str, event: str
) -> None:
    add("f", status)
    if status in EVENTS[event].sources:
        MOVE[event]("f", NOW)
        assert files.get("f").status == EVENTS[event].target
        return
    with pytest.raises(files.WrongStatus, match=f"is {status}") as refused:
        MOVE[event]("f", NOW)
    assert refused.value.advice
    assert files.get("f").status == status


def test_a_file_that_is_not_there_is_said_to_be_so(database: Database) -> None:
    with pytest.raises(files.NoSuchFile, match="no file nobody"):
        files.approve("nobody", NOW)


def test_of_many_workers_one_makes_the_move(database: Database) -> None:
    add("f", "processed")
    made, refused, start = list[int](), list[int](), threading.Barrier(8)

    def work(number: int) -> None:
        with database.connection_context():
            start.wait()
            try:
                with transaction(database, Stop(SystemClock(), ())):
                    files.approve("f", NOW)
                made.append(number)
            except files.WrongStatus:
                refused.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 7)


class Workers(RuleBasedStateMachine):
    """Several workers that look at files, and move them later by what they saw."""

    IDS: ClassVar = ("a", "b")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        self.database = open_database("sqlite:///files.db", root, PUBLISHING_MODELS, PUBLISHING_MIGRATIONS)
        execute: Any = self.database.execute_sql
        execute("PRAGMA synchronous = off")
        self.truth = dict.fromkeys(self.IDS, "ingested")
        self.seen = dict[tuple[int, str], str]()
        for file_id in self.IDS:
            add(file_id)

    @rule(worker=st.integers(0, 2), file_id=st.sampled_from(IDS))
    def look(self, worker: int, file_id: str) -> None:
        self.seen[worker, file_id] = files.get(file_id).status

    @rule(worker=st.integers(0, 2), file_id=st.sampled_from(IDS), event=st.sampled_from(sorted(EVENTS)))
    def move(self, worker: int, file_id: str, event: str) -> None:
        seen = self.seen.get((worker, file_id), "ingested")
        if not files.may(seen, event):
            return  # a worker tries only what it believes it may
        allowed = self.truth[file_id] in EVENTS[event].sources
        try:
            MOVE[event](file_id, NOW)
        except files.WrongStatus:
            assert not allowed
        else:
            assert allowed
            self.truth[file_id] = EVENTS[event].target

    @invariant()
    def the_database_tells_the_truth(self) -> None:
        assert {file_id: files.get(file_id).status for file_id in self.IDS} == self.truth

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_every_status_can_be_reached_and_only_living_files_fail() -> None:
    reached = {"ingested"} | {move.target for move in MOVES}
    assert reached == set(NAMES)
    assert set(EVENTS["fail"].sources) == set(ALIVE)
