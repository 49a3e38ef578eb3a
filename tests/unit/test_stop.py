"""Being asked to stop: by file, by signal, in words; and every wait ends within a second."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from runtime.clock import SystemClock
from runtime.errors import OperatorNeeded, Stopped
from runtime.stop import Stop
from tests.rig import VirtualClock


def stop_in(folder: Path, *names: str) -> Stop:
    return Stop(VirtualClock(), tuple(folder / name for name in names or ("KILL", "KILL_SD")))


def test_nobody_asked_and_nothing_stops(tmp_path: Path) -> None:
    stop = stop_in(tmp_path)
    stop.pause(100.0)
    stop.attend()
    assert not stop.requested()
    assert stop.clock.monotonic() == pytest.approx(1100.0)


@pytest.mark.parametrize("name", ["KILL", "KILL_SD"])
def test_a_kill_file_stops_and_is_removed_once_it_is_obeyed(tmp_path: Path, name: str) -> None:
    stop = stop_in(tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(Stopped):
        stop.attend()
    assert stop.reason == f"the file {name}"
    assert (tmp_path / name).exists(), "it goes when the stop is over, not before"
    stop.obeyed()
    assert not (tmp_path / name).exists()


def test_another_program_s_kill_file_is_not_obeyed_and_stays(tmp_path: Path) -> None:
    stop = stop_in(tmp_path)
    (tmp_path / "KILL_DL").touch()
    assert not stop.requested()
    stop.clear_old_files()
    stop.obeyed()
    assert (tmp_path / "KILL_DL").exists()


def test_a_kill_file_that_is_older_than_the_start_is_removed_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "KILL").touch()
    stop = stop_in(tmp_path)
    with caplog.at_level("INFO"):
        stop.clear_old_files()
    assert not stop.requested()
    assert "KILL" in caplog.text


def test_a_kill_folder_is_as_good_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "KILL").mkdir()
    stop = stop_in(tmp_path)
    assert stop.requested()
    stop.obeyed()
    assert not (tmp_path / "KILL").exists()


def test_a_kill_file_that_cannot_be_removed_is_told_not_fatal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "KILL").mkdir()
    (tmp_path / "KILL" / "inside").touch()
    stop_in(tmp_path).obeyed()
    assert "remove it by hand" in caplog.text


def test_an_old_kill_file_that_cannot_be_removed_refuses_the_start(tmp_path: Path) -> None:
    """Left there it would stop this start, and each that follows, at once."""
    (tmp_path / "KILL" / "inside").mkdir(parents=True)
    with pytest.raises(OperatorNeeded, match="cannot be removed") as refused:
        stop_in(tmp_path).clear_old_files()
    assert "Remove it by hand" in refused.value.advice


@pytest.mark.parametrize("target", ["nowhere", "data"])
def test_a_link_is_a_kill_file_too_and_only_the_link_is_removed(tmp_path: Path, target: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "KILL").symlink_to(target)
    stop = stop_in(tmp_path)
    assert stop.requested()
    stop.obeyed()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    (tmp_path / "KILL").symlink_to(target)
    stop_in(tmp_path).clear_old_files()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_file_that_is_needed_and_goes_is_told_to_whoever_waits(tmp_path: Path) -> None:
    """To a stop below it too; not before it is gone, and again as long as it is."""
    needed = tmp_path / "data"
    needed.mkdir()
    parent, child = family(tmp_path)
    parent.need(needed)
    for stop in (parent, child):
        stop.pause(5.0)
    needed.rename(tmp_path / "elsewhere")
    for stop in (parent, child, parent):
        parent.clock.wait(threading.Event(), 5.0)
        with pytest.raises(OperatorNeeded, match=f"{needed} is not there any more") as gone:
            stop.pause(1.0)
        assert "Is its disk mounted?" in gone.value.advice
    (tmp_path / "elsewhere").rename(needed)
    parent.clock.wait(threading.Event(), 5.0)
    child.pause(5.0)


def test_the_first_reason_is_the_one_that_is_told(tmp_path: Path) -> None:
    stop = stop_in(tmp_path)
    stop.ask("SIGTERM")
    stop.ask("SIGINT")
    (tmp_path / "KILL").touch()
    assert stop.requested() and stop.reason == "SIGTERM"


@pytest.mark.parametrize("seconds", [0.5, 5.0, 900.0, 86_400.0])
def test_a_wait_of_any_length_ends_within_a_second_of_the_file(tmp_path: Path, seconds: float) -> None:
    clock = VirtualClock()
    stop = Stop(clock, (tmp_path / "KILL",))
    wait, asked_at = clock.wait, clock.monotonic() + 0.4

    def touching(event: Any, slice_seconds: float) -> bool:
        if clock.monotonic() >= asked_at:
            (tmp_path / "KILL").touch()
        return wait(event, slice_seconds)

    clock.wait = touching  # type: ignore[method-assign, assignment]
    with pytest.raises(Stopped):
        stop.pause(seconds)
        stop.pause(1.0)
    assert clock.monotonic() <= asked_at + 1.0


def test_a_wait_that_was_over_before_it_began_still_hears_a_stop(tmp_path: Path) -> None:
    stop = stop_in(tmp_path)
    stop.ask("x")
    with pytest.raises(Stopped):
        stop.pause(-5.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_for_a_stop_and_the_old_handlers_come_back(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    stop = Stop(SystemClock(), (tmp_path / "KILL",))
    with stop.signals():
        os.kill(os.getpid(), number)
        with pytest.raises(Stopped):
            stop.pause(10.0)
    assert stop.reason == number.name
    assert signal.getsignal(number) is before


def test_sigusr1_makes_one_dump_and_the_wait_goes_on(tmp_path: Path) -> None:
    stop = stop_in(tmp_path)
    dumps: list[int] = []
    stop.on_dump = lambda: dumps.append(1)
    with stop.signals():
        os.kill(os.getpid(), signal.SIGUSR1)
        stop.pause(5.0)
        assert len(dumps) == 1
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        stop.attend()
    assert len(dumps) == 2


def test_only_the_main_thread_makes_dumps(tmp_path: Path) -> None:
    stop = stop_in(tmp_path)
    made_by: list[threading.Thread] = []
    stop.on_dump = lambda: made_by.append(threading.current_thread())
    with stop.signals():
        os.kill(os.getpid(), signal.SIGUSR1)
        other = threading.Thread(target=stop.attend)
        other.start()
        other.join()
        assert made_by == []
        stop.attend()
    assert made_by == [threading.main_thread()]


# A stop within a stop: the downloads beside a crawl


def family(folder: Path) -> tuple[Stop, Stop]:
    """Return the crawl's stop and, below it, the one of the downloads."""
    parent = stop_in(folder)
    return parent, Stop(parent.clock, (folder / "KILL_DL",), parent=parent)


@pytest.mark.parametrize("way", ["KILL", "KILL_SD", "a signal"])
def test_what_stops_the_parent_stops_the_child_with_the_same_reason(tmp_path: Path, way: str) -> None:
    parent, child = family(tmp_path)
    if way == "a signal":
        parent.ask("SIGTERM")
    else:
        (tmp_path / way).touch()
    with pytest.raises(Stopped):
        child.pause(100.0)
    assert child.reason == parent.reason == ("SIGTERM" if way == "a signal" else f"the file {way}")


def test_what_stops_the_child_leaves_the_parent_at_work(tmp_path: Path) -> None:
    parent, child = family(tmp_path)
    (tmp_path / "KILL_DL").touch()
    assert child.requested() and child.reason == "the file KILL_DL"
    assert not parent.requested()
    parent.pause(100.0)
    assert parent.reason == ""


def test_the_child_removes_only_its_own_file(tmp_path: Path) -> None:
    parent, child = family(tmp_path)
    for name in ("KILL", "KILL_DL"):
        (tmp_path / name).touch()
    assert child.requested()
    child.obeyed()
    assert (tmp_path / "KILL").exists() and not (tmp_path / "KILL_DL").exists()
    assert parent.requested()
    parent.obeyed()
    assert not (tmp_path / "KILL").exists()


def test_a_childs_own_reason_is_kept_when_the_parent_is_stopped_later(tmp_path: Path) -> None:
    parent, child = family(tmp_path)
    child.ask("the end of the crawl")
    parent.ask("SIGTERM")
    assert child.requested() and child.reason == "the end of the crawl"


def test_a_stop_is_known_once_somebody_has_looked_and_not_before(tmp_path: Path) -> None:
    """Threads that ask a thousand times a second look at no file: one among them looks for all."""
    parent, child = family(tmp_path)
    (tmp_path / "KILL").touch()
    assert not parent.is_known() and not child.is_known()
    assert child.requested()
    assert parent.is_known() and child.is_known()


# Files that somebody else has yet to see


def test_a_file_that_is_kept_for_somebody_else_stops_and_stays(tmp_path: Path) -> None:
    stop = stop_in(tmp_path, "KILL", "KILL_DL")
    for name in ("KILL", "KILL_DL"):
        (tmp_path / name).touch()
    assert stop.requested()
    stop.obeyed(keep=("KILL", "KILL_SD"))
    assert (tmp_path / "KILL").exists() and not (tmp_path / "KILL_DL").exists()


def test_an_old_file_that_is_kept_for_somebody_else_is_not_cleared_and_stops_this_too(tmp_path: Path) -> None:
    for name in ("KILL", "KILL_DL"):
        (tmp_path / name).touch()
    stop = stop_in(tmp_path, "KILL", "KILL_DL")
    stop.clear_old_files(keep=("KILL", "KILL_SD"))
    assert (tmp_path / "KILL").exists() and not (tmp_path / "KILL_DL").exists()
    assert stop.requested() and stop.reason == "the file KILL"
