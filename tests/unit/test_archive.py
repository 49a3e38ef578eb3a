"""Archiving: every picture is in one place, its row leads there, and no kill changes that."""

from __future__ import annotations

import logging
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import Database
from rich.console import Console

from imaging import archive_commands
from imaging.archive import Archive, Archived, Archiver, give_up, recover
from imaging.check import digest_of
from imaging.layout import EXTENSIONS, Layout, Store
from imaging.shards import PICTURES, RAW, ShardReader, shard_name, shards_in
from imaging.store import archiving
from imaging.store.archiving import KINDS
from models import CRAWLER_MODELS, MIGRATIONS, ImageStatus, Listing, Shop
from runtime.clock import SystemClock, iso
from runtime.database import open_database
from runtime.errors import OperatorNeeded, Stopped
from runtime.instance import single_instance
from runtime.settings import Settings
from runtime.stop import Stop
from tests.rig import VirtualClock

ROOT = Path(__file__).parents[2]
AT = 1_794_000_000
FORMATS = ("jpeg", "png", "gif", "webp")
HEADS = {"jpeg": b"\xff\xd8\xff\xe0", "png": b"\x89PNG\r\n\x1a\n", "gif": b"GIF89a", "webp": b"RIFF\0\0\0\0WEBPVP8 "}
PLACES = ((RAW, "raw_shard", "download_done = 1"), (PICTURES, "shard", "bg_removed = 1"))
KILL_DRIVER = """
import sys, pathlib
from tests.unit import {module}
print({module}.kill_everywhere(pathlib.Path(sys.argv[1])))
"""


def body_of(image_id: int, kind: str = RAW) -> bytes:
    return HEADS[format_of(image_id)] + random.Random(f"{image_id}{kind}").randbytes(20 + image_id % 1000)


def format_of(image_id: int) -> str:
    return FORMATS[image_id % 1000 % 4]


class World:
    """One home: its database, its pictures, and what can be asked of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.layout = Layout(root / "images")
        self.stop = Stop(VirtualClock(), (root / "KILL",))
        self.database = self.open()

    def open(self) -> Database:
        self.database = open_database("sqlite:///data/db/etsy_data.db", self.root, CRAWLER_MODELS, MIGRATIONS)
        # A kill loses nothing that was written, synced or not.
        self.rows_of("PRAGMA synchronous = off")
        return self.database

    def close(self) -> None:
        self.database.close()

    def add(self, image_id: int, listing_id: int = 0, **columns: Any) -> None:
        """Add a picture's row: downloaded, with no file yet."""
        listing_id = listing_id or image_id
        named = {"listing_id": listing_id, "snapshot_timestamp": iso(AT), "shop": 1}
        Shop.insert(shop_id=1).on_conflict_ignore().execute()
        Listing.insert(**named, tags="", materials="", production_partners="").on_conflict_ignore().execute()
        body = body_of(image_id)
        facts = {
            "download_done": 1,
            "outcome": "done",
            "format": format_of(image_id),
            "size_bytes": len(body),
            "digest": digest_of(body),
            "downloaded_at": iso(AT),
        }
        row = {"listing": listing_id, "image_id": image_id, "shop_id": 1, "hex": "ab", "suffix": "x1", "is_primary": 1}
        ImageStatus.insert({**row, **facts, **columns}).execute()

    def downloaded(self, *image_ids: int, **columns: Any) -> None:
        """Add pictures as the downloads leave them."""
        with self.database.atomic():
            for image_id in image_ids:
                self.add(image_id, **columns)
                self.put(self.layout.downloaded, image_id, body_of(image_id))

    def background_free(self, *image_ids: int) -> None:
        """Add pictures as the removal of backgrounds leaves them."""
        with self.database.atomic():
            for image_id in image_ids:
                self.add(image_id, bg_removed=1)
                self.put(self.layout.downloaded, image_id, body_of(image_id))
                self.put(self.layout.background_free, image_id, body_of(image_id, PICTURES))

    def put(self, store: Store, image_id: int, body: bytes) -> None:
        path = store.path(image_id, format_of(image_id))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        os.utime(path, (AT, AT))

    @property
    def archive(self) -> Archive:
        return Archive(self.database, self.stop, self.layout, ShardReader(self.layout.shards))

    def run(
        self,
        shard_pictures: int = 5,
        with_raw: bool = True,
        min_free_gb: float = 0,
        observe: Callable[[Archived, str], None] = lambda done, shard: None,
    ) -> Archived:
        kinds = [KINDS[PICTURES], *([KINDS[RAW]] if with_raw else [])]
        archiver = Archiver(self.archive, kinds, shard_pictures, min_free_gb, observe)
        archiver.run()
        return archiver.done

    def rows(self, columns: str, where: str = "1 = 1") -> list[tuple[Any, ...]]:
        return self.rows_of(f"SELECT {columns} FROM image_status WHERE {where} ORDER BY listing_id, image_id")

    def rows_of(self, statement: str) -> list[tuple[Any, ...]]:
        execute: Any = self.database.execute_sql
        return list(execute(statement).fetchall())

    def loose(self, kind: str = RAW) -> list[int]:
        store = self.layout.downloaded if kind == RAW else self.layout.background_free
        return sorted(int(path.stem) for path in store.root.glob("[0-9]*/*"))

    def shards(self) -> list[str]:
        return [shard for prefix in KINDS for shard in shards_in(self.layout.shards, prefix)]

    def read(self, image_id: int, kind: str, shard: str | None) -> bytes:
        """Read a picture where its row says that it is."""
        if shard:
            return ShardReader(self.layout.shards).read(shard, image_id)
        store = self.layout.downloaded if kind == RAW else self.layout.background_free
        return store.path(image_id, format_of(image_id)).read_bytes()

    def assert_each_is_readable(self, but: int) -> None:
        """Every row leads to its picture, but for one that is known to be damaged."""
        for kind, column, where in PLACES:
            for image_id, shard in self.rows(f"image_id, {column}", where):
                assert image_id == but or self.read(image_id, kind, shard) == body_of(image_id, kind)

    def assert_each_is_in_one_place(self) -> None:
        """Every row leads to its picture; no picture is in two places; nothing half written lies about."""
        reader = ShardReader(self.layout.shards)
        members = [(shard[:3], member.image_id) for shard in self.shards() for member in reader.members(shard)]
        assert len(members) == len(set(members))
        for kind, column, where in PLACES:
            rows = dict(self.rows(f"image_id, {column}", where))
            for image_id, shard in rows.items():
                assert self.read(image_id, kind, shard) == body_of(image_id, kind)
                assert (shard is None) == ((kind[:3], image_id) not in members)
            assert self.loose(kind) == sorted(image_id for image_id, shard in rows.items() if shard is None)
        assert sorted(path.name for path in self.layout.shards.glob("*")) == sorted(
            f"{shard}{ending}" for shard in self.shards() for ending in (".tar", ".index.json")
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def damage(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(bytes(body))


def cut_before(world: World, shard: str, image_id: int) -> None:
    members = {member.image_id: member for member in ShardReader(world.layout.shards).members(shard)}
    os.truncate(world.layout.shards / f"{shard}.tar", members[image_id].offset)


# Full shards


def test_full_shards_are_written_and_the_rest_stays_loose(world: World) -> None:
    world.background_free(*range(1, 13))
    done = world.run()
    assert world.rows("shard") == [("pictures-000000",)] * 5 + [("pictures-000001",)] * 5 + [(None,)] * 2
    assert world.loose(PICTURES) == [11, 12] and done.waiting[PICTURES] == 2
    world.assert_each_is_in_one_place()


def test_numbers_go_on_when_more_has_come(world: World) -> None:
    world.background_free(*range(1, 6))
    world.run()
    world.background_free(*range(6, 12))
    world.run()
    assert world.shards() == ["pictures-000000", "pictures-000001"] and world.loose(PICTURES) == [11]
    world.assert_each_is_in_one_place()


def test_pictures_as_downloaded_are_archived_only_where_asked_for(world: World) -> None:
    world.downloaded(*range(1, 8))
    world.run(with_raw=False)
    assert world.shards() == [] and world.loose() == [1, 2, 3, 4, 5, 6, 7]
    world.run(with_raw=True)
    assert world.shards() == ["raw-000000"] and world.loose() == [6, 7]
    world.assert_each_is_in_one_place()


def test_a_downloaded_picture_without_its_background_is_not_archived_as_downloaded(world: World) -> None:
    world.downloaded(*range(1, 6))
    world.background_free(6)
    world.run()
    assert world.rows("raw_shard", "image_id = 6") == [(None,)] and world.loose() == [6]


def test_a_picture_of_two_listings_is_archived_once_and_both_rows_say_so(world: World) -> None:
    world.downloaded(*range(1, 6))
    world.add(3, listing_id=900)
    world.downloaded(6)
    done = world.run()
    assert world.rows("listing_id", "raw_shard = 'raw-000000'") == [(1,), (2,), (3,), (4,), (5,), (900,)]
    assert world.loose() == [6] and done.pictures[RAW] == 5
    world.assert_each_is_in_one_place()


def test_a_file_keeps_its_time_and_its_ending_in_the_tar(world: World) -> None:
    world.background_free(*range(1, 6))
    world.run()
    listed = subprocess.run(
        ["tar", "-tf", world.layout.shards / "pictures-000000.tar"], check=True, capture_output=True, text=True
    )
    assert listed.stdout.split() == [f"{i}{EXTENSIONS[format_of(i)]}" for i in range(1, 6)]


def test_more_pages_than_one_fill_shards_in_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imaging.archive.PAGE", 3)
    world.downloaded(*range(1, 18))
    world.run()
    assert [shard for (shard,) in world.rows("raw_shard")] == [
        *("raw-000000",) * 5, *("raw-000001",) * 5, *("raw-000002",) * 5, None, None,
    ]  # fmt: skip
    world.assert_each_is_in_one_place()


def test_no_page_of_what_waits_is_found_by_sorting(world: World) -> None:
    asked: list[str] = []
    connection: Any = world.database.connection
    connection().set_trace_callback(asked.append)
    for kind in KINDS.values():
        archiving.waiting_page(world.database, world.stop, kind, 7, 500)
        archiving.pointing_page(world.database, world.stop, shard_name(kind.prefix, 0), 7, 500)
    connection().set_trace_callback(None)
    plans = [[step[3] for step in world.rows_of(f"EXPLAIN QUERY PLAN {query}")] for query in asked]
    assert len(plans) == 4
    for plan in plans:
        assert len(plan) == 1 and "imagestatus_image_id (image_id>?)" in plan[0]


# Files that fail


def test_a_bad_file_is_queued_again_and_the_shard_is_filled_up(world: World) -> None:
    world.downloaded(*range(1, 9), attempts=3)
    damage(world.layout.downloaded.path(2, format_of(2)))
    world.layout.downloaded.path(4, format_of(4)).unlink()
    done = world.run()
    again = "download_done, to_download, outcome, attempts, retry_at"
    assert world.rows(again, "image_id = 2") == [(0, 1, "damaged", 3, 0)]
    assert world.rows(again, "image_id = 4") == [(0, 1, "missing", 3, 0)]
    assert world.rows("image_id", "raw_shard IS NOT NULL") == [(1,), (3,), (5,), (6,), (7,)]
    assert done.put_back[RAW] == 2 and done.waiting[RAW] == 1


def test_where_too_few_are_left_nothing_is_archived(world: World) -> None:
    world.downloaded(*range(1, 6))
    damage(world.layout.downloaded.path(5, format_of(5)))
    done = world.run()
    assert world.shards() == [] and list(world.layout.shards.iterdir()) == []
    assert world.loose() == [1, 2, 3, 4, 5] and done.pictures[RAW] == 0 and done.waiting[RAW] == 4


@pytest.mark.parametrize("body", [None, b"", b"<html>no picture</html>", b"RIFF\0\0\0\0WAVE"])
def test_a_background_free_file_that_is_no_picture_is_made_again(world: World, body: bytes | None) -> None:
    world.background_free(*range(1, 7))
    path = world.layout.background_free.path(3, format_of(3))
    path.unlink() if body is None else path.write_bytes(body)
    done = world.run()
    assert world.rows("bg_removed, shard, download_done", "image_id = 3") == [(0, None, 1)]
    assert world.rows("COUNT(*)", "shard = 'pictures-000000'") == [(5,)] and done.put_back[PICTURES] == 1


@pytest.mark.parametrize("count", [3, 6])
def test_where_all_pictures_are_gone_nothing_is_queued_again(world: World, count: int) -> None:
    world.downloaded(*range(1, count + 1))
    shutil.rmtree(world.layout.downloaded.root)
    with pytest.raises(OperatorNeeded, match="is its disk mounted"):
        world.run()
    assert world.rows("DISTINCT download_done, outcome") == [(1, "done")]


def test_where_all_pictures_vanish_while_a_shard_is_written_nothing_is_queued_again(world: World) -> None:
    world.downloaded(*range(1, 7))
    with pytest.raises(OperatorNeeded, match="is its disk mounted"):
        world.run(observe=lambda done, shard: shutil.rmtree(world.layout.downloaded.root, ignore_errors=True))
    assert world.rows("DISTINCT download_done, outcome") == [(1, "done")]
    assert list(world.layout.shards.iterdir()) == []


def test_where_all_shards_are_gone_no_new_ones_are_begun(world: World) -> None:
    world.downloaded(*range(1, 6))
    world.run()
    world.layout.shards.rename(world.root / "elsewhere")
    world.downloaded(*range(6, 11))
    with pytest.raises(OperatorNeeded, match="holds no shard, though pictures were archived"):
        world.run()
    assert not world.layout.shards.exists()


def test_a_lost_shards_number_is_not_used_again(world: World) -> None:
    world.downloaded(*range(1, 11))
    world.run()
    for path in world.layout.shards.glob("raw-000001.*"):
        path.unlink()
    world.downloaded(*range(11, 16))
    world.run()
    assert world.shards() == ["raw-000000", "raw-000002"]


# The disk


def test_a_shard_that_would_take_the_spare_room_is_not_begun(world: World) -> None:
    world.downloaded(*range(1, 6))
    with pytest.raises(OperatorNeeded, match="MIN_FREE_GB keeps 1e\\+09"):
        world.run(min_free_gb=1e9)
    assert world.shards() == [] and world.loose() == [1, 2, 3, 4, 5]


def test_a_disk_that_takes_no_more_is_told_in_words_and_nothing_is_lost(world: World) -> None:
    bodies = {image_id: body_of(image_id) + bytes(400_000) for image_id in range(1, 6)}
    for image_id, body in bodies.items():
        world.downloaded(image_id, digest=digest_of(body), size_bytes=len(body))
        world.put(world.layout.downloaded, image_id, body)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(OperatorNeeded, match=r"imageall_tars.* cannot be used \(File too large\)"):
            world.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(world.layout.shards.iterdir()) == [] and world.loose() == [1, 2, 3, 4, 5]
    world.run()
    assert world.shards() == ["raw-000000"]


def test_a_folder_that_cannot_be_made_is_told_in_words(world: World) -> None:
    world.downloaded(*range(1, 6))
    world.layout.shards.write_text("a file where the folder should be")
    with pytest.raises(OperatorNeeded, match=r"imageall_tars cannot be used"):
        world.run()
    assert world.loose() == [1, 2, 3, 4, 5]


# Stops and kills


@pytest.mark.parametrize("after", [1, 3, 5, 7])
def test_a_stop_in_the_middle_of_a_shard_leaves_all_as_it_was_before_that_shard(world: World, after: int) -> None:
    world.downloaded(*range(1, 11))
    seen: list[int] = []

    def observe(done: Archived, shard: str) -> None:
        seen.append(done.pictures[RAW])
        if seen[-1] == after:
            world.stop.ask("the test")

    with pytest.raises(Stopped):
        world.run(observe=observe)
    assert seen[-1] == after
    assert not list(world.layout.shards.glob(".*"))
    world.stop = Stop(VirtualClock(), ())
    world.run()
    assert len(world.shards()) == 2
    world.assert_each_is_in_one_place()


def test_a_stop_ends_a_long_look_into_the_database(world: World) -> None:
    endless = ImageStatus.raw(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0"
    )
    world.stop.ask("the test")
    with pytest.raises(Stopped, match="the test"):
        archiving.look(world.database, world.stop, endless)
    assert archiving.count_waiting(world.database, world.stop, KINDS[RAW]) == 0


def die_at(number: int, database: Database) -> None:
    """Kill this process at the n-th thing that it does to the disk or the database."""
    count = 0

    def step(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*values: Any, **named: Any) -> Any:
            step()
            return call(*values, **named)

        return counting

    for name, call in (("replace", counted(os.replace)), ("unlink", counted(os.unlink)), ("fsync", step)):
        setattr(os, name, call)
    connection: Any = database.connection
    connection().set_trace_callback(step)


def killed_at(number: int, work: Callable[[], Database], then: Callable[[], object]) -> bool:
    """Do the work in a child that dies at the n-th step; return whether it died. `work` opens the child's database."""
    child = os.fork()
    if child == 0:
        try:
            die_at(number, work())
            then()
        except BaseException as error:
            print(f"step {number}: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def kill_everywhere(folder: Path) -> int:
    """Kill the archiver at each of its steps, and the next start soon after; return at how many steps."""
    first = World(folder / "first")
    # All in one folder: making and removing folders would be most of the time.
    first.background_free(1000, 2000, 3000, 4000)
    first.downloaded(*range(11000, 19000, 1000))
    first.add(12000, listing_id=900)
    damage(first.layout.downloaded.path(13000, format_of(13000)))
    first.close()
    number, died = 0, True
    while died:
        number += 1
        home = folder / str(number)
        shutil.copytree(first.root, home)
        world = World.__new__(World)
        world.root, world.layout, world.stop = home, Layout(home / "images"), Stop(VirtualClock(), ())
        died = killed_at(number, world.open, lambda world=world: world.run(3))  # type: ignore[misc]
        if number % 3 == 0:
            killed_at(1 + number % 17, world.open, lambda world=world: world.run(3))  # type: ignore[misc]
        world.open()
        world.assert_each_is_readable(but=13000)
        world.run(3)
        assert world.shards() == ["pictures-000000", "raw-000000", "raw-000001"], number
        assert world.rows("image_id, outcome", "download_done = 0") == [(13000, "damaged")], number
        world.layout.downloaded.path(13000, format_of(13000)).unlink()
        world.assert_each_is_in_one_place()
        world.close()
    return number


def run_kill_driver(module: str, folder: Path) -> int:
    """Run `kill_everywhere` of a module in a process of one thread, which may fork; return what it returned."""
    done = subprocess.run(
        [sys.executable, "-c", KILL_DRIVER.format(module=module), str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_killed_at_any_step_every_picture_is_in_one_place_after_the_next_start(tmp_path: Path) -> None:
    assert run_kill_driver("test_archive", tmp_path) > 50


def test_left_over_loose_files_are_removed_only_where_the_shard_gives_the_same_bytes(world: World) -> None:
    world.downloaded(*range(1, 6))
    world.run()
    world.put(world.layout.downloaded, 2, body_of(2))
    world.put(world.layout.downloaded, 3, body_of(3) + b"another")
    recover(world.archive)
    assert world.loose() == [3]


def test_a_picture_made_anew_is_not_taken_for_the_one_in_the_shard(world: World) -> None:
    world.background_free(*range(1, 6))
    world.run()
    archiving.release(world.database, world.stop, "pictures-000000", [2])
    ImageStatus.update(bg_removed=1).where(ImageStatus.image_id == 2).execute()
    world.put(world.layout.background_free, 2, body_of(2, "anew"))
    recover(world.archive)
    assert world.rows("shard", "image_id = 2") == [(None,)] and world.loose(PICTURES) == [2]


# Shards that fail


def test_a_cut_shard_gives_up_what_is_lost_and_keeps_the_rest(world: World) -> None:
    world.downloaded(*range(1, 6))
    world.run()
    world.put(world.layout.downloaded, 5, body_of(5))
    cut_before(world, "raw-000000", 4)
    world.run()
    assert world.rows("image_id, raw_shard", "download_done = 1") == [
        (1, "raw-000000"), (2, "raw-000000"), (3, "raw-000000"), (5, None),
    ]  # fmt: skip
    assert world.rows("image_id, outcome, to_download, raw_shard", "download_done = 0") == [(4, "damaged", 1, None)]
    world.assert_each_is_in_one_place()


def test_a_cut_shard_of_background_free_pictures_has_them_made_again(world: World) -> None:
    world.background_free(*range(1, 6))
    world.run()
    world.put(world.layout.background_free, 5, body_of(5, PICTURES))
    cut_before(world, "pictures-000000", 4)
    world.run()
    assert world.rows("image_id, bg_removed, shard", "shard IS NULL") == [(4, 0, None), (5, 1, None)]
    world.assert_each_is_in_one_place()


def test_a_tar_that_was_cut_before_its_rows_were_set_loses_nothing(world: World) -> None:
    world.downloaded(*range(1, 6))
    world.run()
    for image_id in range(1, 6):
        world.put(world.layout.downloaded, image_id, body_of(image_id))
    ImageStatus.update(raw_shard=None).execute()
    cut_before(world, "raw-000000", 4)
    world.run()
    assert world.rows("image_id", "raw_shard IS NULL") == [(4,), (5,)]
    world.assert_each_is_in_one_place()


@pytest.mark.parametrize("lost", ["index", "both"])
def test_a_lost_index_is_made_anew_and_what_the_tar_lacks_is_given_up(world: World, lost: str) -> None:
    world.downloaded(*range(1, 11))
    world.run()
    for shard in world.shards():
        if lost == "both":
            cut_before(world, shard, 5 if shard == "raw-000000" else 10)
        (world.layout.shards / f"{shard}.index.json").unlink()
    world.run()
    assert world.rows("image_id", "download_done = 0") == ([(5,), (10,)] if lost == "both" else [])
    world.assert_each_is_in_one_place()


def test_what_an_audit_gives_up_comes_again_and_is_archived_anew(world: World) -> None:
    world.downloaded(*range(1, 6))
    world.run()
    world.put(world.layout.downloaded, 3, body_of(3))
    give_up(world.archive, "raw-000000", [2, 3])
    assert world.rows("image_id, download_done, raw_shard", "raw_shard IS NULL") == [(2, 0, None), (3, 1, None)]
    ImageStatus.update(download_done=1).where(ImageStatus.image_id == 2).execute()
    world.put(world.layout.downloaded, 2, body_of(2))
    world.downloaded(6, 7, 8)
    world.run()
    assert world.rows("image_id", "raw_shard = 'raw-000001'") == [(2,), (3,), (6,), (7,), (8,)]
    world.assert_each_is_in_one_place()


def test_a_picture_that_came_anew_while_its_shard_was_written_stays_loose(world: World) -> None:
    world.downloaded(*range(1, 6))
    world.add(3, listing_id=900)
    anew = body_of(3, "anew")

    def observe(done: Archived, shard: str) -> None:
        if done.pictures[RAW] == 4:
            for image_id, listing_id in ((2, 2), (3, 900)):
                changed = ImageStatus.update(digest=digest_of(body_of(image_id, "anew")))
                changed.where(ImageStatus.image_id == image_id, ImageStatus.listing == listing_id).execute()
                world.put(world.layout.downloaded, image_id, body_of(image_id, "anew"))

    world.run(observe=observe)
    assert world.rows("listing_id", "raw_shard IS NULL") == [(2,), (900,)]
    assert world.loose() == [2, 3] and world.read(3, RAW, None) == anew


def test_only_the_rows_that_point_to_a_shard_are_taken_out_of_it(world: World) -> None:
    world.downloaded(*range(1, 11))
    world.run()
    give_up(world.archive, "raw-000000", [2, 7])
    assert world.rows("image_id", "raw_shard IS NULL") == [(2,)]


def test_a_picture_that_a_shard_holds_by_now_is_not_put_back(world: World) -> None:
    world.downloaded(*range(1, 6))
    world.run()
    assert archiving.put_back(world.database, world.stop, KINDS[RAW], [2], "missing") == set()
    assert world.rows("DISTINCT download_done") == [(1,)]


# The command


@pytest.fixture
def quiet_logs() -> Iterator[None]:
    """Undo what a command does to the logs of its process."""
    root, raises = logging.getLogger(), logging.raiseExceptions
    handlers, level = list(root.handlers), root.level
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        handler.close()
    root.handlers[:], root.level, logging.raiseExceptions = handlers, level, raises


def command(world: World, work: Callable[[Settings, Console], int], **settings: Any) -> str:
    """Run a command on the home and return what it printed, its log lines left out."""
    world.close()
    with (world.root / "said").open("w+", encoding="utf-8") as file:
        options: dict[str, Any] = {"crawler_home": world.root, "shard_pictures": 5, "min_free_gb": 0, **settings}
        assert work(Settings(**options), Console(file=file, width=160)) == 0
        file.seek(0)
        lines = file.read().splitlines()
    world.open()
    return lines[-1]


@pytest.mark.usefixtures("quiet_logs")
def test_the_command_says_what_was_archived_and_what_waits(world: World) -> None:
    nothing = "No background-free picture exists yet; set ARCHIVE_RAW=1 to archive pictures as downloaded."
    assert command(world, archive_commands.archive) == nothing
    world.background_free(*range(1, 8))
    said = "1 shard of 5 pictures written. 2 background-free pictures wait; a shard takes 5."
    assert command(world, archive_commands.archive) == said
    assert command(world, archive_commands.archive) == "2 background-free pictures wait; a shard takes 5."
    world.downloaded(11, 12, 13, 14, 15, 16)
    damage(world.layout.downloaded.path(11, format_of(11)))
    said = (
        "1 shard of 5 pictures written. 1 downloaded pictures were missing or damaged and are queued again. "
        "2 background-free pictures wait; a shard takes 5."
    )
    assert command(world, archive_commands.archive, archive_raw=True) == said


@pytest.mark.usefixtures("quiet_logs")
def test_an_old_kill_file_is_cleared_and_one_that_is_meant_for_a_crawler_is_obeyed_and_left(world: World) -> None:
    world.background_free(*range(1, 6))
    kill = world.root / "KILL"
    kill.touch()
    with single_instance(world.root / "data" / "db" / "crawler.lock", SystemClock()):
        said = command(world, archive_commands.archive)
    assert said == "Stopped by the file KILL; the same command goes on from there."
    assert kill.exists() and world.shards() == []
    assert command(world, archive_commands.archive).startswith("1 shard of 5 pictures written.")
    assert not kill.exists()
