"""`run.py again` as a person types it: beside a crawl that runs, between two of them, and where there is nothing."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.answer import Answer, answer_error
from tests.system.conftest import Build
from tests.system.process import BATCH, START_SECONDS, Crawler, snapshot
from tests.system.test_surroundings import held, words_of
from tests.truth import differences

REVIEWS = "getReviewsByShop"
MOMENT = "2026-11-06T00:00:00Z"


class Desk:
    """Stands before the sandbox: refuses the first shop whose reviews are asked for, and lets the second wait."""

    def __init__(self, crawler: Crawler, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refused = ""
        self.opened = threading.Event()
        self._answer = crawler.sandbox.handle
        monkeypatch.setattr(crawler.sandbox, "handle", self._handle)

    def _handle(self, method: str, path: str, params: Mapping[str, str], *rest: Any) -> Answer:
        if path.endswith("/reviews") and not self.opened.is_set():
            shop = path.split("/")[-2]
            if self.refused in ("", shop):
                self.refused = shop
                self._answer(method, path, params, *rest)  # it counts as a call
                return answer_error(400, "Invalid shop")
            self.opened.wait(START_SECONDS)
        return self._answer(method, path, params, *rest)


def test_a_crawl_that_runs_reads_at_its_next_step_what_was_taken_up(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    crawler = build()
    desk = Desk(crawler, monkeypatch)
    crawler.start()
    crawler.wait_for_state("REVIEWS")
    query = "SELECT kind, item_id, attempts FROM failed_items"
    crawler.wait_until("a shop has failed", lambda: crawler.rows(query) != [])
    shop = desk.refused
    assert crawler.rows(query) == [("reviews", shop, 1)]
    done = crawler.run("again", "reviews", shop)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Due again, and read in this cycle: reviews {shop}.\n"
    assert crawler.rows(query) == [("reviews", shop, 1)]
    desk.opened.set()
    crawler.wait_for_state("SLEEP", reason="cycle")
    assert crawler.stop() == 0
    asked = [call.params["shop_id"] for call in crawler.calls(REVIEWS)]
    assert asked[0] == asked[2] == shop != asked[1], "not only at the end, where all that failed get a second chance"
    assert crawler.rows(query) == []
    assert crawler.position()["cycle"] == 1
    assert differences(crawler.rows, crawler.sandbox) == []


def note_failures(crawler: Crawler) -> int:
    """Have a wanted listing, one that no search showed, and an interval among what failed; return the first."""
    (listing_id,) = crawler.rows("SELECT MIN(listing_id) FROM indexed_listings WHERE wanted = 1")[0]
    crawler.write("UPDATE indexed_listings SET detail_cycle = 1 WHERE listing_id = ?", listing_id)
    columns = "kind, item_id, error, attempts, first_failed_at, last_failed_at"
    for kind, number in (("listing", listing_id), ("listing", 99), ("interval", 1)):
        values = (kind, str(number), "it is bad", 1, MOMENT, MOMENT)
        crawler.write(f"INSERT INTO failed_items ({columns}) VALUES (?, ?, ?, ?, ?, ?)", *values)
    return int(listing_id)


def test_without_a_name_all_that_failed_is_taken_up_and_each_is_told_of(copy: Crawler) -> None:
    listing_id = note_failures(copy)
    done = copy.run("again")
    assert (done.returncode, done.stderr) == (0, "")
    due, closed, stranger, hint = done.stdout.splitlines()
    assert due == f"Due again, and read in this cycle: listing {listing_id}."
    assert closed.startswith("Closed for this cycle: interval 1.")
    assert stranger.startswith("In no search so far") and stranger.endswith(": listing 99.")
    assert hint == "No crawl is running: `python run.py` starts it."
    copy.crawl_to_sleep()
    assert copy.rows("SELECT kind, item_id FROM failed_items ORDER BY 1") == [("interval", "1"), ("listing", "99")]
    batches = [call.params["listing_ids"].split(",") for call in copy.calls(BATCH)]
    (batch,) = [ids for ids in batches if str(listing_id) in ids]
    assert len(batch) > 1, "it came with others that were due, not alone after an audit"
    assert differences(copy.rows, copy.sandbox) == []


@pytest.mark.parametrize(
    ("words", "sign"),
    [
        (["listing", "98"], "listing 98 is not among what could not be read: nothing was changed."),
        (["chair", "99"], "Nothing of the kind 'chair' can fail. The kinds are listing, shop, images"),
        (["listing", "99; DROP TABLE failed_items"], "Which listing?"),
        (["listing"], "Which listing?"),
    ],
)
def test_what_did_not_fail_is_refused_and_nothing_is_changed(copy: Crawler, words: list[str], sign: str) -> None:
    note_failures(copy)
    before = snapshot(copy)
    done = copy.run("again", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert sign in done.stderr and "Traceback" not in done.stderr
    assert snapshot(copy) == before


def test_where_nothing_failed_it_says_so(half_way: Crawler) -> None:
    done = half_way.run("again")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Nothing is failed.\n", "")


def test_before_the_first_start_it_says_how_to_start_and_makes_no_database(build: Build) -> None:
    crawler = build()
    done = crawler.run("again")
    assert done.returncode == 2
    assert "`python run.py`" in done.stderr
    assert not crawler.database.exists()


@pytest.mark.sqlite_only("SQLite has one writer: it is about its lock")
def test_a_database_that_another_program_does_not_let_go_of_is_told_in_words(copy: Crawler) -> None:
    note_failures(copy)
    before = snapshot(copy)
    with held(copy):
        done = copy.run("again")
    assert done.returncode == 2
    assert "held by another process for 5 seconds; nothing was changed. Try again." in words_of(done)
    assert snapshot(copy) == before
