"""Where answers are slow, calls are made ahead; all of them are needed, and the data set is the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from crawler.api import lookahead
from crawler.plan_files import PlanFiles
from sandbox import Sandbox, SandboxSettings
from tests.rig import Rig, VirtualClock
from tests.truth import COLLECTED_TABLES


class AheadRig(Rig):
    workers = 20


@pytest.fixture(autouse=True)
def side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the virtual clock, calls that are under way together take as long as one after the other."""
    monkeypatch.setattr(lookahead, "STALE_SECONDS", 1e9)


def crawled(kind: type[Rig], home: Path, latency: float, move_every: int = 0) -> Rig:
    clock = VirtualClock()
    market = SandboxSettings(
        listings=2_500, shops=30, reviews_per_shop=120.0, latency_seconds=latency, move_every=move_every
    )
    rig = kind(home, Sandbox(market, clock=clock.true), clock)
    rig.home.data.mkdir(parents=True)
    PlanFiles(rig.home.data, rig.home.checkpoints).write_breaks({967: [0.0, 80.0, 150.0, 300.0, 700.0]}, {})
    rig.run_cycle()
    return rig


def calls_of(rig: Rig) -> Counter[str]:
    return Counter(call.endpoint for call in rig.sandbox.calls)


@pytest.mark.parametrize("latency", [0.3, 1.0, 3.0])
def test_every_call_made_ahead_is_used(tmp_path: Path, latency: float) -> None:
    """Intervals that are split, shops with many pages of reviews, batches between: nothing is asked for in vain."""
    one, ahead = (crawled(kind, tmp_path / kind.__name__, latency) for kind in (Rig, AheadRig))
    assert calls_of(one)["getReviewsByShop"] > 40 and calls_of(one)["findAllListingsActive"] > 25
    asked = Counter((call.endpoint, *sorted(call.params.items())) for call in ahead.sandbox.calls)
    assert [call for call, times in asked.items() if times > 1] == []
    assert calls_of(ahead) == calls_of(one)
    for table in COLLECTED_TABLES:
        assert ahead.rows(f"SELECT COUNT(*) FROM {table}") == one.rows(f"SELECT COUNT(*) FROM {table}")
    one.close()
    ahead.close()


@pytest.mark.parametrize("latency", [0.3, 1.0])
def test_in_a_moving_market_few_calls_are_made_ahead_in_vain(tmp_path: Path, latency: float) -> None:
    """Pages lie elsewhere once the count has changed; here something moves in every interval that is walked."""
    one, ahead = (crawled(kind, tmp_path / kind.__name__, latency, move_every=20) for kind in (Rig, AheadRig))
    moved = calls_of(one).total() // 20
    assert calls_of(ahead).total() <= calls_of(one).total() + moved * 2 * (3 if latency < 1 else 6)
    one.close()
    ahead.close()
