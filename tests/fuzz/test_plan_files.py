"""The price breaks and the rate: any content makes sense, or is refused by name and left as it is."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example
from hypothesis import strategies as st

from crawler import plan
from crawler.api.client import Search, search_job
from crawler.api.limiter import Limiter, SlotFile
from crawler.plan_files import CONFIG, RATE, PlanFiles, RateFile
from runtime.errors import UserMistake
from runtime.stop import Stop
from sandbox import Sandbox, SandboxSettings
from tests.fuzz.budget import fuzz
from tests.fuzz.odd import made, values
from tests.fuzz.texts import files, written
from tests.rig import START, Rig, VirtualClock


def config(*breaks: Any, taxonomy_id: Any = 967) -> Any:
    return {"taxonomies": [{"id": taxonomy_id, "name": "Furniture", "price_breaks": list(breaks)}]}


TWO = {"taxonomies": [*config(0, 5.45, 20)["taxonomies"], *config(0.0, 100, taxonomy_id=968)["taxonomies"]]}
odd_breaks = made(lambda breaks: written(config(*breaks)), st.lists(values, max_size=5))
rising = made(
    lambda breaks: written(config(0, *sorted(breaks))),
    st.lists(st.floats(0, 1e6) | st.integers(0, 10**12), max_size=6, unique=True),
)


def plan_files(folder: Path) -> PlanFiles:
    return PlanFiles(folder, folder)


def asked_for(span: plan.Span) -> tuple[str | None, str | None]:
    """Return the lower and upper price as the search asks for them."""
    request, _ = search_job(Search(span.taxonomy_id, span.min_price, span.max_price, "desc", 0))
    query = dict(request.query)
    return query.get("min_price"), query.get("max_price")


@example(content=written(config(float("nan"))))
@example(content=written(config(0, 10**400)))
@example(content=written(config(0, 1e308)))
@example(content=written(config(5, 10)))
@example(content=written(config(0, 5.455, 5.458, 9)))
@example(content=written(config(0, 0.004)))
@example(content=written(config(False, True)))
@example(content=written(config(0, taxonomy_id=float("inf"))))
@example(content=written(config(0, taxonomy_id=True)))
@example(content=written({"taxonomies": config(0)["taxonomies"] * 2}))
@example(content=b'{"taxonomies": [{"id": 967, "price_breaks": "12345"}]}')
@example(content=b'{"taxonomies": [{"id": 967, "price_breaks": {"0": 1, "5": 1}}]}')
@example(content=b"[" * 100_000)
@fuzz("price intervals", content=st.one_of(files(config(0, 5.45, 20), TWO), odd_breaks, rising))
def test_price_breaks_give_intervals_without_gap_and_without_double_or_are_refused(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / CONFIG
    path.write_bytes(content)
    try:
        breaks = plan_files(tmp_path).load_breaks()
    except UserMistake as mistake:
        assert str(path) in mistake.words() and len(mistake.words()) < 1_000
        breaks = {}
    assert path.read_bytes() == content
    for taxonomy_id, found in breaks.items():
        spans = plan.spans_of_breaks(taxonomy_id, found)
        asked = [asked_for(span) for span in spans]
        assert asked[0][0] is None and asked[-1][1] is None, "what is cheaper or dearer would never be seen"
        assert all(low[1] == high[0] for low, high in itertools.pairwise(asked)), "what is between is lost"
        assert all(low != high for low, high in asked) or asked == [(None, None)], "an interval without width"
        assert len(set(asked)) == len(asked) <= 10_000


@pytest.mark.parametrize("number", [10_001, 300_000])
def test_more_intervals_than_a_day_has_calls_are_refused(tmp_path: Path, number: int) -> None:
    (tmp_path / CONFIG).write_bytes(written(config(*range(number))))
    with pytest.raises(UserMistake, match="more than 10,000"):
        plan_files(tmp_path).load_breaks()


@example(breaks=[0.0, 9e18], other=[12.5])
@fuzz("breaks written", breaks=st.lists(st.floats(-1e3, 1e19), max_size=30), other=st.lists(st.floats(0, 9e9)))
def test_what_a_cycle_ended_with_is_written_so_that_it_can_be_read(
    tmp_path: Path, breaks: list[float], other: list[float]
) -> None:
    made = plan_files(tmp_path)
    made.write_breaks({967: sorted(breaks), 968: sorted(other)}, {967: "Furniture"})
    found = made.load_breaks()
    assert set(found) == {967, 968}
    assert {round(price, 2) for price in breaks if 0 < price < 1e9} <= set(found[967])


def test_more_breaks_than_may_be_read_are_not_written(tmp_path: Path) -> None:
    made = plan_files(tmp_path)
    made.write_breaks({967: [float(number) for number in range(30_000)]}, {})
    found = made.load_breaks()[967]
    assert len(found) == 10_000 and (found[0], found[-1]) == (0.0, 29_997.0)


@example(content=b'{"qps": 1e-300}')
@example(content=b'{"qps": NaN}')
@example(content=b'{"qps": ' + b"9" * 4000 + b"}")
@example(content=b"[" * 100_000)
@example(content=b'{"qps": true}')
@fuzz("rate", content=files({"qps": 5}, {"qps": 0.5}) | made(lambda value: written({"qps": value}), values))
def test_a_rate_is_one_that_the_crawl_can_keep_or_is_refused_and_the_old_one_stays(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / RATE
    path.write_bytes(b'{"qps": 3}')
    running = RateFile(plan_files(tmp_path))
    path.unlink()
    path.write_bytes(content)
    try:
        rate = plan_files(tmp_path).load_rate()
        assert 0.01 <= rate <= 1000 and rate == json.loads(content)["qps"]
    except UserMistake as mistake:
        assert str(path) in mistake.words() and len(mistake.words()) < 1_000
        rate = 3.0
    assert running() == rate
    path.unlink()
    assert running() == rate, "a file that is gone changes nothing"


def test_a_rate_of_a_call_in_20_seconds_is_kept_by_all_who_share_the_key(tmp_path: Path) -> None:
    clock = VirtualClock()
    lines = [
        Limiter(clock, Stop(clock, ()), lambda: 0.05, slots)
        for slots in (SlotFile(tmp_path / "slots.json"), SlotFile(tmp_path / "slots.json"))
    ]
    moments = [line.wait_for_turn() for _ in range(4) for line in lines]
    assert all(later - earlier >= 20.0 for earlier, later in itertools.pairwise(moments)), moments


@pytest.mark.parametrize("state", ["TAXONOMY", "BACKFILL", "SLEEP"])
def test_price_breaks_edited_in_any_state_are_kept_and_the_next_cycle_starts_from_them(
    tmp_path: Path, state: str
) -> None:
    clock = VirtualClock()
    market = SandboxSettings(listings=120, shops=4, reviews_per_shop=4.0, cap=100, epoch=int(START))
    rig = Rig(tmp_path / "home", Sandbox(market, clock=clock.true), clock)
    rig.run_until("TAXONOMY")
    rig.start()._turn()  # the tree, then the plan
    rig.start()._turn()
    if state != "TAXONOMY":
        rig.run_until(state)
    path, edited = rig.home.data / CONFIG, written(config(0, 12, 34.5))
    path.write_bytes(edited)
    rig.run_until("SLEEP")
    assert json.loads(path.read_bytes()) == json.loads(edited)
    rig.run_cycle(2)
    planned = {row[0] for row in rig.rows("SELECT min_price FROM intervals WHERE cycle = 2")}
    assert {0.0, 12.0, 34.5} <= planned
    rig.close()
