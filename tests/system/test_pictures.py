"""Pictures from the queue to shards and back, as a person runs it: real processes on one home."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from tests.pictures import troubles
from tests.system.conftest import TINY, Build
from tests.system.process import Crawler

MARKET: dict[str, Any] = {**TINY, "seed": 41, "distinct_pictures": 20, "dead_pictures": 0.0, "odd_formats": 0.0}
UNTRIED = "SELECT COUNT(*) FROM image_status WHERE download_done = 0"


def collected(build: Build, **settings: str) -> Crawler:
    """Return a crawler that has one cycle and all its pictures; later starts have the settings too."""
    crawler = build(market=MARKET)
    crawler.environment.update(settings)
    crawler.start()
    crawler.wait_for_state("SLEEP")
    crawler.wait_until("all pictures", lambda: crawler.rows(UNTRIED) == [(0,)])
    assert crawler.stop() == 0
    return crawler


def root(crawler: Crawler) -> Path:
    return crawler.home / "images" / "imagedownload"


def test_the_next_cycle_queues_lost_and_damaged_pictures_again_and_the_downloads_mend_them(build: Build) -> None:
    crawler = collected(build, CYCLE_DAYS="0.0001")
    ids = sorted({row[0] for row in crawler.rows("SELECT image_id FROM image_status")})
    gone, cut, flipped = ids[3], ids[10], ids[20]
    paths = {number: next(root(crawler).glob(f"*/{number}.*")) for number in (gone, cut, flipped)}
    before = {number: path.read_bytes() for number, path in paths.items()}
    paths[gone].unlink()
    os.truncate(paths[cut], 5_000)
    paths[flipped].write_bytes(before[flipped][:300] + b"?" + before[flipped][301:])
    asked = len(crawler.sandbox.picture_ids)
    crawler.start()
    crawler.wait_until("an audit with gaps", lambda: bool((crawler.state("audit") or {}).get("gaps")))
    crawler.wait_until(
        "the three again",
        lambda: {*crawler.sandbox.picture_ids[asked:]} >= {gone, cut, flipped} and crawler.rows(UNTRIED) == [(0,)],
    )
    assert crawler.stop() == 0
    assert sorted(crawler.sandbox.picture_ids[asked:]) == sorted([gone, cut, flipped])
    assert {number: path.read_bytes() for number, path in paths.items()} == before
    assert troubles(root(crawler), crawler.rows, crawler.sandbox) == []


def test_pictures_go_into_shards_and_show_the_primary_ones_and_the_audit_finds_all_of_it_well(build: Build) -> None:
    crawler = collected(build, ARCHIVE_RAW="1", SHARD_PICTURES="50")
    number = crawler.rows("SELECT COUNT(DISTINCT image_id) FROM image_status")[0][0]
    archived = crawler.run("archive")
    assert archived.returncode == 0, archived.stderr
    assert f"{number // 50} shards of 50 pictures written. {number % 50} downloaded pictures wait" in archived.stdout
    shards = sorted((crawler.home / "images" / "imageall_tars").glob("*.tar"))
    members = []
    for shard in shards:
        with tarfile.open(shard) as tar:
            members += tar.getnames()
    assert len(members) == len(set(members)) == number - number % 50
    loose = list(root(crawler).glob("*/*.jpg"))
    assert len(loose) == number % 50
    assert not {path.name for path in loose} & set(members)
    placed = crawler.run("primary")
    listings = crawler.rows("SELECT COUNT(*) FROM image_status WHERE is_primary = 1")[0][0]
    assert f"{listings} placed, 0 changed, 0 already there" in placed.stdout
    assert len(list((crawler.home / "images" / "imageprimary").glob("*/*.jpg"))) == listings
    verified = crawler.run("verify")
    assert "in sync" in verified.stdout, verified.stdout
    again = [crawler.run("archive").stdout, crawler.run("primary").stdout, crawler.run("download").stdout]
    assert f"{number % 50} downloaded pictures wait" in again[0]
    assert f"0 placed, 0 changed, {listings} already there" in again[1]
    assert "Nothing is left in the queue" in again[2]
    assert len(crawler.sandbox.picture_ids) == number


def test_a_shard_cut_by_a_power_failure_loses_no_more_than_its_end_and_that_comes_again(build: Build) -> None:
    crawler = collected(build, ARCHIVE_RAW="1", SHARD_PICTURES="50")
    crawler.run("archive")
    shard = sorted((crawler.home / "images" / "imageall_tars").glob("*.tar"))[0]
    os.truncate(shard, shard.stat().st_size * 3 // 5)
    verified = crawler.run("verify")
    assert "pictures damaged" in verified.stdout
    crawler.write("DELETE FROM sync_state WHERE key = 'audit'")
    asked = len(crawler.sandbox.picture_ids)
    crawler.environment["CYCLE_DAYS"] = "0.0001"
    position = {**crawler.position(), "cursor": {**crawler.position()["cursor"], "until": "2026-01-01T00:00:00Z"}}
    crawler.save_state("position", position)
    crawler.start()
    crawler.wait_until("an audit", lambda: bool(crawler.state("audit")))
    crawler.wait_until("all pictures", lambda: crawler.rows(UNTRIED) == [(0,)])
    assert crawler.stop() == 0
    again = len(crawler.sandbox.picture_ids) - asked
    assert 15 <= again <= 25
    assert "in sync" in crawler.run("verify").stdout


def test_a_shard_is_read_by_the_tools_of_others(build: Build) -> None:
    crawler = collected(build, ARCHIVE_RAW="1", SHARD_PICTURES="50")
    crawler.run("archive")
    shard = sorted((crawler.home / "images" / "imageall_tars").glob("*.tar"))[0]
    listed = subprocess.run(["tar", "tf", str(shard)], capture_output=True, text=True, check=True)
    assert len(listed.stdout.split()) == 50
    first = listed.stdout.split()[0]
    read = subprocess.run(["tar", "xOf", str(shard), first], capture_output=True, check=True)
    assert read.stdout[:2] == b"\xff\xd8" and read.stdout[-2:] == b"\xff\xd9"
