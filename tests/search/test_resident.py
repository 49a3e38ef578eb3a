"""The models in a process of their own: it stays, it answers what the models say, and it is gone when it should be."""

from __future__ import annotations

import io
import multiprocessing
import multiprocessing.connection
import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from runtime.clock import SystemClock
from runtime.errors import OperatorNeeded, UserMistake
from runtime.settings import Settings, load_settings
from search.encode import Encoder, Wanted
from search.resident import Resident
from search.wiring import build_parts
from tests.search.home import GATE, gated_kit, small_kit
from tests.search.small import SMALL

NAMES = tuple(SMALL)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "data").mkdir()
    return load_settings(tmp_path, {})


@pytest.fixture
def resident(settings: Settings) -> Iterator[Resident]:
    with closing(Resident(settings, SystemClock(), small_kit)) as found:
        yield found


def picture() -> bytes:
    """A red square on white."""
    out = io.BytesIO()
    whole = Image.new("RGB", (200, 200), "white")
    whole.paste("red", (50, 50, 150, 150))
    whole.save(out, "PNG")
    return out.getvalue()


def models() -> list[int]:
    """The processes of models that are alive, by their numbers."""
    return [one.pid or 0 for one in multiprocessing.active_children() if one.name == "models"]


def test_it_says_what_the_models_say(resident: Resident, settings: Settings) -> None:
    wanted = Wanted((picture(),), ("red chair",), NAMES)
    here = Encoder(small_kit(build_parts(settings, Console(file=io.StringIO()))))
    told, expected = resident.encode(wanted), here.encode(wanted)
    assert told.makes == expected.makes
    assert told.vectors.keys() == expected.vectors.keys() >= set(NAMES)
    for name, vectors in expected.vectors.items():
        np.testing.assert_array_equal(told.vectors[name], vectors)


def test_one_process_answers_all_queries_and_errors_do_not_end_it(resident: Resident) -> None:
    resident.encode(Wanted((), ("red",), NAMES))
    first = models()
    with pytest.raises(UserMistake, match="cannot be read as a picture"):
        resident.encode(Wanted((b"no picture",), (), NAMES, keep_background=True))
    resident.encode(Wanted((), ("green",), NAMES))
    assert models() == first and len(first) == 1


def test_a_process_that_dies_is_told_of_and_the_next_query_has_another(resident: Resident) -> None:
    resident.encode(Wanted((), ("red",), NAMES))
    (process,) = multiprocessing.active_children()
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    with pytest.raises(OperatorNeeded, match=r"has ended \(exit status -9\)"):
        resident.encode(Wanted((), ("red",), NAMES))
    assert resident.encode(Wanted((), ("red",), NAMES)).makes
    assert models() not in ([], [process.pid])


def test_it_ends_when_nobody_asked_for_long_enough_and_not_before(resident: Resident) -> None:
    resident.encode(Wanted((), ("red",), NAMES))
    resident.end_after(3600).result()
    assert len(models()) == 1
    resident.end_after(0).result()
    assert models() == []
    assert resident.encode(Wanted((), ("red",), NAMES)).makes


def test_it_can_be_closed_in_the_middle_of_a_query(settings: Settings, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / GATE)
    resident = Resident(settings, SystemClock(), gated_kit)
    told = resident.begin(Wanted((), ("red",), NAMES))
    # Opening the gate for writing waits until the models' process stands before it.
    with (tmp_path / GATE).open("w"):
        resident.close()
    with pytest.raises(OperatorNeeded, match="has ended"):
        told.result()
    assert models() == []


def test_it_ends_with_the_process_that_asks(settings: Settings) -> None:
    ours, theirs = multiprocessing.Pipe()
    asking = multiprocessing.get_context("spawn").Process(target=ask_and_tell, args=(theirs, settings))
    asking.start()
    pid = ours.recv()
    watch = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    asking.kill()
    asking.join()
    if watch is None:
        pytest.skip("this system has no file that tells of a process's end")
    assert select.select([watch], [], [], 60)[0]
    os.close(watch)


def ask_and_tell(pipe: multiprocessing.connection.Connection, settings: Settings) -> None:
    """Ask the models something, tell the number of their process, and stay."""
    resident = Resident(settings, SystemClock(), small_kit)
    resident.encode(Wanted((), ("red",), NAMES))
    pipe.send(models()[0])
    threading.Event().wait()
