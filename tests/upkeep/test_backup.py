"""Backups: of one moment, checked, whole or not there, while the crawl goes on."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from runtime.clock import SystemClock
from runtime.errors import OperatorNeeded, Stopped, UserMistake
from runtime.parts import Parts
from runtime.settings import Home, Settings
from runtime.stop import Stop
from tests.deaths import dies_at
from tests.rig import Rig, VirtualClock
from tests.truth import differences
from tests.upkeep.home import FILES, VECTORS, make_home, run, settings_of
from upkeep import backup_commands
from upkeep.backup import Backup, originals
from upkeep.databases import copy_database
from upkeep.manifest import Manifest, backups_in, load_manifest
from upkeep.retention import Rule

HOUR = 3600.0
DATABASE = "data/db/etsy_data.db"


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that nobody may change."""
    root = tmp_path_factory.mktemp("crawled") / "home"
    make_home(root)
    return root


@pytest.fixture
def root(crawled: Path, tmp_path: Path) -> Iterator[Path]:
    """A home of the test's own."""
    yield Path(shutil.copytree(crawled, tmp_path / "home"))
    for path in tmp_path.rglob("backup-*"):  # pytest clears nothing read-only away
        for folder in [path, *path.rglob("*")]:
            if folder.is_dir():
                folder.chmod(0o755)


def backup(root: Path, accept: bool = False, **told: str) -> str:
    return run(partial(backup_commands.backup, accept=accept), root, **told)


def maker(root: Path, clock: VirtualClock, stop: Stop | None = None) -> Backup:
    """Return what makes backups in a folder without a mark, at the time of this clock."""
    stop = stop or Stop(clock, ())
    folder = root / "backups"
    folder.mkdir(exist_ok=True)
    parts = Parts(settings_of(root), Home(root), clock, stop, Console(quiet=True))
    return Backup(originals(parts), folder, clock, stop, Rule())


def restore(home: Path, folder: Path) -> str:
    home.mkdir(exist_ok=True)
    return run(partial(backup_commands.restore_backup, folder=folder), home)


def newest(folder: Path) -> Path:
    return list(backups_in(folder).values())[-1]


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as database:
        return database.execute(query).fetchall()


def test_a_backup_holds_databases_settings_and_vectors_each_with_its_digest(root: Path) -> None:
    told = backup(root)
    made = newest(root / "backups")
    assert str(made) in told
    manifest = load_manifest(made)
    assert {*FILES, DATABASE} <= set(manifest.files)
    assert {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()} == {
        *manifest.files,
        "manifest.json",
    }
    assert (
        manifest.rows[DATABASE]["indexed_listings"]
        == rows(made / DATABASE, "SELECT COUNT(*) FROM indexed_listings")[0][0]
        == 400
    )
    assert manifest.position["state"] == "REVIEWS"
    assert not [path for path in manifest.files if path.endswith((".lock", ".owner.json"))]


def test_a_backup_is_read_only_and_the_key_is_for_its_owner_alone(root: Path) -> None:
    backup(root)
    made = newest(root / "backups")
    assert {path.stat().st_mode & 0o222 for path in [made, *made.rglob("*")]} == {0}
    assert (made / ".env").stat().st_mode & 0o777 == 0o400


def test_what_has_not_changed_is_one_file_on_the_disk(root: Path) -> None:
    clock = VirtualClock()
    first = maker(root, clock).make().path
    with (root / VECTORS).open("a", encoding="utf-8") as file:
        file.write("more")
    clock.advance(2 * HOUR)
    made = maker(root, clock).make()
    assert made.linked == len(made.manifest.files) - 2  # the database and the vectors
    assert (made.path / ".env").samefile(first / ".env")
    assert not (made.path / VECTORS).samefile(first / VECTORS)
    assert (made.path / VECTORS).read_text(encoding="utf-8") == (root / VECTORS).read_text(encoding="utf-8")


def test_the_last_of_an_hour_takes_the_place_of_those_before(root: Path) -> None:
    clock = VirtualClock()
    maker(root, clock).make()
    clock.advance(1)
    made = maker(root, clock).make()
    assert made.removed == 1
    assert [path.name for path in (root / "backups").iterdir()] == [made.path.name]
    clock.advance(HOUR)
    assert maker(root, clock).make().removed == 0


def test_each_folder_gets_its_backup_though_another_is_not_there(root: Path, tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    folders = f"{tmp_path / 'unplugged'},{good}"
    with pytest.raises(OperatorNeeded, match=r"no folder .*unplugged.*Is its disk mounted"):
        backup(root, accept=True, BACKUP_FOLDERS=folders)
    assert len(backups_in(good)) == 1
    record = json.loads((root / "data" / "upkeep" / "backup.json").read_text(encoding="utf-8"))
    assert record[str(tmp_path / "unplugged")]["trouble"] and not record[str(good)]["trouble"]
    assert not (tmp_path / "unplugged").exists()


def test_a_folder_that_may_be_an_empty_mount_point_needs_a_person_once(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mount"
    folder.mkdir()
    with pytest.raises(OperatorNeeded, match=r"Is its disk mounted.*--accept"):
        backup(root, BACKUP_FOLDERS=str(folder))
    assert list(folder.iterdir()) == []
    backup(root, accept=True, BACKUP_FOLDERS=str(folder))
    backup(root, BACKUP_FOLDERS=str(folder))
    folder.rename(tmp_path / "unmounted")
    folder.mkdir()
    with pytest.raises(OperatorNeeded, match=r"used before, and its mark .* is gone"):
        backup(root, BACKUP_FOLDERS=str(folder))
    assert list(folder.iterdir()) == []


def test_a_folder_of_another_home_is_refused(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    backup(root, accept=True, BACKUP_FOLDERS=str(folder))
    other = Path(shutil.copytree(root, tmp_path / "other"))
    with pytest.raises(OperatorNeeded, match=f"marked as the backup of {root}"):
        backup(other, BACKUP_FOLDERS=str(folder))


def test_a_copy_made_under_a_writer_is_of_one_moment(root: Path, tmp_path: Path) -> None:
    source = root / DATABASE
    with closing(sqlite3.connect(source)) as database:
        database.execute("CREATE TABLE left (n INTEGER PRIMARY KEY, filler TEXT)")
        database.execute("CREATE TABLE right (n INTEGER PRIMARY KEY, filler TEXT)")
    ended, written = threading.Event(), threading.Event()
    numbers: list[int] = []

    def write() -> None:
        with closing(sqlite3.connect(source, isolation_level=None)) as database:
            while not ended.is_set():
                number = len(numbers)
                database.execute("BEGIN IMMEDIATE")
                for table in ("left", "right"):
                    database.execute(f"INSERT INTO {table} VALUES (?, ?)", (number, "x" * 2000))
                database.execute("COMMIT")
                numbers.append(number)
                written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert written.wait(20)
        clock = SystemClock()
        for copy in range(5):
            began = len(numbers)
            copy_database(source, tmp_path / f"{copy}.db", Stop(clock, ()))
            left, right = (rows(tmp_path / f"{copy}.db", f"SELECT n FROM {table}") for table in ("left", "right"))
            assert left == right == [(number,) for number in range(len(left))]
            assert began <= len(left)
    finally:
        ended.set()
        writer.join()
    assert len(numbers) > len(left), "the writer was held up until the copy was done"


def test_a_damaged_database_gives_no_backup(root: Path) -> None:
    path = root / DATABASE
    with path.open("r+b") as file:
        file.seek(200_000)
        file.write(b"\xff" * 20_000)
    with pytest.raises(OperatorNeeded, match="damaged"):
        backup(root)
    assert backups_in(root / "backups") == {}


def test_a_full_disk_is_told_before_anything_is_written(root: Path, tmp_path: Path) -> None:
    (root / VECTORS).parent.mkdir(exist_ok=True)
    with (root / VECTORS).open("wb") as file:
        file.truncate(1 << 43)  # a hole of 8 TB
    with pytest.raises(OperatorNeeded, match="GB free; a backup takes"):
        backup(root)
    assert backups_in(root / "backups") == {}


def test_a_stop_leaves_nothing_but_the_backups_that_were_there(root: Path) -> None:
    clock = VirtualClock()
    first = maker(root, clock).make().path
    clock.advance(HOUR)
    stopped = Stop(clock, ())
    stopped.ask("the test")
    with pytest.raises(Stopped):
        maker(root, clock, stopped).make()
    assert list((root / "backups").iterdir()) == [first]


@pytest.mark.parametrize("first", range(1, 12))
def test_killed_at_any_point_a_backup_is_whole_or_not_there(root: Path, tmp_path: Path, first: int) -> None:
    home = settings_of(root)
    backup(root)
    died = 0
    for event in range(first, 4000, 11):
        if not dies_at(event, lambda: backup_commands.backup(home, Console(quiet=True), False)):
            break
        died += 1
        for path in backups_in(root / "backups").values():
            assert_whole(path)
        assert backups_in(root / "backups")
    assert died > 5
    backup(root)
    assert not [path for path in (root / "backups").iterdir() if path.name.startswith((".un", ".go"))]


def assert_whole(path: Path) -> None:
    manifest = load_manifest(path)
    for name, kept in manifest.files.items():
        assert (path / name).stat().st_size == kept.size, name
    assert rows(path / DATABASE, "PRAGMA quick_check") == [("ok",)]


# Restoring


def test_a_restored_home_goes_on_and_ends_with_exactly_the_truth(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "home")
    rig.run_until("BACKFILL")
    rig.close()
    backup(rig.home.root)
    calls = len(rig.sandbox.calls)
    told = restore(tmp_path / "new", tmp_path / "home" / "backups")
    assert "The crawl stood in BACKFILL, cycle 1." in told
    again = Rig(tmp_path / "new", rig.sandbox, rig.clock)
    again.run_cycle()
    assert differences(again.rows, again.sandbox) == []
    after = [call.endpoint for call in again.sandbox.calls[calls:]]
    assert "findAllListingsActive" not in after, "what the backup had was asked for again"
    again.close()


def test_a_restore_brings_every_file_and_keeps_the_homes_own_settings(root: Path, tmp_path: Path) -> None:
    backup(root)
    home = tmp_path / "new"
    home.mkdir()
    (home / "settings.toml").write_text("cycle_days = 9\n", encoding="utf-8")
    restore(home, root / "backups")
    manifest = load_manifest(newest(root / "backups"))
    assert (home / "settings.toml").read_text(encoding="utf-8") == "cycle_days = 9\n"
    for name in set(manifest.files) - {"settings.toml"}:
        assert (home / name).read_bytes() == (newest(root / "backups") / name).read_bytes(), name
        assert os.access(home / name, os.W_OK)
    assert (home / ".env").stat().st_mode & 0o777 == 0o600
    assert not (home / ".restoring").exists()


def test_a_home_that_holds_data_is_left_as_it_is(root: Path, tmp_path: Path) -> None:
    backup(root)
    before = (root / DATABASE).read_bytes()
    with pytest.raises(UserMistake, match="This home has data already"):
        restore(root, root / "backups")
    assert (root / DATABASE).read_bytes() == before


@pytest.mark.parametrize("how", ["changed", "gone"])
def test_a_damaged_backup_is_refused_and_nothing_is_restored(root: Path, tmp_path: Path, how: str) -> None:
    backup(root)
    file = newest(root / "backups") / VECTORS
    file.parent.chmod(0o755)
    file.chmod(0o644)
    file.unlink() if how == "gone" else file.write_text("x" * file.stat().st_size, encoding="utf-8")
    with pytest.raises(OperatorNeeded, match=f"{file.name} is .*damaged"):
        restore(tmp_path / "new", root / "backups")
    assert not (tmp_path / "new" / DATABASE).exists()


@pytest.mark.parametrize("text", ["[]", '{"version": 1}', '{"version": 99}', "{", '{"files": {"../../x": {}}}'])
def test_a_manifest_that_makes_no_sense_is_refused_in_words(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "backup-20260101T000000Z"
    folder.mkdir()
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises((OperatorNeeded, UserMistake)):
        restore(tmp_path / "new", folder)


def test_a_manifest_names_nothing_outside_its_backup(root: Path, tmp_path: Path) -> None:
    backup(root)
    made = newest(root / "backups")
    told = json.loads((made / "manifest.json").read_text(encoding="utf-8"))
    told["files"]["../../outside"] = told["files"].pop(".env")
    for path in (made, made / "manifest.json"):
        path.chmod(0o755)
    (made / "manifest.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(OperatorNeeded, match="makes no sense"):
        restore(tmp_path / "new", made)


@pytest.mark.parametrize("first", range(1, 8))
def test_killed_at_any_point_a_restore_can_be_done_again(root: Path, tmp_path: Path, first: int) -> None:
    backup(root)
    home = tmp_path / "new"
    home.mkdir()
    told: Settings = settings_of(home)
    manifest: Manifest = load_manifest(newest(root / "backups"))
    died = 0
    for event in range(first, 4000, 7):
        if not dies_at(event, partial(backup_commands.restore_backup, told, Console(quiet=True), root / "backups")):
            break
        died += 1
        if (home / DATABASE).exists():
            break
    assert died > 5
    for name in manifest.files:
        assert (home / name).exists(), name
