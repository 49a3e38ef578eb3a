"""VERIFY's look at picture files: what is missing, damaged or of no row is told, and nothing else is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from peewee import Database

from crawler.changes import PicturesLost
from crawler.store import images
from imaging.audit import FileAudit
from imaging.check import digest_of
from imaging.layout import EXTENSIONS, Layout
from imaging.shards import RAW, ShardWriter, index_path, shard_name, tar_path
from models import ImageStatus
from runtime.clock import iso
from tests.pictures import Shown, enqueue, open_home

AT = 1_794_000_000
IDS = (3_000_001_001, 3_000_001_002, 3_000_002_001, 3_000_002_013)
OTHER_CYCLE = 7  # no id above ends in 7
SHARD = shard_name(RAW, 3)


def body_of(image_id: int) -> bytes:
    return b"a picture, as far as the audit cares: " + str(image_id).encode() * 50


class World:
    """A home with some pictures on disk and in rows."""

    def __init__(self, home: Path) -> None:
        self.database: Database = open_home(home)
        self.layout = Layout(home / "images")
        self.audit = FileAudit(self.layout)
        self.layout.downloaded.prepare()
        for place, image_id in enumerate(IDS):
            self.add(place + 1, image_id)

    def add(self, listing_id: int, image_id: int) -> None:
        body = body_of(image_id)
        told = {"format": "jpeg", "size_bytes": len(body), "digest": digest_of(body), "downloaded_at": iso(AT)}
        enqueue([Shown(listing_id, 1, image_id, "abcdef", "wxyz", 1)], download_done=1, outcome="done", **told)
        path = self.path(image_id)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body)
        os.utime(path, (AT, AT))

    def path(self, image_id: int) -> Path:
        return self.layout.downloaded.path(image_id, "jpeg")

    def found(self, cycle: int = OTHER_CYCLE) -> dict[str, list[int | str]]:
        """Return everything that the three checks tell in one cycle."""
        told: dict[str, list[int | str]] = {}
        for check in self.audit.checks().values():
            after: int | None = 0
            while after is not None:
                findings = check(cycle, after)
                after = findings.last_id
                both: dict[str, Sequence[int | str]] = {**findings.gaps, **findings.strays}
                for name, things in both.items():
                    told.setdefault(name, []).extend(things)
        return told

    def archive(self, image_ids: Sequence[int]) -> None:
        """Put these pictures into a shard, as archiving does."""
        self.layout.shards.mkdir(exist_ok=True)
        with ShardWriter(self.layout.shards, SHARD) as writer:
            for image_id in image_ids:
                body = body_of(image_id)
                writer.add(image_id, f"{image_id}{EXTENSIONS['jpeg']}", body, digest_of(body), AT)
            writer.finish()
        ImageStatus.update(raw_shard=SHARD).where(ImageStatus.image_id.in_(image_ids)).execute()
        for image_id in image_ids:
            self.path(image_id).unlink()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.database.close()


@pytest.mark.parametrize("cycle", [1, OTHER_CYCLE])
def test_nothing_is_told_where_files_and_rows_belong_together(world: World, cycle: int) -> None:
    assert world.found(cycle) == {}


def test_a_file_that_is_gone_is_missing(world: World) -> None:
    world.path(IDS[0]).unlink()
    assert world.found() == {"pictures_missing": [IDS[0]]}


def test_a_file_that_was_cut_is_damaged(world: World) -> None:
    os.truncate(world.path(IDS[1]), 20)
    os.utime(world.path(IDS[1]), (AT, AT))
    assert world.found() == {"pictures_damaged": [IDS[1]]}


def test_a_file_that_was_written_to_is_damaged_though_its_length_is_right(world: World) -> None:
    flip(world.path(IDS[2]))
    assert world.found() == {"pictures_damaged": [IDS[2]]}


def test_a_file_with_another_time_and_the_right_bytes_is_well(world: World) -> None:
    os.utime(world.path(IDS[2]), (AT + 5000, AT + 5000))
    assert world.found() == {}


@pytest.mark.parametrize(("cycle", "found"), [(2, {}), (13, {"pictures_damaged": [IDS[3]]})])
def test_what_a_disk_does_in_silence_is_found_in_the_cycle_that_ends_as_the_id(
    world: World, cycle: int, found: dict[str, list[int]]
) -> None:
    flip(world.path(IDS[3]))
    os.utime(world.path(IDS[3]), (AT, AT))
    assert world.found(cycle) == found


def test_a_file_without_a_row_is_told_and_stays(world: World) -> None:
    folder = world.path(IDS[0]).parent
    strangers = [folder / "4999001.jpg", folder / "notes.txt", folder / f"{IDS[1]}.jpg"]
    for path in strangers:
        path.write_bytes(b"?")
    (folder / ".DS_Store").write_bytes(b"?")
    told = world.found()
    assert sorted(told.pop("files_without_row")) == sorted(f"imagedownload/{folder.name}/{p.name}" for p in strangers)
    assert told == {}
    assert all(path.exists() for path in strangers)


def test_where_the_whole_disk_is_gone_nothing_is_taken_for_lost(world: World) -> None:
    world.layout.downloaded.root.rename(world.layout.root / "elsewhere")
    for make_mount_point in (False, True):
        if make_mount_point:
            world.layout.downloaded.root.mkdir()
        (words,) = world.found().pop("pictures_not_looked_at")
        assert "is its disk mounted" in str(words)
        assert "pictures_missing" not in world.found()


def test_pictures_in_a_shard_are_there(world: World) -> None:
    world.archive(IDS[:3])
    assert world.found() == world.found(3) == {}


def test_a_shard_that_is_gone_has_lost_its_pictures(world: World) -> None:
    world.archive(IDS[:2])
    tar_path(world.layout.shards, SHARD).rename(tar_path(world.layout.shards, shard_name(RAW, 9)))
    index_path(world.layout.shards, SHARD).rename(index_path(world.layout.shards, shard_name(RAW, 9)))
    assert world.found()["pictures_missing"] == list(IDS[:2])


def test_where_no_shard_is_there_at_all_their_disk_is_asked_for_instead(world: World) -> None:
    world.archive(IDS[:2])
    tar_path(world.layout.shards, SHARD).unlink()
    told = world.found()
    assert "is its disk mounted" in str(told["shards_not_looked_at"][0])
    assert "pictures_missing" not in told


def test_the_pictures_behind_a_cut_in_a_shard_are_damaged(world: World) -> None:
    world.archive(IDS[:3])
    os.truncate(tar_path(world.layout.shards, SHARD), 512 + 1024 + 512)
    assert world.found() == {"pictures_damaged": [IDS[1], IDS[2]]}


def test_a_shard_that_was_written_to_is_read(world: World) -> None:
    world.archive(IDS[:3])
    tar = tar_path(world.layout.shards, SHARD)
    before = tar.stat()
    flip(tar, 600)
    assert world.found() == {"pictures_damaged": [IDS[0]]}
    os.utime(tar, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert world.found() == {}
    assert world.found(3) == {"pictures_damaged": [IDS[0]]}


def test_a_damaged_copy_in_a_shard_that_no_row_points_to_any_more_is_not_told(world: World) -> None:
    world.archive(IDS[:2])
    flip(tar_path(world.layout.shards, SHARD), 600)
    images.write_lost(PicturesLost({"damaged": (IDS[0],)}, ()))
    assert world.found() == {}


def test_a_shard_without_its_index_is_told_and_its_pictures_are_not_taken_for_lost(world: World) -> None:
    world.archive(IDS[:2])
    index_path(world.layout.shards, SHARD).unlink()
    told = world.found()
    assert list(told) == ["shards_unreadable"]
    assert SHARD in str(told["shards_unreadable"][0])


def test_a_picture_in_a_shard_that_has_no_row_is_told(world: World) -> None:
    world.archive(IDS[:2])
    ImageStatus.delete().where(ImageStatus.image_id == IDS[0]).execute()
    assert world.found() == {"shard_members_without_row": [f"{SHARD}/{IDS[0]}"]}


def test_a_background_free_picture_is_looked_for_as_a_loose_file_and_in_its_shard(world: World) -> None:
    ImageStatus.update(bg_removed=1).where(ImageStatus.image_id.in_(IDS[:2])).execute()
    free = world.layout.background_free
    free.prepare()
    free.folder(IDS[0]).mkdir()
    free.path(IDS[0], "png").write_bytes(b"white behind it")
    assert world.found() == {"background_free_missing": [IDS[1]]}


def test_what_is_lost_is_queued_again_for_every_listing_that_shows_it(world: World) -> None:
    world.add(9, IDS[0])
    ImageStatus.update(bg_removed=1, shard="pictures-000001").where(ImageStatus.image_id == IDS[1]).execute()
    images.write_lost(PicturesLost({"missing": (IDS[0],), "damaged": (IDS[1],)}, (IDS[1],)))
    columns = (ImageStatus.image_id, ImageStatus.download_done, ImageStatus.to_download, ImageStatus.outcome)
    rows = list(ImageStatus.select(*columns, ImageStatus.bg_removed, ImageStatus.shard).tuples())
    assert sorted(rows, key=str) == [
        (IDS[0], 0, 1, "missing", 0, None),
        (IDS[0], 0, 1, "missing", 0, None),
        (IDS[1], 0, 1, "damaged", 0, None),
        (IDS[2], 1, 1, "done", 0, None),
        (IDS[3], 1, 1, "done", 0, None),
    ]
    undescribed = ImageStatus.select().where(ImageStatus.digest.is_null())
    assert undescribed.count() == 0, "a damaged file that still lies there is known by its digest"


def flip(path: Path, place: int = 40) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        old = file.read(1)
        file.seek(place)
        file.write(bytes([old[0] ^ 0xFF]))
