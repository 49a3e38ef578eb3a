"""Alerts: each once, with what to do, and once more when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.look_commands import tell_status
from runtime.clock import iso, parse_iso
from runtime.errors import KeyRefused, OperatorNeeded, Stopped, UserMistake
from runtime.settings import Home
from tests.rig import KEY, VirtualClock
from tests.upkeep.home import make_home, run, settings_of
from tests.upkeep.receiver import Receiver, receiving
from upkeep import alert_commands
from upkeep.conditions import Alert, Facts, alerts
from upkeep.ends import AT_WORK, End, load_end, noting_the_end
from upkeep.records import Record, Records
from upkeep.telling import Told, digest, is_digest_due, news

NOW = parse_iso("2026-11-21T12:00:00Z")
HOUR = 3600.0


def ago(hours: float) -> str:
    return iso(NOW - hours * HOUR)


LATE = {
    "fits": False,
    "limit_assumed": False,
    "calls_left": 9000,
    "ends_at": ago(-99),
    "next_cycle_at": ago(-9),
    "would_fit_with": ["CYCLE_DAYS=9."],
}


def at_work(**told: Any) -> Facts:
    """Return the facts of a crawl that is well, but for what is told."""
    well: dict[str, Any] = {
        "running": True,
        "position": {"state": "BACKFILL", "cursor": {}, "cycle": 3, "entered_at": ago(2)},
        "last_call_at": ago(0.1),
        "quota": {"limit": 5000, "cut_from": None, "cut_at": 0.0},
        "forecast": {**LATE, "fits": True},
        "images": {"downloads": {"held": ""}},
        "audit": {"cycle": 2, "gaps": {}, "repairs_queued": False},
        "trouble": None,
    }
    return Facts(NOW, {**well, **told}, end=End(ago(50), AT_WORK, ""), free={"/home": 9 * 10**9})


def names(facts: Facts) -> list[str]:
    return [alert.name for alert in alerts(facts)]


def test_a_crawl_that_is_well_needs_nobody() -> None:
    assert alerts(at_work()) == []


SLEEPING = {"state": "SLEEP", "cursor": {"reason": "cycle", "until": ago(-30)}, "cycle": 3, "entered_at": ago(100)}
OVERSLEPT = {"state": "SLEEP", "cursor": {"reason": "cycle", "until": ago(7)}, "cycle": 3, "entered_at": ago(100)}
SPENT = {"state": "SLEEP", "cursor": {"reason": "quota", "until": ago(-3)}, "cycle": 3, "entered_at": ago(9)}
CUT = {"limit": 2000, "cut_from": 5000, "cut_at": NOW - 5}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"last_call_at": ago(7), "position": {"state": "REVIEWS", "cursor": {}, "entered_at": ago(7)}}, ["stalled"]),
        ({"last_call_at": ago(7)}, []),  # it has just entered a state without calls
        ({"last_call_at": ago(90), "position": SLEEPING}, []),
        ({"last_call_at": ago(90), "position": OVERSLEPT}, ["stalled"]),
        ({"last_call_at": ago(9), "position": SPENT}, []),
        ({"quota": CUT}, ["quota-cut"]),
        ({"quota": {**CUT, "limit": 5000}}, []),
        ({"forecast": LATE}, ["cycle-late-3"]),
        ({"forecast": LATE, "position": SPENT}, ["cycle-late-3"]),
        ({"forecast": LATE, "position": SLEEPING, "last_call_at": ago(2)}, []),
        ({"forecast": {**LATE, "limit_assumed": True}}, []),
        ({"images": {"downloads": {"held": "the disk is full"}}}, ["downloads-held"]),
        ({"audit": {"cycle": 2, "gaps": {"no shop": 4}, "repairs_queued": False}}, ["audit-2"]),
        ({"audit": {"cycle": 2, "gaps": {"no shop": 4}, "repairs_queued": True}}, []),
        ({"audit": {"cycle": 2, "gaps": {"no shop": 0}, "repairs_queued": False}}, []),
        ({"position": None, "last_call_at": None, "forecast": None, "audit": None, "quota": {}}, []),
    ],
)
def test_each_condition_is_seen_and_no_other(told: dict[str, Any], expected: list[str]) -> None:
    assert names(at_work(**told)) == expected


@pytest.mark.parametrize(
    ("status", "running", "expected"),
    [
        (3, False, ["key-refused"]),
        (1, False, ["crashed"]),
        (2, False, ["ended"]),
        (0, False, []),
        (AT_WORK, False, ["gone"]),
    ]
    + [(status, True, []) for status in (3, 2, 1, 0, AT_WORK)],
)
def test_a_crawl_that_ended_by_itself_is_told_until_it_runs_again(
    status: int, running: bool, expected: list[str]
) -> None:
    facts = replace(at_work(running=running), end=End(ago(1), status, "The key is refused."))
    assert names(facts) == expected


def test_a_disk_that_was_low_needs_more_than_a_little_room_to_be_well_again() -> None:
    facts = replace(at_work(), free={"/home": 5_500_000_000})
    assert names(facts) == []
    assert names(replace(facts, free={"/home": 4_900_000_000})) == ["disk:/home"]
    assert names(replace(facts, standing=("disk:/home",))) == ["disk:/home"]
    assert names(replace(facts, free={"/home": 6_100_000_000}, standing=("disk:/home",))) == []


@pytest.mark.parametrize(
    ("work", "record", "expected"),
    [
        ("backup", Record(ago(1), ago(1)), []),
        ("backup", Record(ago(1), ago(30), "The disk is away."), ["backup:/b"]),
        ("backup", Record(ago(30), ago(30)), ["backup-behind:/b"]),
        ("mirror", Record(ago(5), ago(5)), []),
        ("mirror", Record(ago(7), ago(7)), ["mirror-behind:/b"]),
        ("mirror-tars", Record(ago(7), ago(7)), []),
        ("mirror-tars", Record(ago(80), ago(80)), ["mirror-tars-behind:/b"]),
    ],
)
def test_copies_that_fail_or_fall_behind_are_told(work: str, record: Record, expected: list[str]) -> None:
    assert names(replace(at_work(), records={work: {"/b": record}})) == expected


def test_every_alert_says_what_to_do() -> None:
    facts = replace(
        at_work(
            running=True,
            quota=CUT,
            forecast=LATE,
            audit={"cycle": 2, "gaps": {"x": 1}},
            images={"downloads": {"held": "x"}},
        ),
        free={"/home": 1},
        records={"backup": {"/b": Record(ago(30), ago(30))}},
    )
    found = alerts(facts)
    assert len(found) == 6
    assert all(alert.words and alert.advice for alert in found)


# Once, and once more


alert_sets = st.lists(st.sets(st.sampled_from("abcde")), max_size=12)


@given(alert_sets)
def test_each_is_told_when_it_begins_and_when_it_ends_and_not_in_between(history: list[set[str]]) -> None:
    told, before = Told(), set[str]()
    for number, there in enumerate(history):
        found, told = news(told, [Alert(name, f"{name} is wrong.", "Mend it.") for name in there], NOW + number)
        assert {alert.name for alert in found.new} == there - before
        assert {words[0] for words in found.over} == before - there
        before = there


def test_a_digest_comes_once_a_day_after_seven_with_what_is_new() -> None:
    morning = parse_iso("2026-11-21T06:59:00Z")
    assert not is_digest_due(Told(digest_day="2026-11-20"), morning)
    assert is_digest_due(Told(digest_day="2026-11-20"), morning + 60)
    facts = {**at_work().told, "rows": {"listings": 500}}
    lines, after = digest(Told(counts={"listings": 480}), facts, [], morning + 60)
    assert "listings: 500 (+20)" in lines and "Nothing needs you." in lines
    assert not is_digest_due(after, morning + 7200)
    assert is_digest_due(after, morning + 86_460)


# How the crawl ended


def test_how_a_crawl_ended_is_noted_without_its_secrets(tmp_path: Path) -> None:
    settings, clock, home = settings_of(tmp_path), VirtualClock(), Home(tmp_path)
    home.data.mkdir(parents=True)
    with pytest.raises(KeyRefused), noting_the_end(settings, clock):
        assert load_end(home) == End(iso(clock.now()), AT_WORK, "")
        raise KeyRefused(f"Etsy refuses the key {KEY}.")
    end = load_end(home)
    assert end is not None and end.status == 3
    assert KEY.split(":")[0] not in end.words
    with noting_the_end(settings, clock):
        pass
    assert load_end(home) == End(iso(clock.now()), 0, "")
    with pytest.raises(ZeroDivisionError), noting_the_end(settings, clock):
        raise ZeroDivisionError("a bug")
    assert load_end(home) == End(iso(clock.now()), 1, "ZeroDivisionError: a bug")


# The command


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_home(tmp_path / "home")
    return tmp_path / "home"


def look(root: Path, receiver: Receiver | None, test: bool = False, **told: str) -> str:
    address = receiver.address if receiver else ""
    command = partial(alert_commands.tell, survey=tell_status, test=test)
    return run(command, root, ALERTS=address, MIN_FREE_GB="0", CYCLE_DAYS="3000", **told)


def test_an_alert_arrives_once_and_its_end_once(root: Path, receiver: Receiver) -> None:
    records = Records(Home(root), "backup")
    look(root, receiver)
    assert receiver.heard == []
    records.note(Path("/b"), iso(1.8e9), trouble="There is no folder /b. Is its disk mounted?")
    assert "! `backup` failed" in look(root, receiver)
    look(root, receiver)
    assert len(receiver.heard) == 1
    title, body = receiver.heard[0]
    assert title.endswith(": 1 alert") and "There is no folder /b" in body
    records.note(Path("/b"), iso(4e9))
    look(root, receiver)
    look(root, receiver)
    assert len(receiver.heard) == 2
    assert receiver.bodies[1].startswith("Over: `backup` failed")


def test_what_could_not_be_sent_is_sent_the_next_time(root: Path, receiver: Receiver) -> None:
    Records(Home(root), "mirror").note(Path("/m"), iso(1.8e9), trouble="It is not there.")
    receiver.refuses = True
    with pytest.raises(OperatorNeeded, match="Not every address"):
        look(root, receiver)
    receiver.refuses = False
    look(root, receiver)
    assert len(receiver.heard) == 1


def test_alerts_that_stood_before_there_was_an_address_are_told_to_it(root: Path, receiver: Receiver) -> None:
    Records(Home(root), "mirror").note(Path("/m"), iso(1.8e9), trouble="It is not there.")
    assert "nobody is told" in look(root, None)
    look(root, receiver)
    assert len(receiver.heard) == 1


def test_a_database_that_cannot_be_read_is_an_alert(root: Path, receiver: Receiver) -> None:
    (root / "data" / "db" / "etsy_data.db").write_bytes(b"rubbish" * 999)
    look(root, receiver)
    assert "is no SQLite database" in receiver.bodies[0]


def test_a_test_message_arrives(root: Path, receiver: Receiver) -> None:
    look(root, receiver, test=True)
    assert receiver.bodies == ["Alerts arrive here."]


def test_an_address_that_is_none_is_refused_and_not_shown(root: Path) -> None:
    with pytest.raises(UserMistake, match="ALERTS: address 2 is none") as told:
        run(
            partial(alert_commands.tell, survey=tell_status, test=False),
            root,
            ALERTS="json://127.0.0.1:9/ secret-words",
        )
    assert "secret-words" not in told.value.words()


def test_stopped_is_no_alert(tmp_path: Path) -> None:
    Home(tmp_path).data.mkdir(parents=True)
    with pytest.raises(Stopped), noting_the_end(settings_of(tmp_path), VirtualClock()):
        raise Stopped("Stopped by the test.")
    end = load_end(Home(tmp_path))
    assert end is not None and end.status == 0


def test_nothing_is_made_in_a_home_whose_disk_has_gone(tmp_path: Path) -> None:
    with noting_the_end(settings_of(tmp_path), VirtualClock()):
        pass
    assert list(tmp_path.iterdir()) == []
