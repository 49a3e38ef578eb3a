"""Wrong settings, damaged files, a database that cannot be used: words, exit 2, nothing spoilt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.system.conftest import TINY, Build
from tests.system.process import KEYSTRING, SECRET, Crawler, snapshot
from tests.truth import differences


def assert_refused(crawler: Crawler, *signs: str, command: tuple[str, ...] = ()) -> None:
    """It ends with 2 and words that name all the signs, without a traceback and without a call."""
    calls = len(crawler.sandbox.calls)
    done = crawler.run(*command)
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2, told
    for sign in signs:
        assert sign in told
    assert "Traceback" not in told
    assert len(crawler.sandbox.calls) == calls


# Settings and edited files


def test_all_wrong_settings_are_told_at_once_and_no_secret_with_them(build: Build) -> None:
    crawler = build(
        ETSY_API_URL="not an address",
        DATABASE_URL="mysql://somebody:hush4711@host/db",
        TAXONOMY_IDS="967,chairs",
        CYCLE_DAYS="-1",
        DYNAMIC_MAX_AGE_DAYS="soon",
        DOWNLOAD_WORKERS="0",
    )
    (crawler.home / "settings.toml").write_text('MIN_FREE_GB = "lots"\nCYCLE_DAY = 3\n', encoding="utf-8")
    wrong = [name for name in crawler.environment if name in ("ETSY_API_URL", "DATABASE_URL", "TAXONOMY_IDS")]
    names = [*wrong, "CYCLE_DAYS", "DYNAMIC_MAX_AGE_DAYS", "DOWNLOAD_WORKERS", "MIN_FREE_GB"]
    assert_refused(crawler, *names, "CYCLE_DAY: there is no such setting; did you mean CYCLE_DAYS?")
    done = crawler.run()
    for secret in ("hush4711", KEYSTRING, SECRET):
        assert secret not in done.stdout + done.stderr
    assert not crawler.database.exists()


DAMAGED = {
    "settings.toml": ("settings.toml", b"CYCLE_DAYS = = 3\n"),
    "settings.toml, not UTF-8": ("settings.toml", b"\xff\xfe\x00C"),
    ".env, not UTF-8": (".env", b"\xff\xfe\x00C"),
    "qps, no JSON": ("data/db/qps_config.json", b'{"qps": 5'),
    "qps, zero": ("data/db/qps_config.json", b'{"qps": 0}'),
    "plan, no JSON": ("data/db/furniture_taxonomy_config.json", b'{"taxonomies": ['),
    "plan, falling": (
        "data/db/furniture_taxonomy_config.json",
        b'{"taxonomies": [{"id": 967, "name": "Furniture", "price_breaks": [0, 50, 20]}]}',
    ),
    "plan, another form": ("data/db/furniture_taxonomy_config.json", b'{"967": [0, 50]}'),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_named_and_left_as_it_is(build: Build, what: str) -> None:
    name, damaged = DAMAGED[what]
    crawler = build(market=TINY)
    path = crawler.home / name
    path.write_bytes(damaged)
    assert_refused(crawler, str(path))
    assert path.read_bytes() == damaged


# The database


def test_a_database_of_a_newer_version_is_refused_and_not_changed(copy: Crawler) -> None:
    copy.write("INSERT INTO schema_migration (name, applied) VALUES ('9999_from_the_future', '2030-01-01 00:00:00')")
    before = snapshot(copy)
    assert_refused(copy, "newer version", "9999_from_the_future", "Update the program")
    assert snapshot(copy) == before


@pytest.mark.sqlite_only("it is about the database's file")
@pytest.mark.parametrize("command", [(), ("status",), ("verify",)])
def test_a_file_that_is_no_database_is_refused_and_not_changed(build: Build, command: tuple[str, ...]) -> None:
    crawler = build(market=TINY)
    content = b"this is my diary\n" * 500
    crawler.database.write_bytes(content)
    assert_refused(crawler, str(crawler.database), "no SQLite database", command=command)
    assert crawler.database.read_bytes() == content


@pytest.mark.sqlite_only("it is about the database's file")
def test_a_database_cut_short_is_refused_in_words(copy: Crawler) -> None:
    whole = copy.database.read_bytes()
    copy.database.write_bytes(whole[: len(whole) // 2])
    assert_refused(copy, str(copy.database), "damaged")


POSITIONS: dict[str, Callable[[Any], Any]] = {
    "unknown state": lambda position: {**position, "state": "DREAMING"},
    "newer version": lambda position: {**position, "version": 2},
    "no JSON": lambda position: '{"state": "TAXO',
    "interval that is not there": lambda position: with_cursor(position, interval_id=4711),
    "other bounds": lambda position: with_cursor(position, min_price=12.5),
    "offset that is none": lambda position: with_cursor(position, offset="many"),
    "asleep until never": lambda position: {**position, "state": "SLEEP", "cursor": {"reason": "cycle"}},
    "asleep with nothing to go back to": lambda position: {
        **position,
        "state": "SLEEP",
        "cursor": {"reason": "quota", "until": "2020-01-01T00:00:00Z"},
    },
}


def with_cursor(position: Any, **changed: Any) -> Any:
    return {**position, "cursor": {**position["cursor"], **changed}}


@pytest.mark.parametrize("what", POSITIONS)
def test_a_position_that_makes_no_sense_is_refused_with_what_to_do_and_not_changed(copy: Crawler, what: str) -> None:
    copy.save_state("position", POSITIONS[what](copy.position()))
    before = snapshot(copy)
    assert_refused(copy, "`python run.py restore checkpoints/state-")
    assert snapshot(copy)["sync_state"] == before["sync_state"]
    assert not list((copy.home / "checkpoints").glob("state-*.json")), "a mistake of the data is no crash"


def test_a_dump_made_before_puts_a_spoilt_position_right(copy: Crawler) -> None:
    """What the refusal advises works."""
    position = copy.position()
    path = copy.run("dump").stdout.strip()
    copy.save_state("position", "no JSON at all")
    done = copy.run("restore", path)
    assert done.returncode == 0, done.stderr
    assert copy.position() == position
    copy.crawl_to_sleep()
    assert differences(copy.rows, copy.sandbox) == []
