"""The machine allows what DESIGN §3 says and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crawler import machine
from crawler.machine import CrawlMachine
from runtime.errors import Bug

STATES = ("TAXONOMY", "BACKFILL", "VERIFY", "REVIEWS", "SLEEP")
# DESIGN §3, written down anew: (event, from) → to.
TABLE = {
    ("advanced", "TAXONOMY"): "TAXONOMY",
    ("advanced", "BACKFILL"): "BACKFILL",
    ("advanced", "VERIFY"): "VERIFY",
    ("advanced", "REVIEWS"): "REVIEWS",
    ("exhausted", "TAXONOMY"): "BACKFILL",
    ("filled", "BACKFILL"): "VERIFY",
    ("gaps_found", "VERIFY"): "BACKFILL",
    ("in_sync", "VERIFY"): "REVIEWS",
    ("caught_up", "REVIEWS"): "SLEEP",
    ("woke", "SLEEP"): "TAXONOMY",
    ("quota_spent", "TAXONOMY"): "SLEEP",
    ("quota_spent", "BACKFILL"): "SLEEP",
    ("quota_spent", "REVIEWS"): "SLEEP",
}
EVENTS = sorted({event for event, _ in TABLE} | {"quota_back"})
RESUMABLE = ("TAXONOMY", "BACKFILL", "REVIEWS")
README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", sorted({event for event, _ in TABLE}))
def test_an_event_leads_where_the_table_says_or_is_refused(event: str, state: str) -> None:
    here = CrawlMachine(state)
    target = TABLE.get((event, state))
    if target is None:
        with pytest.raises(Bug):
            here.next(event)
        with pytest.raises(Bug):
            here.fire(event)
        assert here.state == state
    else:
        assert here.next(event) == target
        assert here.state == state, "asking moves nothing"
        here.fire(event)
        assert here.state == target


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("resume", STATES)
def test_quota_back_leads_from_sleep_to_where_the_sleep_began(resume: str, state: str) -> None:
    here = CrawlMachine(state)
    if state == "SLEEP" and resume in RESUMABLE:
        here.fire("quota_back", resume)
        assert here.state == resume
    else:
        with pytest.raises(Bug):
            here.fire("quota_back", resume)
        assert here.state == state


@pytest.mark.parametrize("state", STATES)
def test_an_event_that_does_not_exist_is_a_bug(state: str) -> None:
    with pytest.raises(Bug):
        CrawlMachine(state).fire("bored")


@pytest.mark.parametrize("name", ["", "taxonomy", "IMAGES", "SLEEP "])
def test_a_state_that_does_not_exist_is_refused_never_begun(name: str) -> None:
    with pytest.raises(ValueError, match="there is no state"):
        CrawlMachine(name)


def test_the_states_and_events_are_those_of_the_contract() -> None:
    assert tuple(state.name for state in machine.STATES) == STATES
    assert sorted({move.event for move in machine.MOVES}) == EVENTS


def test_two_machines_do_not_move_each_other() -> None:
    one, other = CrawlMachine("TAXONOMY"), CrawlMachine("TAXONOMY")
    one.fire("exhausted")
    assert (one.state, other.state) == ("BACKFILL", "TAXONOMY")


def test_the_diagram_shows_every_move_once() -> None:
    shown = re.findall(r"^ +(\w+) --> (\w+): (\w+)$", machine.diagram(), re.MULTILINE)
    expected = [(source, target, event) for (event, source), target in TABLE.items()]
    expected += [("SLEEP", state, "quota_back") for state in RESUMABLE]
    assert sorted(shown) == sorted(expected)


def test_the_diagram_in_the_readme_is_the_machine_s() -> None:
    if not README.exists():
        pytest.skip("There is no README.md yet.")
    shown = re.findall(r"```mermaid\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert machine.diagram().strip() in [text.strip() for text in shown]
