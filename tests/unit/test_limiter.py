"""Never more calls in a second than allowed, wherever between sending and answer a call arrives."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.api.limiter import QUICK_SECONDS, Limiter, SlotFile
from runtime.errors import Stopped
from runtime.stop import Stop
from sandbox.sandbox import busiest_second
from tests.rig import VirtualClock


class Line:
    """One process's limiter, and the moments at which its calls reach the server."""

    def __init__(self, clock: VirtualClock, slots: SlotFile, rate: Callable[[], float], rng: Random) -> None:
        self.stop = Stop(clock, ())
        self.limiter = Limiter(clock, self.stop, rate, slots)
        self._clock, self._rng = clock, rng

    def call(self, longest_answer: float) -> float:
        """Make one call; return when it arrived, anywhere between its sending and its answer."""
        sent = self.limiter.wait_for_turn()
        takes = self._rng.uniform(0, longest_answer)
        arrived = sent + self._rng.choice([0.0, takes, takes * self._rng.random()])
        self._clock.advance(takes)
        self.limiter.answered(sent)
        return arrived


def most_in_a_window(moments: list[float], rate: float) -> int:
    """Return the most calls in any second, or in any longer window that one call has at a rate below one."""
    window = max(1.0, 1.0 / rate)
    return busiest_second(sorted(moment / window for moment in moments))


@settings(deadline=None, max_examples=60)
@given(st.floats(0.5, 10), st.floats(0.001, QUICK_SECONDS), st.randoms(use_true_random=False))
def test_no_second_sees_more_calls_than_the_rate_wherever_they_arrive(rate: float, quick: float, rng: Random) -> None:
    line = Line(VirtualClock(), SlotFile(None), lambda: rate, rng)
    arrivals = [line.call(quick) for _ in range(60)]
    assert most_in_a_window(arrivals, rate) <= max(1, int(rate))


@settings(deadline=None, max_examples=12)
@given(st.floats(0.5, 10), st.randoms(use_true_random=False))
def test_several_processes_on_one_key_share_its_seconds(
    tmp_path_factory: pytest.TempPathFactory, rate: float, rng: Random
) -> None:
    path = tmp_path_factory.mktemp("slots") / "calls.json"
    clock = VirtualClock()
    lines = [Line(clock, SlotFile(path), lambda: rate, rng) for _ in range(3)]
    arrivals = [rng.choice(lines).call(0.09) for _ in range(30)]
    assert most_in_a_window(arrivals, rate) <= max(1, int(rate))


def test_98_per_cent_of_five_a_second_are_reached() -> None:
    clock = VirtualClock()
    line = Line(clock, SlotFile(None), lambda: 5.0, Random(1))
    began = clock.monotonic()
    for _ in range(200):
        line.call(0.004)
    assert 200 / (clock.monotonic() - began) > 5.0 * 0.98


def test_calls_are_spaced_a_little_wider_than_an_even_share_of_the_second() -> None:
    """200 ms exactly draws 429s at five a second: the server's clock and the line's are not ours."""
    line = Line(VirtualClock(), SlotFile(None), lambda: 5.0, Random(13))
    sent = [line.limiter.wait_for_turn() for _ in range(20)]
    # One that goes a little late puts off none that follow, so the next one is nearer to it; five together are not.
    assert all(0.2 < later - sooner < 0.215 for sooner, later in pairwise(sent))
    assert all(later - sooner > 1.012 for sooner, later in zip(sent, sent[5:], strict=False))


def test_a_process_started_right_after_another_was_killed_keeps_its_distance(tmp_path: Path) -> None:
    clock, rng = VirtualClock(), Random(2)
    arrivals = []
    for _ in range(12):  # each process makes two calls and is killed
        line = Line(clock, SlotFile(tmp_path / "calls.json"), lambda: 5.0, rng)
        arrivals += [line.call(0.05), line.call(0.05)]
    assert busiest_second(sorted(arrivals)) <= 5


def test_a_slot_file_from_before_a_boot_holds_nothing_up(tmp_path: Path) -> None:
    path = tmp_path / "calls.json"
    ahead = 9_000_000.0  # the monotonic clock begins anew at a boot
    path.write_text(json.dumps({"calls": [[ahead + i, ahead + i] for i in range(5)], "not_before": ahead}))
    clock = VirtualClock()
    line = Line(clock, SlotFile(path), lambda: 5.0, Random(3))
    began = clock.monotonic()
    arrivals = [line.call(0.01) for _ in range(10)]
    assert clock.monotonic() - began < 3
    assert busiest_second(sorted(arrivals)) <= 5


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"calls": 5, "not_before": 0}', '{"calls": [["a", 1]], "not_before": 0}', "\x00\xff"],
)
def test_a_damaged_slot_file_is_begun_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "calls.json"
    path.write_text(text)
    line = Line(VirtualClock(), SlotFile(path), lambda: 5.0, Random(4))
    line.call(0.01)
    assert len(json.loads(path.read_text())["calls"]) == 1


def test_after_a_429_no_process_calls_until_the_time_is_over(tmp_path: Path) -> None:
    clock = VirtualClock()
    lines = [Line(clock, SlotFile(tmp_path / "calls.json"), lambda: 5.0, Random(5)) for _ in range(2)]
    lines[0].call(0.01)
    held_at = clock.monotonic()
    lines[0].limiter.hold(7.0)
    assert lines[1].call(0.01) >= held_at + 7.0
    assert lines[0].call(0.01) >= held_at + 7.0


def test_a_call_that_leaves_late_keeps_the_sixth_away() -> None:
    clock = VirtualClock()
    line = Line(clock, SlotFile(None), lambda: 5.0, Random(16))
    turns = [line.limiter.wait_for_turn()]
    clock.advance(0.05)
    line.limiter.leaves()
    turns += [line.limiter.wait_for_turn() for _ in range(5)]
    assert turns[5] >= turns[0] + 1.05


class Oversleeping(VirtualClock):
    """A clock on a busy machine: the next wait ends too late."""

    late_seconds = 0.0

    def wait(self, event: threading.Event, seconds: float) -> bool:
        late, self.late_seconds = self.late_seconds, 0.0
        return super().wait(event, seconds + late)


def test_where_waking_up_comes_late_calls_keep_a_wider_distance_for_a_while() -> None:
    clock = Oversleeping()
    line = Line(clock, SlotFile(None), lambda: 5.0, Random(17))
    steady = [line.limiter.wait_for_turn() for _ in range(10)]
    clock.late_seconds = 0.03
    line.limiter.wait_for_turn()
    after = [line.limiter.wait_for_turn() for _ in range(300)]
    assert max(b - a for a, b in zip(steady, steady[5:], strict=False)) < 1.02
    assert all(b - a > 1.035 for a, b in zip(after[:90], after[5:90], strict=False))
    assert all(b - a < 1.02 for a, b in zip(after[150:], after[155:], strict=False))


class ToldWhileWaiting(VirtualClock):
    """A clock on which something happens in the middle of the next wait."""

    happens: Callable[[], None] | None = None

    def wait(self, event: threading.Event, seconds: float) -> bool:
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        return super().wait(event, seconds)


def test_who_waits_for_a_moment_hears_of_a_429_that_comes_meanwhile() -> None:
    clock = ToldWhileWaiting()
    line = Line(clock, SlotFile(None), lambda: 5.0, Random(14))
    line.limiter.wait_for_turn()
    held_at = clock.monotonic()
    clock.happens = lambda: line.limiter.hold(7.0)
    assert line.limiter.wait_for_turn() >= held_at + 7.0


def test_what_a_429_widened_wears_off() -> None:
    clock = VirtualClock()
    line = Line(clock, SlotFile(None), lambda: 5.0, Random(15))

    def ten_calls() -> float:
        began = clock.monotonic()
        for _ in range(10):
            line.call(0.001)
        return clock.monotonic() - began

    line.call(0.001)
    before = ten_calls()
    line.limiter.hold(0.0)
    widened = ten_calls()
    for _ in range(60):
        ten_calls()
    assert ten_calls() == pytest.approx(before, abs=0.005) and widened > before + 0.02


def test_each_429_of_the_second_spaces_calls_a_little_wider() -> None:
    clock = VirtualClock()
    line = Line(clock, SlotFile(None), lambda: 5.0, Random(6))

    def ten_calls() -> float:
        line.call(0.001)
        began = clock.monotonic()
        for _ in range(10):
            line.call(0.001)
        return clock.monotonic() - began

    before = ten_calls()
    for _ in range(4):
        line.limiter.hold(0.0)
    assert before < ten_calls() < before * 1.5


def test_the_rate_may_be_turned_down_and_up_between_two_calls() -> None:
    clock, rate = VirtualClock(), [5.0]
    line = Line(clock, SlotFile(None), lambda: rate[0], Random(7))
    for _ in range(5):
        line.call(0.001)
    rate[0] = 1.0
    slow = [line.call(0.001) for _ in range(4)]
    assert all(later - sooner >= 1.0 for sooner, later in pairwise(slow))
    rate[0] = 5.0
    began = clock.monotonic()
    for _ in range(10):
        line.call(0.001)
    assert clock.monotonic() - began < 3.5


def test_a_stop_ends_the_wait_for_a_turn() -> None:
    clock = VirtualClock()
    line = Line(clock, SlotFile(None), lambda: 5.0, Random(8))
    line.limiter.hold(3600.0)
    line.stop.ask("the test")
    with pytest.raises(Stopped):
        line.call(0.001)
    assert clock.monotonic() < 1001.0


def test_threads_never_get_the_same_turn() -> None:
    clock = VirtualClock()
    line = Line(clock, SlotFile(None), lambda: 5.0, Random(9))
    sent: list[float] = []

    def work() -> None:
        for _ in range(20):
            sent.append(line.limiter.wait_for_turn())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(sent)) == 80


def test_a_folder_that_cannot_be_written_leaves_a_limiter_that_works_alone(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    slots = SlotFile.for_key([blocked / "below"], "https://host", "key:secret")
    line = Line(VirtualClock(), slots, lambda: 5.0, Random(10))
    assert busiest_second([line.call(0.01) for _ in range(20)]) <= 5


def test_the_first_folder_that_can_be_written_is_taken(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    slots = SlotFile.for_key([blocked / "below", tmp_path / "home"], "https://host", "key:secret")
    Line(VirtualClock(), slots, lambda: 5.0, Random(12)).call(0.01)
    assert [path.suffix for path in (tmp_path / "home").iterdir() if path.suffix != ".lock"] == [".json"]


def test_the_slot_file_s_name_and_text_do_not_tell_the_key(tmp_path: Path) -> None:
    slots = SlotFile.for_key([tmp_path], "https://host", "keystring:topsecret")
    Line(VirtualClock(), slots, lambda: 5.0, Random(11)).call(0.01)
    written = [path for path in tmp_path.iterdir() if path.suffix == ".json"]
    assert len(written) == 1
    assert all("secret" not in text and "keystring" not in text for text in (written[0].name, written[0].read_text()))
