"""imageprimary/: one picture a listing, as downloaded, and no kill leaves a listing with less than it had."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imaging import archive_commands
from imaging.layout import Layout
from imaging.primary import HIGHEST_NUMBER, Names, Primaries, Standing, choose
from imaging.shards import RAW
from imaging.store.primaries import Candidate
from models import ImageStatus
from runtime.errors import OperatorNeeded, Stopped
from runtime.stop import Stop
from tests.rig import VirtualClock
from tests.unit.test_archive import (
    World,
    body_of,
    command,
    damage,
    format_of,
    killed_at,
    quiet_logs,
    run_kill_driver,
)

__all__ = ["quiet_logs"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def show(world: World, min_free_gb: float = 0) -> Standing:
    primaries = Primaries(world.archive, min_free_gb, lambda standing: None)
    primaries.run()
    return primaries.standing


def told(standing: Standing) -> tuple[int, int, int, int]:
    return standing.placed, standing.changed, standing.there, standing.waiting


def shown(world: World) -> dict[str, bytes]:
    """Return the files in imageprimary by their paths below it, the README left out."""
    root = world.layout.primary.root
    return {str(path.relative_to(root)): path.read_bytes() for path in root.glob("[0-9.]*/*")}


def change_primary(world: World, listing_id: int, image_id: int) -> None:
    """Make another picture the listing's primary one; it is downloaded unless it has a row already."""
    ImageStatus.update(is_primary=0).where(ImageStatus.listing == listing_id).execute()
    world.downloaded(image_id, listing_id=listing_id)


def test_each_listing_shows_its_primary_picture(world: World) -> None:
    world.downloaded(11, listing_id=5001)
    world.downloaded(12, listing_id=5001, is_primary=0)
    world.downloaded(13, listing_id=6002)
    assert told(show(world)) == (2, 0, 0, 0)
    assert shown(world) == {"001/5001.webp": body_of(11), "002/6002.png": body_of(13)}
    assert world.rows("image_id, in_primary") == [(11, 1), (12, 0), (13, 1)]
    assert "listing_id" in (world.layout.primary.root / "README.md").read_text("utf-8")


def test_a_second_run_changes_nothing(world: World) -> None:
    world.downloaded(*range(1, 8))
    show(world)
    before = {path: path.stat().st_ino for path in world.layout.primary.root.rglob("*")}
    assert told(show(world)) == (0, 0, 7, 0)
    assert {path: path.stat().st_ino for path in world.layout.primary.root.rglob("*")} == before


def test_a_copy_shares_no_bytes_with_the_download(world: World) -> None:
    world.downloaded(1)
    show(world)
    damage(world.layout.downloaded.path(1, format_of(1)))
    assert shown(world) == {"001/1.png": body_of(1)}


def test_pictures_come_out_of_shards_too(world: World) -> None:
    world.downloaded(*range(1, 8))
    world.run()
    assert world.loose() == [6, 7]
    assert told(show(world)) == (7, 0, 0, 0)
    assert sorted(shown(world).values()) == sorted(body_of(i) for i in range(1, 8))


def test_a_picture_of_two_listings_is_shown_for_both(world: World) -> None:
    world.downloaded(11, listing_id=1)
    world.add(11, listing_id=2)
    assert told(show(world)) == (2, 0, 0, 0)
    assert shown(world) == {"001/1.webp": body_of(11), "002/2.webp": body_of(11)}


def test_a_new_primary_picture_replaces_the_old_one_once_it_is_downloaded(world: World) -> None:
    world.downloaded(11, listing_id=1)
    show(world)
    change_primary(world, 1, 14)
    ImageStatus.update(download_done=0).where(ImageStatus.image_id == 14).execute()
    assert told(show(world)) == (0, 0, 0, 1)
    assert shown(world) == {"001/1.webp": body_of(11)}
    ImageStatus.update(download_done=1).where(ImageStatus.image_id == 14).execute()
    assert told(show(world)) == (0, 1, 0, 0)
    assert shown(world) == {"001/1.gif": body_of(14)}
    assert world.rows("image_id, in_primary") == [(11, 0), (14, 1)]


def test_the_picture_of_a_listing_that_has_none_any_more_stays(world: World) -> None:
    world.downloaded(1)
    show(world)
    ImageStatus.update(is_primary=0).execute()
    assert told(show(world)) == (0, 0, 1, 0)
    assert shown(world) == {"001/1.png": body_of(1)}
    (world.layout.primary.path(1, "png")).unlink()
    assert told(show(world)) == (1, 0, 0, 0)
    assert shown(world) == {"001/1.png": body_of(1)}


def test_files_that_nobody_knows_are_left_alone(world: World) -> None:
    stranger = world.layout.primary.folder(77) / "77.jpg"
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"of a listing whose row is gone")
    (stranger.parent / "notes.txt").touch()
    (stranger.parent / f"{HIGHEST_NUMBER * 3}.jpg").touch()
    world.downloaded(1077)
    assert told(show(world)) == (1, 0, 0, 0)
    assert stranger.exists() and len(shown(world)) == 4


def test_what_waits_for_its_download_is_counted_and_what_never_comes_is_not(world: World) -> None:
    world.add(1, download_done=0)
    world.add(2, download_done=0, to_download=0, outcome="not_found")
    assert told(show(world)) == (0, 0, 0, 1)
    assert shown(world) == {}


@pytest.mark.parametrize("outcome", ["missing", "damaged"])
def test_a_bad_file_is_queued_again_and_the_others_are_placed(world: World, outcome: str) -> None:
    world.downloaded(1, 2, 3, attempts=2)
    path = world.layout.downloaded.path(2, format_of(2))
    path.unlink() if outcome == "missing" else damage(path)
    standing = show(world)
    assert told(standing) == (2, 0, 0, 1) and standing.queued_again == 1
    assert world.rows("download_done, to_download, outcome, attempts", "image_id = 2") == [(0, 1, outcome, 2)]
    assert sorted(shown(world)) == ["001/1.png", "003/3.webp"]


def test_a_picture_that_its_shard_cannot_give_is_queued_again(world: World) -> None:
    world.downloaded(*range(1, 6))
    world.run()
    members = {member.image_id: member for member in world.archive.reader.members("raw-000000")}
    with (world.layout.shards / "raw-000000.tar").open("r+b") as tar:
        tar.seek(members[4].offset)
        tar.write(b"\0\0\0")
    standing = show(world)
    assert told(standing) == (4, 0, 0, 1) and standing.queued_again == 1
    assert world.rows("image_id, outcome, raw_shard", "download_done = 0") == [(4, "damaged", None)]


def test_what_lies_in_a_lost_shard_waits_and_the_others_are_placed(world: World) -> None:
    world.downloaded(*range(1, 11))
    world.run()
    (world.layout.shards / "raw-000001.tar").rename(world.root / "elsewhere.tar")
    standing = show(world)
    assert told(standing) == (5, 0, 0, 5) and standing.lost_shards == {"raw-000001"}
    assert world.rows("DISTINCT download_done, outcome") == [(1, "done")]
    (world.root / "elsewhere.tar").rename(world.layout.shards / "raw-000001.tar")
    assert told(show(world)) == (5, 0, 5, 0)


def test_where_the_pictures_are_away_nothing_is_queued_again(world: World) -> None:
    world.downloaded(1, 2, 3)
    shutil.rmtree(world.layout.downloaded.root)
    with pytest.raises(OperatorNeeded, match="imagedownload is not there"):
        show(world)
    assert world.rows("DISTINCT download_done") == [(1,)]


def test_where_imageprimary_itself_is_away_it_is_not_begun_anew_without_being_asked(world: World) -> None:
    world.downloaded(1, 2, 3)
    show(world)
    shutil.rmtree(world.layout.primary.root)
    with pytest.raises(OperatorNeeded, match="though it showed 3 pictures") as refused:
        show(world)
    assert not world.layout.primary.root.exists()
    assert str(world.layout.primary.folder(0)) in refused.value.advice
    world.layout.primary.folder(0).mkdir(parents=True)
    assert told(show(world)) == (3, 0, 0, 0)


def test_a_full_disk_and_a_folder_that_cannot_be_used_are_told_in_words(world: World) -> None:
    world.downloaded(1)
    with pytest.raises(OperatorNeeded, match="MIN_FREE_GB"):
        show(world, min_free_gb=1e9)
    shutil.rmtree(world.layout.primary.root)
    world.layout.primary.root.touch()
    with pytest.raises(OperatorNeeded, match=r"imageprimary.* cannot be used"):
        show(world)


def test_more_listings_than_a_page_holds_are_all_shown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imaging.primary.PAGE", 3)
    world.downloaded(*range(1, 9))
    assert told(show(world)) == (8, 0, 0, 0)
    assert world.rows("COUNT(*)", "in_primary = 1") == [(8,)]


def test_a_stop_keeps_what_was_done(world: World) -> None:
    world.downloaded(*range(1, 9))

    def observe(standing: Standing) -> None:
        if standing.placed == 3:
            world.stop.ask("the test")

    with pytest.raises(Stopped):
        Primaries(world.archive, 0, observe).run()
    assert world.rows("COUNT(*)", "in_primary = 1") == [(3,)] and len(shown(world)) == 3
    world.stop = Stop(VirtualClock(), ())
    assert told(show(world)) == (5, 0, 3, 0)


def test_names_are_found_by_number_and_format(tmp_path: Path) -> None:
    store = Layout(tmp_path).primary
    store.folder(5).mkdir(parents=True)
    for name in ("5.jpg", "5.webp", "1005.png", "x.jpg", "6005.txt"):
        (store.folder(5) / name).touch()
    names = Names(store)
    found = [names.formats(number) for number in (5, 1005, 6005, 4, 2005)]
    assert found == [["jpeg", "webp"], ["png"], [], [], []]


def candidate(image_id: int, **told: Any) -> Candidate:
    facts = {"is_primary": 0, "in_primary": 0, "to_download": 1, "download_done": 1, "format": "jpeg"}
    return Candidate(**{"listing_id": 1, "image_id": image_id, "digest": None, "raw_shard": None, **facts, **told})


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([], None),
        ([candidate(1, is_primary=1, download_done=0)], None),
        ([candidate(1, is_primary=1), candidate(2, in_primary=1)], 1),
        ([candidate(1, is_primary=1, download_done=0), candidate(2, in_primary=1)], 2),
        ([candidate(1, is_primary=1), candidate(2, is_primary=1, in_primary=1)], 2),
        ([candidate(1, is_primary=1), candidate(2, is_primary=1)], 1),
    ],
)
def test_a_listing_shows_its_primary_picture_as_soon_as_it_is_there(
    candidates: list[Candidate], chosen: int | None
) -> None:
    found = choose(candidates)
    assert (found.image_id if found else None) == chosen


def kill_everywhere(folder: Path) -> int:
    """Kill the command's work at each of its steps; return at how many."""
    first = World(folder / "first")
    first.downloaded(1, 2, 3, 4, 5)
    first.run(3)
    show(first)
    change_primary(first, 2, 12)
    change_primary(first, 4, 13)
    first.downloaded(6)
    first.layout.primary.path(3, format_of(3)).unlink()
    damage(first.layout.downloaded.path(6, format_of(6)))
    first.close()
    number, died = 0, True
    while died:
        number += 1
        home = folder / str(number)
        shutil.copytree(first.root, home)
        world = World.__new__(World)
        world.root, world.layout, world.stop = home, Layout(home / "images"), Stop(VirtualClock(), ())
        died = killed_at(number, world.open, lambda world=world: show(world))  # type: ignore[misc]
        had = shown(world)
        assert {int(Path(name).stem) for name in had if name[0] != "."} >= {1, 2, 4, 5}, number
        world.open()
        show(world)
        assert world.rows("listing_id, image_id", "in_primary = 1") == [(1, 1), (2, 12), (3, 3), (4, 13), (5, 5)]
        assert world.rows("image_id, outcome", "download_done = 0") == [(6, "damaged")]
        wanted = {1: 1, 2: 12, 3: 3, 4: 13, 5: 5}
        paths = {listing_id: world.layout.primary.path(listing_id, format_of(i)) for listing_id, i in wanted.items()}
        root = world.layout.primary.root
        expected = {str(paths[key].relative_to(root)): body_of(image_id, RAW) for key, image_id in wanted.items()}
        assert shown(world) == expected, number
        world.close()
    return number


def test_killed_at_any_step_every_listing_shows_its_picture_after_the_next_start(tmp_path: Path) -> None:
    assert run_kill_driver("test_primary", tmp_path) > 20


@pytest.mark.usefixtures("quiet_logs")
def test_the_command_says_what_became_of_the_pictures(world: World) -> None:
    world.downloaded(1, 2, 3)
    world.add(4, download_done=0)
    damage(world.layout.downloaded.path(3, format_of(3)))
    assert command(world, archive_commands.primary) == (
        "2 placed, 0 changed, 0 already there, 2 waiting for their download "
        "(1 of them queued again: their file was missing or damaged)."
    )
    assert command(world, archive_commands.primary).startswith("0 placed, 0 changed, 2 already there, 2 waiting")
