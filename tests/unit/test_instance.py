"""One process on one home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.clock import EARLIEST
from runtime.errors import AlreadyRunning, OperatorNeeded
from runtime.instance import at_work_on, describe_owner, is_running, single_instance
from runtime.settings import Home
from tests.rig import VirtualClock

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, pathlib
from runtime.clock import SystemClock
from runtime.instance import single_instance
with single_instance(pathlib.Path(sys.argv[1]), SystemClock()):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "data" / "crawler.lock"


def test_a_second_start_is_told_who_runs_and_since_when(lock: Path) -> None:
    with single_instance(lock, VirtualClock(1_794_000_000.0)):
        assert is_running(lock)
        with pytest.raises(AlreadyRunning) as refused, single_instance(lock, VirtualClock()):
            pass
    assert refused.value.exit_status == 4
    assert str(os.getpid()) in str(refused.value) and "2026-11-06T21:20:00Z" in str(refused.value)


def test_the_next_start_succeeds_once_the_first_is_over(lock: Path) -> None:
    for _ in range(2):
        with single_instance(lock, VirtualClock()):
            assert is_running(lock)
        assert not is_running(lock)


def test_the_lock_is_free_after_an_error(lock: Path) -> None:
    with pytest.raises(RuntimeError), single_instance(lock, VirtualClock()):
        raise RuntimeError
    assert not is_running(lock)


def test_a_process_that_was_killed_holds_nothing(lock: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        assert is_running(lock)
        with pytest.raises(AlreadyRunning, match=str(other.pid)), single_instance(lock, VirtualClock()):
            pass
        other.kill()
        other.wait()
    assert not is_running(lock)
    with single_instance(lock, VirtualClock()):
        pass


def test_a_home_without_a_lock_runs_nothing_and_looking_makes_no_file(lock: Path) -> None:
    assert not is_running(lock)
    assert not lock.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 4}'])
def test_an_owner_file_that_cannot_be_read_is_no_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "owner.json").write_text(text)
    assert describe_owner(tmp_path / "owner.json") == "a process that left no name"


def test_a_folder_that_cannot_be_made_is_told_to_the_operator(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    with pytest.raises(OperatorNeeded), single_instance(tmp_path / "data" / "crawler.lock", VirtualClock()):
        pass


@pytest.mark.parametrize("year_seconds", [0.0, 1_000_000_000.0, EARLIEST - 1])
def test_nothing_begins_while_the_clock_says_what_cannot_be(tmp_path: Path, year_seconds: float) -> None:
    home = Home(tmp_path)
    clock = VirtualClock(year_seconds)
    with pytest.raises(OperatorNeeded, match="clock says") as refused, at_work_on(home, home.lock, clock):
        pass
    assert "Set the clock" in refused.value.advice
    assert list(tmp_path.iterdir()) == []
    with at_work_on(home, home.lock, VirtualClock(EARLIEST)):
        assert is_running(home.lock)


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(OperatorNeeded, match="No such file") as refused, at_work_on(home, home.lock, VirtualClock()):
        pass
    assert "is its disk mounted?" in refused.value.advice
    assert list(tmp_path.iterdir()) == []


def test_what_deaths_left_half_written_is_removed_at_the_start(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for folder in (home.data, home.checkpoints):
        folder.mkdir(parents=True)
        (folder / ".file.json.abcd_123").touch()
        os.utime(folder / ".file.json.abcd_123", (0, 0))
    with at_work_on(home, home.lock, VirtualClock()):
        assert not list(tmp_path.rglob(".file*"))
