"""Whatever stands in sync_state: where the crawl stands is refused with what to do, what it knows is learnt anew."""

from __future__ import annotations

import io
import itertools
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from rich.console import Console

from crawler import commands, look_commands
from crawler.outcome import Outcome, Position
from crawler.store import state
from runtime.errors import UserMistake
from sandbox import Sandbox, SandboxSettings
from tests.rig import Rig, VirtualClock
from tests.simulation.counts import note_count
from tests.system.disks import assert_goes_on_to_a_true_end, told
from tests.system.process import Crawler, snapshot

PLACE, KNOWLEDGE = (
    ("position", "position", "cycle"),
    ("taxonomy", "search_cap", "quota", "breaks", "trouble", "audit", "pictures"),
)
ODD_TEXTS = ("", "{", "null", "NaN", "1e999", '"x"', "[]", "{}", "true", "-1", "1" * 400, "[" * 100_000, '{"a": 1')
AT = "2026-11-20T00:00:00Z"
LEARNT: dict[str, Any] = {
    "search_cap": 12_000,
    "trouble": {"error": "the server hiccups", "at": AT, "attempts": 2},
    "pictures": {"at": AT, "per_second": 3.5, "held": ""},
}
ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([[], {}, [[]], {"a": []}, "2026-13-40T99:00:00Z", "9999-12-31T23:59:59Z", "TAXONOMY", "SLEEP"]),
)


Draw = Callable[[st.SearchStrategy[Any]], Any]
THOROUGH = settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MORE_THOROUGH = settings(THOROUGH, max_examples=120)
MOST_STEPS, LONGEST_WORDS = 3, 600


class Template:
    """A home half way through a cycle, from which each example starts anew, with a market that stands still."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = VirtualClock()
        self.sandbox = Sandbox(SandboxSettings(seed=5, listings=150, shops=5), clock=self.clock.true)
        self.copies = itertools.count()
        self.values: dict[str, dict[str, str]] = {}

    def make(self, state_name: str) -> None:
        rig = Rig(self.home / state_name, self.sandbox, self.clock)
        rig.run_until(state_name, most_steps=400)
        for key, value in LEARNT.items():
            state.save(key, value)
        state.save("audit", {"finished_at": AT, "in_sync": True})
        rig.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        self.values[state_name] = dict(rig.rows("SELECT key, value FROM sync_state"))
        rig.close()

    def spoilt(self, state_name: str, key: str, value: str | bytes) -> Rig:
        """Return a rig on a copy in which this stands under the key."""
        home = self.home / f"copy-{next(self.copies)}"
        shutil.copytree(self.home / state_name, home)
        with closing(sqlite3.connect(home / "data" / "db" / "etsy_data.db")) as database, database:
            database.execute("INSERT OR REPLACE INTO sync_state (key, value) VALUES (?, ?)", (key, value))
        return Rig(home, self.sandbox, self.clock)


STATES = ("TAXONOMY", "VERIFY", "REVIEWS", "SLEEP")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    made = Template(tmp_path_factory.mktemp("template"))
    for name in STATES:
        made.make(name)
    yield made
    note_count("sync_state", f"{next(made.copies)} kinds of rubbish, each met by four commands and the crawl")


def spoilt_value(draw: Draw, values: Mapping[str, str], key: str) -> str | bytes:
    """Draw something odd for a key: rubbish, or its own value with a part lost or replaced."""
    if draw(st.integers(0, 4)) == 0:
        odd: str | bytes = draw(st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=20), st.binary(max_size=6)))
        return odd
    root = {"": json.loads(values[key])}
    places = list(inside(root))
    holder, name = draw(st.sampled_from(places))
    if isinstance(holder, dict) and name and draw(st.booleans()):
        del holder[name]
    else:
        holder[name] = draw(ODD)
    return json.dumps(root[""])


def inside(holder: Any) -> Iterator[tuple[Any, Any]]:
    """Return every place in a JSON value, as what holds it and the name or number there; few of long lists."""
    names = list(holder) if isinstance(holder, dict) else list(range(min(3, len(holder))))
    for name in names:
        yield holder, name
        if isinstance(holder[name], dict | list):
            yield from inside(holder[name])


def look_at(rig: Rig) -> None:
    """Run every command that only looks, in this process."""
    console = Console(file=io.StringIO(), width=200)
    look_commands.status(rig.settings, console, as_json=True)
    look_commands.status(rig.settings, console, as_json=False)
    commands.dump(rig.settings, console)
    commands.verify(rig.settings, console, {})


def crawl_on(rig: Rig) -> None:
    """Crawl for some steps."""
    steps = itertools.count(1)

    def observe(position: Position, outcome: Outcome | None) -> None:
        if next(steps) >= MOST_STEPS:
            rig.stop.ask("the test")

    rig._observe_now = observe
    rig.start().run()


@THOROUGH
@given(st.data())
def test_what_the_crawl_knows_may_be_rubbish_and_is_learnt_anew(template: Template, data: st.DataObject) -> None:
    place, key = data.draw(st.sampled_from(STATES)), data.draw(st.sampled_from(KNOWLEDGE))
    rig = template.spoilt(place, key, spoilt_value(data.draw, template.values[place], key))
    look_at(rig)
    crawl_on(rig)
    assert state.rubbish_keys() == []
    rig.close()


@MORE_THOROUGH
@given(st.data())
def test_where_the_crawl_stands_is_refused_with_what_to_do_where_it_makes_no_sense(
    template: Template, data: st.DataObject
) -> None:
    """Or it makes sense, and the crawl goes on from there. A refusal changes nothing."""
    place, key = data.draw(st.sampled_from(STATES)), data.draw(st.sampled_from(PLACE))
    rig = template.spoilt(place, key, spoilt_value(data.draw, template.values[place], key))
    before = stored(rig)
    for attempt in (look_at, crawl_on):
        try:
            attempt(rig)
        except UserMistake as mistake:
            event("refused")
            assert "`python run.py restore checkpoints/state-" in mistake.advice, mistake.words()
            assert len(mistake.words()) < LONGEST_WORDS
            if attempt is look_at:
                assert stored(rig) == before
    rig.close()


def stored(rig: Rig) -> list[Any]:
    with closing(sqlite3.connect(rig.home.data / "etsy_data.db")) as database:
        return database.execute("SELECT * FROM sync_state ORDER BY key").fetchall()


@pytest.mark.parametrize("lost", ["'position'", "'cycle'", "'position', 'cycle'"])
def test_a_crawl_whose_place_is_lost_does_not_begin_anew_and_a_dump_puts_it_back(copy: Crawler, lost: str) -> None:
    path = copy.run("dump").stdout.strip()
    copy.write(f"DELETE FROM sync_state WHERE key IN ({lost})")
    before = snapshot(copy)
    done = copy.run()
    assert done.returncode == 2
    assert "in sync_state cannot be used" in done.stderr and "`python run.py restore" in done.stderr
    assert snapshot(copy) == before
    assert copy.run("restore", path).returncode == 0
    assert_goes_on_to_a_true_end(copy)


def test_all_that_the_crawl_knows_may_be_rubbish_at_once_which_is_told_and_learnt_anew(copy: Crawler) -> None:
    for key in KNOWLEDGE:
        copy.save_state(key, '{"rubbish": [')
    for command in (["status"], ["status", "--json"], ["dump"], ["verify"]):
        done = copy.run(*command)
        assert (done.returncode, done.stderr) == (0, "")
    assert_goes_on_to_a_true_end(copy)
    assert f"What sync_state said of {', '.join(KNOWLEDGE)} made no sense and is learnt anew." in told(copy)
    assert copy.state("quota")["limit"] == 100
