"""Mirrors: the same as the source when they end, and nothing deleted because a disk is away."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.clock import SystemClock
from runtime.errors import OperatorNeeded, UserMistake
from runtime.stop import Stop
from tests.upkeep.home import make_home, run
from upkeep import mirror_commands
from upkeep.mirror import Mirror, Mirrored, find_rsync
from upkeep.records import Records

LATER_NS = 4_000_000_000 * 10**9
Run = Callable[..., Mirrored]


@pytest.fixture(params=["by hand", "rsync"])
def mirror(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Mirrors tmp_path/source to tmp_path/target, as if all files were old."""
    rsync = find_rsync() if request.param == "rsync" else None
    if request.param == "rsync" and rsync is None:
        pytest.skip("rsync is not installed here")
    (tmp_path / "source").mkdir()
    stop = Stop(SystemClock(), ())
    made = Mirror(tmp_path / "source", tmp_path / "target", stop, rsync, lambda: LATER_NS)
    return made.run


def write(root: Path, name: str, text: str, moment: float = 1_700_000_000.0) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (moment, moment))
    return path


def content(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_a_mirror_has_what_the_source_has_and_nothing_else(mirror: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for name in ("a", "001/b c", "001/ü'\"\n", "002/003/d"):
        write(source, name, name)
    made = mirror()
    assert content(target) == content(source)
    assert (made.files, made.copied, made.deleted, made.digested) == (4, 4, 0, 4)
    write(source, "a", "changed", 1_700_000_500.0)
    shutil.rmtree(source / "002")
    write(source, "004/e", "new")
    made = mirror()
    assert content(target) == content(source)
    assert not (target / "002").exists()
    assert (made.copied, made.deleted) == (2, 1)
    assert mirror().copied == 0


def test_what_must_not_be_copied_as_a_file_is_left_out_and_left_alone(mirror: Run, tmp_path: Path) -> None:
    for name in ("db/x.db", "db/x.db-wal", "db/x.db-shm", "db/crawler.lock", "db/crawler.owner.json", ".aside/half"):
        write(tmp_path / "source", name, "live")
    write(tmp_path / "source", "db/qps.json", "5")
    write(tmp_path / "target", "db/x.db", "a sound copy")
    mirror()
    assert content(tmp_path / "target") == {"db/qps.json": "5", "db/x.db": "a sound copy"}


def test_a_source_that_is_suddenly_empty_deletes_nothing(mirror: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    write(source, "001/1.jpg", "picture")
    mirror()
    shutil.rmtree(source / "001")
    with pytest.raises(OperatorNeeded, match=r"1 of the 1 files .* are not in"):
        mirror()
    assert content(target) == {"001/1.jpg": "picture"}
    mirror(accept=True)
    assert content(target) == {}


def test_more_than_half_gone_at_once_needs_a_person(mirror: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for number in range(300):
        write(source, f"{number:03d}/{number}.jpg", str(number))
    mirror()
    for number in range(160):
        shutil.rmtree(source / f"{number:03d}")
    with pytest.raises(OperatorNeeded, match="160 of the 300 files"):
        mirror()
    assert len(content(target)) == 300


def test_bytes_that_rotted_in_the_mirror_are_found(mirror: Run, tmp_path: Path) -> None:
    for number in range(200):
        write(tmp_path / "source", f"{number}.tar", str(number))
    mirror()
    write(tmp_path / "target", "77.tar", "7?")
    with pytest.raises(OperatorNeeded, match=r"1 files .* are not as in .* 77\.tar"):
        mirror(full=True)


def test_what_was_changed_while_it_ran_is_for_the_next_time(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source, "old", "1")
    growing = write(source, "growing", "1", 1_800_000_000.0)

    class Growing(Mirror):
        def _compare(self, began_ns: int, full: bool, changed: int, gone: int) -> Mirrored:
            write(source, growing.name, "12", 1_800_000_001.0)
            return super()._compare(began_ns, full, changed, gone)

    made = Growing(source, tmp_path / "target", Stop(SystemClock(), ()), None, lambda: 1_800_000_000 * 10**9)
    assert made.run().digested == 1


trees = st.dictionaries(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(lambda parts: "/".join(f"d{p}" for p in parts) + "/f"),
    st.text("xy", max_size=3),
    max_size=8,
)


@settings(max_examples=60)
@given(trees, trees)
def test_any_tree_becomes_any_other(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, str], now: dict[str, str]
) -> None:
    root = tmp_path_factory.mktemp("trees")
    (root / "source").mkdir()
    for name, text in before.items():
        write(root / "target", name, text, 1_600_000_000.0)
    for name, text in now.items():
        write(root / "source", name, text)
    made = Mirror(root / "source", root / "target", Stop(SystemClock(), ()), None, lambda: LATER_NS)
    made.run(full=True, accept=True)
    assert content(root / "target") == now


# The command


def command(root: Path, tars: bool = False, full: bool = False, accept: bool = False, **told: str) -> str:
    return run(partial(mirror_commands.mirror, tars=tars, full=full, accept=accept), root, **told)


def test_without_a_folder_the_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="MIRROR_FOLDER is not set"):
        command(tmp_path)
    with pytest.raises(UserMistake, match="MIRROR_TARS_FOLDER is not set"):
        command(tmp_path, tars=True)


def test_data_and_primary_pictures_go_to_one_disk_and_shards_to_another(tmp_path: Path) -> None:
    root = tmp_path / "home"
    make_home(root)
    write(root / "images" / "imageprimary", "001/1001.jpg", "picture")
    write(root / "images" / "imageall_tars", "shard-0.tar", "shard")
    write(root / "images" / "imagedownload", "001/1.jpg", "raw")
    second, third = tmp_path / "second", tmp_path / "third"
    second.mkdir()
    third.mkdir()
    command(root, accept=True, MIRROR_FOLDER=str(second))
    command(root, tars=True, accept=True, MIRROR_TARS_FOLDER=str(third))
    assert {path.name for path in second.iterdir() if path.is_dir()} == {"data", "imageprimary"}
    assert [path.relative_to(third).as_posix() for path in third.rglob("*.*") if path.parent != third] == [
        "imageall_tars/shard-0.tar"
    ]
    with closing(sqlite3.connect(second / "data" / "db" / "etsy_data.db")) as database:
        assert database.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        assert database.execute("SELECT COUNT(*) FROM indexed_listings").fetchall() == [(400,)]


def test_a_database_that_has_not_changed_is_not_copied_again(tmp_path: Path) -> None:
    root, second = tmp_path / "home", tmp_path / "second"
    make_home(root)
    second.mkdir()
    command(root, accept=True, MIRROR_FOLDER=str(second))
    copy = second / "data" / "db" / "etsy_data.db"
    first = copy.stat().st_ino
    command(root, MIRROR_FOLDER=str(second))
    assert copy.stat().st_ino == first
    with closing(sqlite3.connect(root / "data" / "db" / "etsy_data.db")) as database:
        database.execute("UPDATE sync_state SET value = '{}' WHERE key = 'quota'")
        database.commit()
    command(root, MIRROR_FOLDER=str(second))
    assert copy.stat().st_ino != first


def test_a_mirror_that_failed_is_noted_with_the_moment_of_the_last_good_one(tmp_path: Path) -> None:
    root, second = tmp_path / "home", tmp_path / "second"
    rig = make_home(root)
    write(root / "images" / "imageprimary", "001/1001.jpg", "picture")
    second.mkdir()
    command(root, accept=True, MIRROR_FOLDER=str(second))
    good = Records(rig.home, "mirror").load()[str(second)]
    assert good.good_at and not good.trouble
    second.rename(tmp_path / "unplugged")
    with pytest.raises(OperatorNeeded, match="There is no folder"):
        command(root, MIRROR_FOLDER=str(second))
    bad = Records(rig.home, "mirror").load()[str(second)]
    assert bad.good_at == good.good_at and "There is no folder" in bad.trouble


def test_primary_pictures_that_are_away_are_not_taken_for_none(tmp_path: Path) -> None:
    root, second = tmp_path / "home", tmp_path / "second"
    make_home(root)
    write(root / "images" / "imageprimary", "001/1001.jpg", "picture")
    second.mkdir()
    command(root, accept=True, MIRROR_FOLDER=str(second))
    shutil.rmtree(root / "images" / "imageprimary")
    with pytest.raises(OperatorNeeded, match="imageprimary is not there, but mirrored"):
        command(root, MIRROR_FOLDER=str(second))
    assert (second / "imageprimary" / "001" / "1001.jpg").exists()
