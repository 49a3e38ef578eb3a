"""The forecast, held against what the cycle then took."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from crawler import look_commands
from crawler.api.quota import Quota
from crawler.forecast import KINDS, Forecast, Need, load_quota
from crawler.outcome import Outcome, Position
from crawler.survey import forecast, stand
from sandbox import Sandbox, SandboxSettings
from tests.rig import Rig, VirtualClock

DAY = 86_400.0


class ForecastRig(Rig):
    """Notes after every step what was foreseen, and how many calls had been made."""

    def __init__(self, home: Path, clock: VirtualClock, **market: Any) -> None:
        sandbox = Sandbox(SandboxSettings(**{"listings": 2_500, "shops": 60, **market}), clock=clock.true)
        super().__init__(home, sandbox, clock)
        self.told: list[tuple[Position, Forecast, int]] = []

    def _observe(self, position: Position, outcome: Outcome | None) -> None:
        now = self.clock.now()
        freshness = self.calling.context.freshness
        standing = stand(freshness, now)
        assert standing is not None
        told = forecast(standing, freshness, self.calling.ledger.quota, now)
        self.told.append((position, told, len(self.sandbox.calls)))
        super()._observe(position, outcome)


def in_cycle(rig: ForecastRig, cycle: int) -> list[tuple[Position, Forecast, int]]:
    """Return what was foreseen after each step of a cycle that had more to do."""
    return [told for told in rig.told if told[0].cycle == cycle and told[0].state != "SLEEP"]


def test_what_is_left_of_a_cycle_is_foreseen_within_a_tenth(tmp_path: Path) -> None:
    """From the first count on; the reviews, of which the first cycle reads all, within a third once they are read."""
    rig = ForecastRig(tmp_path / "home", VirtualClock(), reviews_per_shop=40.0, cap=400)
    for cycle in (1, 2):
        rig.run_cycle(cycle)
    for cycle in (1, 2):
        foreseen = in_cycle(rig, cycle)
        total = foreseen[-1][2]
        assert len(foreseen) > 40
        first_look = next(number for number, told in enumerate(foreseen) if told[1].left.searches)
        assert first_look < 5
        for position, told, made in foreseen[first_look:]:
            left = [KINDS.get(call.endpoint, "batches") for call in rig.sandbox.calls[made:total]]
            reviews = left.count("reviews")
            assert abs(told.left.calls - told.left.reviews - (len(left) - reviews)) <= max(5, len(left) / 10)
            if position.state == "REVIEWS":
                assert abs(told.left.reviews - reviews) <= max(5, reviews / 3)
    first = [KINDS.get(call.endpoint, "batches") for call in rig.sandbox.calls[: in_cycle(rig, 1)[-1][2]]]
    told = in_cycle(rig, 2)[0][1]
    assert told.last == Need(*(first.count(kind) for kind in ("searches", "batches", "reviews")))
    assert told.fits and not told.is_tight
    rig.close()


@pytest.mark.parametrize(("quota", "days"), [(6, 9), (20, 2)])
def test_when_the_days_calls_are_few_the_end_is_foreseen_to_a_quarter_of_an_hour(
    tmp_path: Path, quota: int, days: int
) -> None:
    """Calls come back a day after they were made: those of one quarter of an hour all in the same one."""
    rig = ForecastRig(tmp_path / "home", VirtualClock(), quota_per_day=quota, reviews_per_shop=2.0)
    rig.run_cycle(2)
    foreseen = [told for _, told, _ in in_cycle(rig, 2)]
    calls = [call.wall for call in rig.sandbox.calls]
    assert days - 1 < (calls[-1] - calls[-foreseen[0].left.calls]) / DAY < days + 1
    assert [told.left.calls for told in foreseen if abs(told.ends_at - calls[-1]) > 900] == []
    rig.close()


def test_a_cycle_that_is_longer_than_its_days_is_called_so(tmp_path: Path) -> None:
    rig = ForecastRig(tmp_path / "home", VirtualClock(), quota_per_day=6, reviews_per_shop=2.0)
    rig.run_cycle(2)
    at_start = in_cycle(rig, 2)[1][1]
    assert at_start.is_tight and not at_start.fits
    assert at_start.gives()[0].startswith("CYCLE_DAYS=")
    rig.close()


def forecast_of(last: Need, limit: int = 1_000) -> Forecast:
    return Forecast(Need(0, 0, 0), last, limit, False, 0.0, 0.0, cycle_days=7.0, max_age_days=7.0)


def test_what_would_have_to_give_is_told_where_a_cycle_has_more_calls_than_its_days() -> None:
    assert forecast_of(Need(3_000, 3_000, 1_000)).gives() == []
    assert forecast_of(Need(3_000, 3_000, 2_000)).gives() == [
        "CYCLE_DAYS=8: a cycle of 8 days has the calls for it.",
        "DYNAMIC_MAX_AGE_DAYS=14: each listing is read in every second cycle, 1,500 calls less.",
        "Reviews come last and are late by themselves: without them a cycle takes 6,000 calls.",
    ]
    assert forecast_of(Need(30_000, 30_000, 20)).gives() == [
        "CYCLE_DAYS=60.1: a cycle of 60.1 days has the calls for it."
    ]


def test_the_plan_is_printed_without_a_call(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "home")
    rig.run_until("REVIEWS")
    rig.close()
    calls, printed = len(rig.sandbox.calls), io.StringIO()
    assert look_commands.plan(rig.settings, Console(file=printed, width=160), as_json=False) == 0
    assert "to the cycle's end" in printed.getvalue() and "calls a day" in printed.getvalue()
    printed = io.StringIO()
    assert look_commands.plan(rig.settings, Console(file=printed, width=160), as_json=True) == 0
    told = json.loads(printed.getvalue())
    assert told["left"]["searches"] == 0 and told["left"]["reviews"] > 0
    assert len(rig.sandbox.calls) == calls


def test_without_a_word_from_the_server_a_new_key_s_limit_is_assumed_and_said(tmp_path: Path) -> None:
    rig = ForecastRig(tmp_path / "home", VirtualClock())
    rig.start()
    standing = stand(rig.calling.context.freshness, rig.clock.now())
    assert standing is not None and load_quota() == Quota()
    told = forecast(standing, rig.calling.context.freshness, Quota(), rig.clock.now())
    assert (told.limit, told.is_assumed) == (5_000, True)
    rig.close()
