"""A whole crawl of answers of which many are spoilt: it ends, the rows agree, and the next cycle mends the rest."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from crawler.api.wire import WireAnswer, WireError
from crawler.store import audit
from runtime.errors import KeyRefused, UserMistake
from sandbox import Sandbox, SandboxSettings
from sandbox.taxonomy import DESCENDANTS, FURNITURE
from tests.fuzz.budget import CRAWLS, GIVEN, INPUTS, SEED
from tests.fuzz.mutants import broken, mutated
from tests.fuzz.odd import TEXTS
from tests.fuzz.shelf import assert_any_database_takes_it
from tests.fuzz.test_transport import ERRORS, HEADERS, STATUSES
from tests.fuzz.texts import written
from tests.rig import START, Rig, SandboxWire, VirtualClock
from tests.truth import COLLECTED_TABLES, is_wanted

MOST_CALLS = 3_000
MOST_STARTS = 30
SPOILT_SHARE, SPOILT_CALLS = 0.4, 400
"""How many of the answers are spoilt, and for how many calls: an outage ends, or nothing could be asked of its end."""


class SpoilingWire:
    """Passes on a sandbox's answers, some of them spoilt; the same seed spoils the same ones."""

    def __init__(self, wire: SandboxWire, seed: int) -> None:
        self._wire = wire
        self._rng = random.Random(seed)
        self.calls = self.spoilt = 0
        self.is_clean = False

    def get(self, path: str, params: Mapping[str, str]) -> WireAnswer:
        self.calls += 1
        assert self.calls < MOST_CALLS, "no end in sight"
        answer = self._wire.get(path, params)
        if self.is_clean or self.calls > SPOILT_CALLS or self._rng.random() > SPOILT_SHARE:
            return answer
        self.spoilt += 1
        return self._spoil(answer)

    def _spoil(self, answer: WireAnswer) -> WireAnswer:
        rng, kind = self._rng, self._rng.randrange(10)
        if kind == 0:
            raise WireError("nothing came")
        if kind == 1:
            return WireAnswer(rng.choice(STATUSES), answer.headers, rng.choice((answer.body, *ERRORS)))
        if kind == 2:
            odd = {rng.choice(HEADERS): rng.choice((*TEXTS, str(rng.randrange(10**6)))) for _ in range(2)}
            return WireAnswer(answer.status, {**answer.headers, **odd}, answer.body)
        if kind == 3:
            return WireAnswer(answer.status, answer.headers, broken(answer.body, rng.randrange(2**48), 2))
        payload = mutated(orjson.loads(answer.body), rng.randrange(2**48), rng.randint(1, 6))
        return WireAnswer(answer.status, answer.headers, written(payload))


@pytest.mark.parametrize("number", range(CRAWLS))
def test_a_crawl_of_spoilt_answers_ends_and_the_next_cycle_mends_what_they_spoilt(tmp_path: Path, number: int) -> None:
    seed = SEED + number if GIVEN else number
    clock = VirtualClock()
    market = SandboxSettings(seed=seed, listings=300, shops=12, reviews_per_shop=30.0, cap=100, epoch=int(START))
    rig = Rig(tmp_path / "home", Sandbox(market, clock=clock.true), clock)
    wire = SpoilingWire(rig.wire, seed)
    rig.wire = wire  # type: ignore[assignment]
    crawl(rig, 1)
    assert wire.spoilt > 0
    is_consistent(rig)
    wire.is_clean = True
    crawl(rig, 2)
    is_consistent(rig)
    is_up_to_date(rig)
    rig.close()
    INPUTS["answers within crawls"] += wire.spoilt


def crawl(rig: Rig, cycle: int) -> None:
    """Crawl to the cycle's end; what a person is told to mend ends the process, and the person starts it again."""
    for _ in range(MOST_STARTS):
        try:
            rig.run_cycle(cycle)
        except KeyRefused:
            continue  # a ping was refused too: that is what a refused key looks like
        except UserMistake as mistake:
            assert str(mistake).startswith("TAXONOMY_IDS names"), mistake
        else:
            return
    pytest.fail("the crawl does not get on")


def is_consistent(rig: Rig) -> None:
    assert rig.rows("PRAGMA foreign_key_check") == []
    assert rig.rows("PRAGMA integrity_check") == [("ok",)]
    assert not any(audit.check_orphans(name, 0, 10**6).strays for name in audit.ORPHANS)
    assert_any_database_takes_it(rig.rows)
    for table in COLLECTED_TABLES:
        keys = rig.rows(f"SELECT * FROM {table}")
        assert len(set(keys)) == len(keys), f"{table} has a row twice"


def is_up_to_date(rig: Rig) -> None:
    """Every wanted listing is known, and its latest row is true."""
    truth = rig.sandbox.truth()
    query = "SELECT listing_id, state, quantity, price_amount FROM listings_dynamic ORDER BY snapshot_timestamp"
    latest = {row[0]: row[1:] for row in rig.rows(query)}
    for listing_id, listing in truth.listings.items():
        in_search = listing["state"] == "active" and listing["taxonomy_id"] in DESCENDANTS[FURNITURE]
        if in_search and is_wanted(listing["when_made"]):
            true = (listing["state"], listing["quantity"], listing["price"]["amount"])
            assert latest.get(listing_id) == true, f"listing {listing_id}"
