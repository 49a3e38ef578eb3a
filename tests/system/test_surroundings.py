"""What happens around a crawl: a database held, damaged or lost, odd KILL files, a clock that cannot be right."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

import run
from tests.pictures import CHEAP, draw_ahead
from tests.rig import Rig
from tests.system.conftest import TINY, Build, builder
from tests.system.data_sets import Databases
from tests.system.disks import assert_goes_on_to_a_true_end, told
from tests.system.process import BATCH, FAST, START_SECONDS, STOP_SECONDS, UNHURRIED, Crawler, snapshot
from tests.truth import differences

HELD = "The database is held by another process; waiting for it."
HELD_SECONDS = 12.0
PAGE_BYTES = 4_096


def words_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed, as one line; it holds no traceback."""
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return " ".join((done.stdout + done.stderr).split())


def output_of(crawler: Crawler, life: int) -> str:
    return (crawler.folder / f"output-{life}.txt").read_text(encoding="utf-8")


def waits(crawler: Crawler, life: int) -> bool:
    return HELD in output_of(crawler, life)


# A database that another process holds


@contextmanager
def held(crawler: Crawler, how: str = "IMMEDIATE") -> Iterator[None]:
    """Hold the database's write lock, as another program would; EXCLUSIVE keeps readers away too."""
    with closing(sqlite3.connect(crawler.database, timeout=10, isolation_level=None)) as other:
        if how == "EXCLUSIVE":
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute(f"BEGIN {how}")
        yield
        other.execute("ROLLBACK")


@pytest.mark.sqlite_only("SQLite has one writer: it is about its lock")
def test_a_database_held_for_long_is_waited_for_and_no_call_is_made_twice(copy: Crawler) -> None:
    copy.start()
    copy.wait_for_calls(3)
    with held(copy):
        began, calls, before = time.monotonic(), len(copy.sandbox.calls), copy.position()
        copy.wait_until("it says that it waits", lambda: HELD in copy.output)
        copy.wait_until("more than two of SQLite's own waits", lambda: time.monotonic() - began > HELD_SECONDS)
        assert copy.position() == before
        assert len(copy.sandbox.calls) <= calls + 7, "it goes on to call, and can store nothing"
    copy.crawl_to_sleep()
    assert copy.output.count(HELD) <= 2, "it says so now and then, not all the time"
    assert differences(copy.rows, copy.sandbox) == []
    asked = [(call.endpoint, str(call.params)) for call in copy.calls()]
    assert len(asked) == len(set(asked))


@pytest.mark.sqlite_only("SQLite has one writer: it is about its lock")
def test_while_the_database_is_held_a_stop_is_obeyed_with_its_last_words(copy: Crawler) -> None:
    copy.start()
    copy.wait_for_calls(3)
    with held(copy):
        copy.wait_until("it says that it waits", lambda: HELD in copy.output)
        assert copy.stop() == 0, copy.output
    assert re.search(r"Stopped by the file KILL at TAXONOMY, .* \(cycle 1\)\.$", told(copy))
    assert_goes_on_to_a_true_end(copy)


@pytest.mark.sqlite_only("SQLite has one writer: it is about its lock")
@pytest.mark.parametrize("how", ["goes on", "is stopped"])
def test_a_database_held_while_it_is_set_up_is_waited_for_too(build: Build, how: str) -> None:
    crawler = build(market=TINY)
    with closing(sqlite3.connect(crawler.database)) as first:
        first.execute("PRAGMA journal_mode = wal")
    with held(crawler):
        crawler.start()
        crawler.wait_until("it says that it waits", lambda: HELD in crawler.output)
        if how == "is stopped":
            assert crawler.stop() == 0, crawler.output
            assert told(crawler).endswith("Stopped by the file KILL.")
    if how == "goes on":
        crawler.wait_for_state("SLEEP")
        assert crawler.stop() == 0
    assert_goes_on_to_a_true_end(crawler)


@pytest.mark.sqlite_only("SQLite has one writer: it is about its lock")
@pytest.mark.parametrize("how", ["released", "stopped"])
def test_every_other_command_waits_for_a_held_database_and_can_be_stopped(build: Build, how: str) -> None:
    """All at once: downloads, shards, primary pictures, and what shares the crawl's lock."""
    crawler = build(market=CHEAP, MIN_FREE_GB="0", ARCHIVE_RAW="1", SHARD_PICTURES="50")
    draw_ahead(crawler.sandbox)
    crawler.fill()
    assert crawler.run("download").returncode == 0
    crawler.write("UPDATE image_status SET download_done = 0 WHERE is_primary = 0 AND image_id % 3 = 0")
    ids = crawler.folder / "ids.txt"
    ids.write_text(str(next(iter(crawler.sandbox.truth().listings))), encoding="utf-8")
    commands = [["download"], ["archive"], ["primary"], ["sync", str(ids)]]
    first = crawler.lives + 1
    with held(crawler):
        processes = [crawler.spawn(*command) for command in commands]
        for life, command in enumerate(commands, first):
            crawler.wait_until(f"{command} says that it waits", partial(waits, crawler, life))
        if how == "stopped":
            (crawler.home / "KILL").touch()
            assert [process.wait(STOP_SECONDS) for process in processes] == [0, 0, 0, 0]
    if how == "stopped":
        assert not (crawler.home / "KILL").exists()
        processes = [crawler.spawn(*command) for command in commands]
    assert [process.wait(START_SECONDS) for process in processes] == [0, 0, 0, 0]
    assert "Traceback" not in "".join(output_of(crawler, life) for life in range(first, crawler.lives + 1))
    assert crawler.rows("SELECT COUNT(*) FROM image_status WHERE download_done = 0") == [(0,)]
    assert crawler.rows("SELECT COUNT(*) > 0 FROM image_status WHERE raw_shard IS NOT NULL") == [(1,)]
    assert crawler.rows("SELECT COUNT(*) > 0 FROM image_status WHERE in_primary = 1") == [(1,)]
    assert crawler.rows("SELECT COUNT(*) FROM listings_dynamic") == [(1,)]


@pytest.mark.sqlite_only("SQLite has one writer: it is about its lock")
def test_a_restore_waits_for_a_held_database(copy: Crawler) -> None:
    position, path = copy.position(), copy.run("dump").stdout.strip()
    copy.save_state("position", "rubbish")
    with held(copy):
        copy.start("restore", path)
        copy.wait_until("it says that it waits", lambda: HELD in copy.output)
    assert copy.wait_for_end() == 0, copy.output
    assert copy.position() == position


@pytest.mark.sqlite_only("SQLite has one writer: it is about its lock")
def test_a_database_that_another_program_keeps_even_readers_from_is_told_in_words(half_way: Crawler) -> None:
    with held(half_way, "EXCLUSIVE"), ThreadPoolExecutor() as threads:
        for done in threads.map(lambda command: half_way.run(*command), [(), ("status",), ("download",)]):
            assert done.returncode == 2
            assert "is held by another process" in words_of(done)
            assert "Close the other program, then start again." in words_of(done)


@pytest.mark.sqlite_only("SQLite has one writer: it is about its lock")
def test_no_step_leaves_a_read_open_that_would_keep_the_next_from_writing(tmp_path: Path) -> None:
    """SQLite refuses at once to write on top of a read that is older than somebody else's commit."""
    rig = Rig(tmp_path)
    rig.run_until("BACKFILL", most_steps=10)
    path, steps = rig.home.data / "etsy_data.db", []
    with closing(sqlite3.connect(path, timeout=0)) as other:
        advance = rig.clock.true.passed

        def look() -> None:
            advance()
            ((busy, _, _),) = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            steps.append(busy)

        rig.clock.true.passed = look
        rig.run_cycle()
    rig.close()
    assert len(steps) > 10
    assert not any(steps)


# A damaged database


@pytest.fixture(scope="module")
def well_on_home(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> Iterator[Crawler]:
    """A crawl that was stopped in TAXONOMY with rows in all tables but reviews; `well_on` is a copy for each test."""
    with builder(tmp_path_factory.mktemp("well-on"), databases) as build:
        crawler = build(rate=UNHURRIED)
        crawler.start()
        crawler.wait_until("a batch", lambda: len(crawler.calls(BATCH)) == 1)
        crawler.wait_for_calls(len(crawler.sandbox.calls) + 1)  # so the batch is stored
        assert crawler.stop() == 0
        assert crawler.position()["state"] == "TAXONOMY"
        yield crawler


@pytest.fixture
def well_on(build: Build, well_on_home: Crawler) -> Crawler:
    return build("copy", like=well_on_home)


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def root_page(crawler: Crawler, name: str) -> int:
    ((page,),) = crawler.rows("SELECT rootpage FROM sqlite_master WHERE name = ?", name)
    return int(page)


def spoil_header(crawler: Crawler) -> None:
    overwrite(crawler.database, 0, b"\x00" * 100)


def spoil_page_of_listings(crawler: Crawler) -> None:
    """Zero the page that holds a listing, which nothing reads before VERIFY."""
    ((address,),) = crawler.rows("SELECT url FROM listings ORDER BY listing_id LIMIT 1 OFFSET 40")
    place = crawler.database.read_bytes().index(address.encode())
    overwrite(crawler.database, place - place % PAGE_BYTES, b"\x00" * PAGE_BYTES)


def spoil_index(crawler: Crawler) -> None:
    """Spoil an index that the downloads alone use, in their thread."""
    overwrite(crawler.database, (root_page(crawler, "image_status_queued") - 1) * PAGE_BYTES, b"\xff" * 64)


def spoil_state(crawler: Crawler) -> None:
    overwrite(crawler.database, (root_page(crawler, "sync_state") - 1) * PAGE_BYTES, os.urandom(PAGE_BYTES))


DAMAGES: dict[str, tuple[Callable[[Crawler], None], str]] = {
    "header": (spoil_header, "is no SQLite database"),
    "page of listings": (spoil_page_of_listings, "is damaged"),
    "index": (spoil_index, "is damaged"),
    "sync_state": (spoil_state, "is damaged"),
}


@pytest.mark.sqlite_only("it is about the database's file")
@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_database_ends_in_words_and_what_they_advise_helps(well_on: Crawler, what: str) -> None:
    """It is no bug of ours, so there is no dump; a copy that is put back goes on, and so does a new beginning."""
    spoil, words = DAMAGES[what]
    kept = well_on.database.read_bytes()
    spoil(well_on)
    for _ in range(2):
        well_on.start()
        assert well_on.wait_for_end(START_SECONDS) == 2, well_on.output
        assert f"{well_on.database} {words}" in told(well_on)
        assert "Put a copy of it back, without the -wal and -shm files of this one; or, to begin anew," in told(well_on)
    assert not list((well_on.home / "checkpoints").glob("state-*.json"))
    for name in ("-wal", "-shm"):
        well_on.database.with_name(well_on.database.name + name).unlink(missing_ok=True)
    if what == "header":
        for name in ("data", "checkpoints", "images"):
            if (well_on.home / name).exists():
                (well_on.home / name).rename(well_on.folder / name)
    else:
        well_on.database.write_bytes(kept)
    assert_goes_on_to_a_true_end(well_on)


@pytest.mark.sqlite_only("it is about the database's file")
@pytest.mark.parametrize("command", ["download", "archive", "primary", "verify"])
def test_a_damaged_table_of_pictures_is_told_in_words_by_every_command(well_on: Crawler, command: str) -> None:
    overwrite(well_on.database, (root_page(well_on, "image_status") - 1) * PAGE_BYTES, b"\xff" * PAGE_BYTES)
    done = well_on.run(command)
    assert done.returncode == 2
    assert f"{well_on.database} is damaged" in words_of(done)


@pytest.mark.sqlite_only("it is about the database's file")
def test_a_log_of_commits_that_is_rubbish_costs_only_what_it_held(well_on: Crawler) -> None:
    well_on.start()
    well_on.wait_for_calls(4)
    well_on.kill()
    log = well_on.database.with_name("etsy_data.db-wal")
    log.write_bytes(os.urandom(log.stat().st_size))
    assert_goes_on_to_a_true_end(well_on)


# A lost database: never a silent new one


def lose(crawler: Crawler, how: str) -> None:
    crawler.database.unlink()
    if how == "0 bytes":
        crawler.database.touch()
    if how == "without tables":
        with closing(sqlite3.connect(crawler.database)) as empty:
            empty.execute("PRAGMA journal_mode = wal")


@pytest.mark.sqlite_only("it is about the database's file")
@pytest.mark.parametrize("how", ["gone", "0 bytes", "without tables"])
def test_a_home_that_was_crawled_and_has_lost_its_database_is_not_begun_anew_in_silence(
    copy: Crawler, how: str
) -> None:
    """By no command. Where the names that the refusal gives are moved away, as it says, it is begun anew."""
    dump = copy.run("dump").stdout.strip()
    lose(copy, how)
    kept = copy.database.read_bytes() if copy.database.exists() else None
    others = [("download",), ("archive",), ("primary",), ("restore", dump), ("status",)] if how == "gone" else []
    refused = [copy.run(*command) for command in [(), *others]]
    for done in refused:
        assert done.returncode == 2
        assert str(copy.database) in words_of(done) and "though this home was crawled before" in words_of(done)
        assert "Is its disk mounted? Put the database back" in words_of(done)
    assert (copy.database.read_bytes() if copy.database.exists() else None) == kept
    advice = re.search(r"to begin anew, move (.+) away\.", words_of(refused[0]))
    assert advice
    for number, name in enumerate(advice[1].split(" and ")):
        Path(name).rename(copy.folder / f"away-{number}")
    assert_goes_on_to_a_true_end(copy)


@pytest.mark.sqlite_only("it is about the database's file")
def test_a_log_of_commits_without_its_database_is_kept_for_whoever_puts_it_back(build: Build) -> None:
    """SQLite would delete it: to it, it is the rest of another file."""
    crawler = build(rate=20)
    crawler.start()
    crawler.wait_for_calls(4)
    crawler.kill()
    position, away = crawler.position(), crawler.folder / "etsy_data.db"
    crawler.database.rename(away)
    done = crawler.run()
    assert done.returncode == 2 and f"{crawler.database}-wal" in words_of(done)
    away.rename(crawler.database)
    assert crawler.position() == position
    crawler.allow(FAST)
    assert_goes_on_to_a_true_end(crawler)


@pytest.mark.sqlite_only("it is about the database's file")
def test_an_empty_file_without_a_trace_of_a_crawl_is_a_beginning(build: Build) -> None:
    """A kill right after SQLite made the file leaves it so."""
    crawler = build(market=TINY)
    crawler.database.touch()
    assert_goes_on_to_a_true_end(crawler)


@pytest.mark.sqlite_only("it is about the database's file")
def test_a_database_elsewhere_is_made_only_in_a_folder_that_is_there(build: Build, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    crawler = build(market=TINY, DATABASE_URL=f"sqlite:///{folder / 'market.db'}")
    done = crawler.run()
    assert done.returncode == 2
    assert f"There is no folder {folder}" in words_of(done) and "Is its disk mounted?" in words_of(done)
    assert not folder.exists()
    folder.mkdir()
    crawler.start()
    crawler.wait_until("it sleeps", lambda: "SLEEP" in crawler.output)
    assert crawler.stop() == 0
    assert (folder / "market.db").exists() and not crawler.database.exists()


# KILL files of another kind


def make_folder(path: Path) -> None:
    path.mkdir()


def make_full_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").touch()


def link_nowhere(path: Path) -> None:
    path.symlink_to("nowhere")


def link_to_folder(path: Path) -> None:
    path.symlink_to(path.parent / "data", target_is_directory=True)


@pytest.mark.parametrize("make", [make_folder, link_nowhere, link_to_folder])
def test_a_kill_file_that_is_a_folder_or_a_link_stops_and_is_removed(
    build: Build, make: Callable[[Path], None]
) -> None:
    crawler = build(market=TINY)
    make(crawler.home / "KILL")
    crawler.start()
    crawler.wait_for_state("SLEEP")
    make(crawler.home / "KILL")
    assert crawler.wait_for_end() == 0, crawler.output
    assert not os.path.lexists(crawler.home / "KILL")
    assert "Stopped by the file KILL at SLEEP" in told(crawler)
    assert crawler.position() is not None


def test_a_kill_folder_that_cannot_be_removed_stops_is_told_and_refuses_the_next_start(build: Build) -> None:
    """A start that would stop at once, with 0, again and again, would say nothing to whoever watches it."""
    crawler = build(market=TINY)
    crawler.start()
    crawler.wait_for_state("SLEEP")
    make_full_folder(crawler.home / "KILL")
    assert crawler.wait_for_end() == 0, crawler.output
    assert f"{crawler.home / 'KILL'} cannot be removed" in told(crawler)
    for command in ((), ("download",)):
        refused = crawler.run(*command)
        assert refused.returncode == 2
        assert "is older than this start and cannot be removed" in words_of(refused)
        assert "Remove it by hand, then start again." in words_of(refused)
    shutil.rmtree(crawler.home / "KILL")
    assert_goes_on_to_a_true_end(crawler)


def test_a_kill_dl_folder_that_cannot_be_removed_keeps_the_downloads_alone_from_beginning(build: Build) -> None:
    crawler = build(market=TINY)
    make_full_folder(crawler.home / "KILL_DL")
    assert_goes_on_to_a_true_end(crawler)
    assert f"{crawler.home / 'KILL_DL'} cannot be removed" in told(crawler)
    assert "Downloads stopped by the file KILL_DL; the crawl goes on." in told(crawler)
    assert crawler.sandbox.picture_ids == []


# The clock


@pytest.mark.parametrize("now", [0.0, 986_000_000.0])
@pytest.mark.parametrize("command", ["crawl", "sync", "download", "archive", "primary", "restore"])
def test_a_clock_that_cannot_be_right_is_refused_before_anything_is_written(
    half_way: Crawler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], now: float, command: str
) -> None:
    ids, dump = half_way.folder / "ids.txt", half_way.folder / "dump.json"
    ids.write_text("1\n", encoding="utf-8")
    dump.write_text(
        f'{{"position": {half_way.rows(STATE, "position")[0][0]}, '
        + '"cycle": {"number": 1, '
        + ('"started_at": "2026-11-20T00:00:00Z"}}'),
        encoding="utf-8",
    )
    files = {"sync": [str(ids)], "restore": [str(dump)]}
    before = snapshot(half_way), sorted(half_way.home.rglob("*"))
    for name, value in half_way.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(time, "time", lambda: now)
    assert run.main([] if command == "crawl" else [command, *files.get(command, [])]) == 2
    assert "The computer's clock says " in (words := capsys.readouterr().err)
    assert "Set the clock, then start again; nothing was changed." in words
    assert (snapshot(half_way), sorted(half_way.home.rglob("*"))) == before


STATE = "SELECT value FROM sync_state WHERE key = ?"
WRONG_CLOCK = "import sys, time; time.time = lambda: 5e8; import run; sys.exit(run.main(sys.argv[1:]))"


def test_a_real_start_in_1985_ends_with_2_and_with_the_clock_set_right_it_crawls(build: Build) -> None:
    crawler = build(market=TINY)
    program = crawler.program
    crawler.program = [sys.executable, "-c", WRONG_CLOCK]
    crawler.start()
    assert crawler.wait_for_end(START_SECONDS) == 2
    assert "The computer's clock says 1985-11-05T00:53:20Z, which cannot be" in told(crawler)
    assert not crawler.database.exists()
    crawler.program = program
    assert_goes_on_to_a_true_end(crawler)


# What deaths leave lying about


def test_what_deaths_left_half_written_long_ago_is_removed_at_the_next_start(build: Build) -> None:
    """What is younger may be at work: `run.py dump` writes beside a crawl."""
    crawler = build(market=TINY)
    old = crawler.data / ".furniture_taxonomy_ids.json.k2_x9abc"
    new, other = old.with_name(".qps_config.json.abcdefgh"), old.with_name(".notes.json")
    for path in (old, new, other):
        path.write_text("{", encoding="utf-8")
    for path in (old, other):
        os.utime(path, (time.time() - 200_000, time.time() - 200_000))
    assert_goes_on_to_a_true_end(crawler)
    assert [path.exists() for path in (old, new, other)] == [False, True, True]
