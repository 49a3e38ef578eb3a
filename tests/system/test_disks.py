"""Disks that are read-only, or gone: words, exit 2, nothing lost, and the crawl goes on once that is mended."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pictures import CHEAP, draw_ahead, files, troubles
from tests.system.conftest import ON_POSTGRESQL, TINY, Build
from tests.system.disks import assert_goes_on_to_a_true_end, mounted, told
from tests.system.process import FAST, START_SECONDS, Crawler

GONE_SECONDS = 60.0  # at most, from the moment a disk has gone to the end of the process


# Read-only


def test_a_home_that_may_not_be_written_ends_with_2_and_words(build: Build) -> None:
    crawler = build(market=TINY)
    with mounted(crawler.home) as disk:
        crawler.data.mkdir(parents=True)
        crawler.allow(FAST)
        disk.change("ro")
        crawler.start()
        assert crawler.wait_for_end(START_SECONDS) == 2
        assert str(crawler.home) in told(crawler) and "Make its disk writable, then start again." in told(crawler)
        assert len(crawler.sandbox.calls) == 0


def test_a_home_on_a_read_only_disk_can_still_be_looked_at(build: Build) -> None:
    crawler = build(market=TINY)
    with mounted(crawler.home) as disk:
        crawler.data.mkdir(parents=True)
        crawler.allow(FAST)
        crawler.crawl_to_sleep()
        disk.change("ro")
        done = crawler.run("status", "--json")
        assert done.returncode == 0, done.stderr
        shown = json.loads(done.stdout)
        assert shown["position"]["state"] == "SLEEP"
        assert not shown["running"] and not shown["downloading"]


def test_data_that_may_not_be_written_is_named_by_each_command_and_once_it_may_the_crawl_goes_on(build: Build) -> None:
    crawler = build(market=TINY)
    with mounted(crawler.home / "data") as disk:
        crawler.data.mkdir(parents=True)
        crawler.allow(FAST)
        crawler.crawl_to_sleep()
        ids = crawler.folder / "ids.txt"
        ids.write_text("1\n", encoding="utf-8")
        dump = crawler.run("dump").stdout.strip()
        disk.change("ro")
        for command in ([], ["download"], ["archive"], ["primary"], ["sync", str(ids)], ["restore", dump]):
            crawler.start(*command)
            assert crawler.wait_for_end(START_SECONDS) == 2, crawler.output
            assert str(crawler.data) in told(crawler) and "Make its disk writable, then start again." in told(crawler)
        disk.change("rw")
        assert_goes_on_to_a_true_end(crawler)


def test_logs_that_cannot_be_written_are_told_and_do_not_stop_the_crawl(build: Build) -> None:
    crawler = build(market=TINY)
    with mounted(crawler.home / "logs") as disk:
        disk.change("ro")
        assert_goes_on_to_a_true_end(crawler)
        assert f"{crawler.home / 'logs'} cannot be written" in told(crawler)


def test_a_report_that_cannot_be_written_ends_with_2_and_a_dump_that_cannot_does_not(build: Build) -> None:
    """The crawl does not go on as if there were a report; a dump was only asked for."""
    crawler = build(rate=20)
    with mounted(crawler.home / "checkpoints") as disk:
        disk.change("ro")
        crawler.start()
        crawler.wait_for_calls(4)
        crawler.send(signal.SIGUSR1)
        crawler.wait_until("it says why there is no dump", lambda: "No dump: " in crawler.output)
        crawler.allow(FAST)
        assert crawler.wait_for_end(START_SECONDS) == 2
        assert str(crawler.home / "checkpoints") in told(crawler) and "Make its disk writable" in told(crawler)
        assert crawler.position()["state"] == "VERIFY"
        disk.change("rw")
        assert_goes_on_to_a_true_end(crawler)


# Gone


def assert_ends_once_its_home_is_gone(crawler: Crawler, take_away: Callable[[], object]) -> None:
    take_away()
    assert crawler.wait_for_end(GONE_SECONDS) == 2, crawler.output
    assert str(crawler.data) in told(crawler)
    assert "s its disk mounted?" in told(crawler) and "then start again" in told(crawler)


def assert_not_begun_anew(crawler: Crawler) -> None:
    refused = crawler.run()
    assert refused.returncode == 2 and "there is no such folder. Is its disk mounted?" in refused.stderr
    assert not crawler.home.exists()


@pytest.mark.parametrize("when", ["at work", "asleep"])
def test_a_home_that_is_moved_away_ends_the_crawl_which_makes_nothing_in_its_place(build: Build, when: str) -> None:
    """Its files are open and could be written for long, unseen by anybody who looks for them where they were."""
    crawler = build(market=TINY if when == "asleep" else None, rate=20)
    away = crawler.folder / "elsewhere"
    crawler.start()
    if when == "asleep":
        crawler.wait_for_state("SLEEP")
    else:
        crawler.wait_for_calls(6)
    assert_ends_once_its_home_is_gone(crawler, lambda: crawler.home.rename(away))
    assert_not_begun_anew(crawler)
    away.rename(crawler.home)
    crawler.allow(FAST)
    assert_goes_on_to_a_true_end(crawler)


def test_a_home_that_is_moved_away_ends_the_downloads_and_no_picture_is_lost(build: Build) -> None:
    crawler = build(market={**CHEAP, "picture_latency_seconds": 0.1}, MIN_FREE_GB="0")
    draw_ahead(crawler.sandbox)
    away = crawler.folder / "elsewhere"
    ids = {picture.image_id for picture in crawler.fill()}
    crawler.start("download")
    crawler.wait_until("it asks for pictures", lambda: len(crawler.sandbox.picture_ids) > 20)
    assert_ends_once_its_home_is_gone(crawler, lambda: crawler.home.rename(away))
    assert_not_begun_anew(crawler)
    away.rename(crawler.home)
    crawler.start("download")
    assert crawler.wait_for_end(START_SECONDS) == 0, crawler.output
    store = crawler.home / "images" / "imagedownload"
    assert troubles(store, crawler.rows, crawler.sandbox) == []
    assert set(files(store)) == ids


@pytest.mark.parametrize("what", [".", "data"])
def test_a_disk_that_is_unmounted_ends_the_crawl_which_writes_nothing_in_its_place(
    build: Build, tmp_path: Path, what: str
) -> None:
    """What is left is the empty folder that it was mounted on; without its data a home is not begun anew."""
    crawler = build(rate=20)
    place, store = crawler.home / what, tmp_path / "store"
    shutil.move(place, store)
    with mounted(place, store=store) as disk:
        crawler.start()
        crawler.wait_for_state("REVIEWS")
        assert_ends_once_its_home_is_gone(crawler, disk.take_away)
        assert list(place.iterdir()) == []
        if what == "data" and not ON_POSTGRESQL:  # a server's database is where it was
            crawler.start()
            assert crawler.wait_for_end(START_SECONDS) == 2
            assert "There is no database at" in told(crawler) and "was crawled before" in told(crawler)
    with mounted(place, store=store):
        crawler.allow(FAST)
        assert_goes_on_to_a_true_end(crawler)
