"""Backups and mirrors of a home that is being crawled, and a new home made of one, as a person does it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.system.conftest import Build
from tests.system.process import FAST, SEARCH, START_SECONDS, Crawler, assert_same_end, assert_sound
from tests.upkeep.receiver import receiving

MARKET = {"listings": 2000, "shops": 20, "reviews_per_shop": 3.0}
"""Twenty pages of searches, and twenty batches between them: eight seconds at five calls a second."""


def start_slowly(build: Build, name: str) -> Crawler:
    crawler = build(name, MARKET, rate=5)
    crawler.start()
    crawler.wait_for_calls(3)
    return crawler


@pytest.mark.sqlite_only("the database is carried along as a file")
@pytest.mark.slow
def test_a_backup_made_under_a_crawl_and_restored_elsewhere_goes_on_to_the_same_end(build: Build) -> None:
    crawler = start_slowly(build, "crawl")
    before = len(crawler.sandbox.calls)
    made = crawler.run("backup")
    assert made.returncode == 0, made.stderr
    crawler.wait_for_calls(before + 1)  # the crawl goes on
    crawler.allow(FAST)
    crawler.crawl_to_sleep()
    # The same market at another address, and a home that knows nothing but what the backup holds.
    again = build("again", MARKET)
    shutil.rmtree(again.home / "data")
    told = again.run("restore-backup", str(crawler.home / "backups"))
    assert told.returncode == 0, told.stderr
    assert "The crawl stood in TAXONOMY, cycle 1." in told.stdout
    offset = again.position()["cursor"]["offset"]
    assert offset > 0
    again.allow(FAST)
    again.crawl_to_sleep()
    assert_same_end(crawler, again)
    searched = [int(call.params["offset"]) for call in again.calls(SEARCH)]
    assert min(searched, default=offset) >= offset, "what the backup had was searched again"


@pytest.mark.sqlite_only("the database is carried along as a file")
@pytest.mark.slow
def test_a_mirror_of_a_crawl_at_work_has_a_database_that_is_sound(build: Build, tmp_path: Path) -> None:
    folder = tmp_path / "second disk"
    folder.mkdir()
    crawler = start_slowly(build, "crawl")
    crawler.environment["MIRROR_FOLDER"] = str(folder)
    made = crawler.run("mirror", "--accept")
    assert made.returncode == 0, made.stderr
    before = len(crawler.sandbox.calls)
    crawler.wait_for_calls(before + 1)
    crawler.allow(FAST)
    crawler.crawl_to_sleep()
    assert crawler.run("mirror", "--full").returncode == 0
    there = build("there", MARKET)
    shutil.rmtree(there.home / "data")
    shutil.copytree(folder / "data", there.home / "data")
    assert_sound(there)
    assert_same_end(crawler, there)


def test_a_refused_key_ends_the_crawl_and_is_told_at_once(build: Build) -> None:
    with receiving() as receiver:
        crawler = build(ALERTS=receiver.address, MIN_FREE_GB="0", ETSY_API_KEY="wrongkey12345")
        crawler.start()
        assert crawler.wait_for_end(START_SECONDS) == 3
        assert len(receiver.heard) == 1
        assert "The crawl ended by itself" in receiver.bodies[0]
        assert "wrongkey12345" not in receiver.bodies[0]


def test_with_alerts_a_stop_takes_no_longer_and_tells_nobody(build: Build) -> None:
    with receiving() as receiver:
        crawler = build(rate=20, ALERTS=receiver.address)
        crawler.start()
        crawler.wait_for_calls(2)
        assert crawler.stop() == 0
        assert receiver.heard == []


def test_the_doctor_tries_the_key_with_one_call_and_finds_a_wrong_one(build: Build) -> None:
    crawler = build()
    told = crawler.run("doctor")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "key: Etsy takes it" in told.stdout
    assert [call.endpoint for call in crawler.sandbox.calls] == ["ping"]
    crawler.environment["ETSY_API_KEY"] = "wrongkey12345"
    told = crawler.run("doctor")
    assert told.returncode == 2
    assert "Etsy refuses it" in told.stdout and "wrongkey12345" not in told.stdout
