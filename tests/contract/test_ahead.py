"""Where answers are slow, calls are made ahead; all of them are needed, and the data set is the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawler import checkpoint
from crawler.api import lookahead
from crawler.context import Context
from crawler.outcome import Position
from crawler.plan_files import PlanFiles
from crawler.states import backfill
from crawler.store import index, shops
from sandbox import Sandbox, SandboxSettings
from tests.rig import Rig, VirtualClock
from tests.truth import COLLECTED_TABLES


class AheadRig(Rig):
    workers = 20


@pytest.fixture(autouse=True)
def side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the virtual clock, calls that are under way together take as long as one after the other."""
    monkeypatch.setattr(lookahead, "STALE_SECONDS", 1e9)


def rig_of(kind: type[Rig], home: Path, latency: float, **market: Any) -> Rig:
    clock, usual = VirtualClock(), {"listings": 2_500, "shops": 30, "reviews_per_shop": 120.0}
    settings = SandboxSettings(**{**usual, **market}, latency_seconds=latency)
    rig = kind(home, Sandbox(settings, clock=clock.true), clock)
    rig.home.data.mkdir(parents=True)
    PlanFiles(rig.home.data, rig.home.checkpoints).write_breaks({967: [0.0, 80.0, 150.0, 300.0, 700.0]}, {})
    return rig


def crawled(kind: type[Rig], home: Path, latency: float, **market: Any) -> Rig:
    rig = rig_of(kind, home, latency, **market)
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


@pytest.mark.parametrize("quota", [150, 230])
def test_what_was_called_ahead_is_used_before_the_day_ends(tmp_path: Path, quota: int) -> None:
    """Shops with several pages of reviews lie before others whose first page was called ahead."""
    rig = crawled(AheadRig, tmp_path, 1.0, shops=100, reviews_per_shop=250.0, quota_per_day=quota)
    asked = Counter((call.endpoint, *sorted(call.params.items())) for call in rig.sandbox.calls)
    assert len(asked) > quota
    assert [call for call, times in asked.items() if times > 1] == []
    assert {call.status for call in rig.sandbox.calls} == {200}
    rig.close()


@pytest.mark.parametrize("latency", [0.3, 1.0])
def test_in_a_moving_market_few_calls_are_made_ahead_in_vain(tmp_path: Path, latency: float) -> None:
    """Pages lie elsewhere once the count has changed; here something moves in every interval that is walked."""
    one, ahead = (crawled(kind, tmp_path / kind.__name__, latency, move_every=20) for kind in (Rig, AheadRig))
    moved = calls_of(one).total() // 20
    assert calls_of(ahead).total() <= calls_of(one).total() + moved * 2 * (3 if latency < 1 else 6)
    one.close()
    ahead.close()


MANY_SHOPS = {"shops": 600, "reviews_per_shop": 3.0}


def shops_of_listings(rig: Rig) -> dict[int, int]:
    return dict(rig.rows("SELECT listing_id, shop_id FROM indexed_listings"))


def test_the_first_visits_are_named_with_the_last_batches(tmp_path: Path) -> None:
    """Those of shops whose figures are there already: the visits of all others wait until these are read."""
    rig = rig_of(AheadRig, tmp_path, 3.0, **MANY_SHOPS)

    def context() -> Context:
        return replace(rig.calling.context, cycle=checkpoint.load_cycle())

    def is_last_batch(position: Position) -> bool:
        return position.state == "BACKFILL" and index.due_count(context().due()) <= 100

    rig.run_to(is_last_batch)
    due_ids = index.due_seen(context().due(), 200)
    batch, *visits = [request for request, _ in backfill._ahead(due_ids, context())]
    coming = {shops_of_listings(rig)[listing_id] for listing_id in due_ids}
    named = [int(visit.path.split("/")[2]) for visit in visits]
    assert batch.endpoint == "getListingsByListingIds" and {visit.endpoint for visit in visits} == {"getReviewsByShop"}
    assert len(named) > 10 and not coming & set(named)
    reach = context().client.reach
    rig.run_until("REVIEWS")
    assert set(named) <= set(shops.due_reviews(1, "", 1 + reach))
    rig.close()


def test_none_is_named_while_others_are_due(tmp_path: Path) -> None:
    rig = rig_of(AheadRig, tmp_path, 3.0, **MANY_SHOPS)
    rig.run_until("BACKFILL")
    context = replace(rig.calling.context, cycle=checkpoint.load_cycle())
    due_ids = index.due_seen(context.due(), 10_000)
    assert len(due_ids) > 200
    assert {request.endpoint for request, _ in backfill._ahead(due_ids[:200], context)} == {"getListingsByListingIds"}
    rig.close()
