"""Shards: what is written is what is read, whatever happened to the files since."""

from __future__ import annotations

import io
import json
import random
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from imaging.check import digest_of
from imaging.shards import (
    Member,
    NoIndex,
    NoShard,
    PictureTrouble,
    ShardReader,
    ShardWriter,
    clear_left_overs,
    nothing,
    shard_name,
    shards_in,
)
from runtime.errors import OperatorNeeded

SHARD = "raw-000000"
AT = 1_794_000_000


def body_of(image_id: int) -> bytes:
    return b"\xff\xd8\xff" + random.Random(image_id).randbytes(100 + image_id * 37)


def write(folder: Path, shard: str = SHARD, count: int = 7, between: Callable[[], None] = nothing) -> list[Member]:
    with ShardWriter(folder, shard, between) as writer:
        for image_id in range(1, count + 1):
            body = body_of(image_id)
            writer.add(image_id, f"{image_id}.jpg", body, digest_of(body), AT)
        writer.finish()
    return writer.members


def tar_of(folder: Path, shard: str = SHARD) -> Path:
    return folder / f"{shard}.tar"


def index_of(folder: Path, shard: str = SHARD) -> Path:
    return folder / f"{shard}.index.json"


def cut(path: Path, length: int) -> None:
    with path.open("r+b") as file:
        file.truncate(length)


def flip(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    members = write(tmp_path)
    reader = ShardReader(tmp_path)
    assert [reader.read(SHARD, image_id) for image_id in range(1, 8)] == [body_of(i) for i in range(1, 8)]
    assert reader.members(SHARD) == members
    assert reader.is_whole(SHARD) and reader.check(SHARD) == []


def test_any_tar_library_reads_a_shard_and_each_sample_is_an_image_id(tmp_path: Path) -> None:
    write(tmp_path)
    with tarfile.open(tar_of(tmp_path), "r:") as tar:
        infos = tar.getmembers()
        bodies = {info.name: (tar.extractfile(info) or io.BytesIO()).read() for info in infos}
    assert bodies == {f"{i}.jpg": body_of(i) for i in range(1, 8)}
    assert {(info.uid, info.gid, info.uname, info.gname, info.mode, info.mtime) for info in infos} == {
        (0, 0, "", "", 0o644, AT)
    }
    assert tar_of(tmp_path).stat().st_size % tarfile.RECORDSIZE == 0


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar command here")
def test_the_tar_command_unpacks_a_shard(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        ["tar", "-xf", tar_of(tmp_path), "-C", tmp_path / "out"], check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        f"{i}.jpg": body_of(i) for i in range(1, 8)
    }


def test_the_index_tells_where_each_picture_begins(tmp_path: Path) -> None:
    write(tmp_path)
    raw = tar_of(tmp_path).read_bytes()
    told = json.loads(index_of(tmp_path).read_text("utf-8"))
    assert (told["version"], told["tar_bytes"], len(told["members"])) == (1, len(raw), 7)
    for image_id, name, offset, size, digest in told["members"]:
        assert name == f"{image_id}.jpg"
        assert raw[offset : offset + size] == body_of(image_id) and digest == digest_of(body_of(image_id))


def test_a_shard_that_is_left_before_its_end_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), ShardWriter(tmp_path, SHARD) as writer:
        writer.add(1, "1.jpg", b"a", digest_of(b"a"), AT)
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_shard_has_no_name_before_it_was_read_back(tmp_path: Path) -> None:
    seen: list[list[str]] = []
    write(tmp_path, between=lambda: seen.append([path.name for path in tmp_path.iterdir()]))
    assert seen == [[f".{SHARD}.tar.part"]] * 7


def test_a_disk_that_gives_back_other_bytes_than_were_written_is_refused(tmp_path: Path) -> None:
    part = tmp_path / f".{SHARD}.tar.part"
    with pytest.raises(OperatorNeeded, match="other bytes than were written"):
        write(tmp_path, between=lambda: flip(part, 600) if part.read_bytes()[600] == body_of(1)[88] else None)
    assert list(tmp_path.iterdir()) == []


def test_only_so_many_shards_are_kept_open(tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path, shard_name("raw", number), 2)
    reader = ShardReader(tmp_path, kept=2)
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    for number in (0, 1, 2, 3, 4, 0, 4):
        assert reader.read(shard_name("raw", number), 1) == body_of(1)
    if before:
        assert len(list(Path("/proc/self/fd").iterdir())) == before + 2
    reader.close()
    if before:
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_many_threads_read_while_shards_are_opened_and_closed(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path, shard_name("raw", number))
    reader, wrong = ShardReader(tmp_path, kept=1), list[object]()

    def read(seed: int) -> None:
        chosen = random.Random(seed)
        try:
            for _ in range(50):
                image_id = chosen.randint(1, 7)
                assert reader.read(shard_name("raw", chosen.randrange(4)), image_id) == body_of(image_id)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_of_a_cut_tar_the_pictures_before_the_cut_are_read(tmp_path: Path) -> None:
    members = write(tmp_path)
    cut(tar_of(tmp_path), members[4].offset + 10)
    reader = ShardReader(tmp_path)
    assert not reader.is_whole(SHARD)
    assert reader.check(SHARD) == [5, 6, 7]
    assert reader.read(SHARD, 4) == body_of(4)
    with pytest.raises(PictureTrouble, match="Picture 5 is cut off, as after a power failure") as told:
        reader.read(SHARD, 5)
    assert told.value.image_id == 5 and "from a copy" in told.value.words()


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    members = write(tmp_path)
    flip(tar_of(tmp_path), members[2].offset + 50)
    reader = ShardReader(tmp_path)
    assert reader.is_whole(SHARD) and reader.check(SHARD) == [3]
    assert [member.image_id for member in reader.sound_members(SHARD)] == [1, 2, 4, 5, 6, 7]
    with pytest.raises(PictureTrouble, match="Picture 3 has other bytes"):
        reader.read(SHARD, 3)


def test_a_picture_that_the_shard_does_not_hold_is_told_apart(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(PictureTrouble, match="Picture 99 is not in shard raw-000000"):
        ShardReader(tmp_path).read(SHARD, 99)


@pytest.mark.parametrize("shard", ["raw-000009", "../raw-000000", "other-000000", "raw-000000.tar", ""])
def test_a_shard_that_is_not_there_says_so(tmp_path: Path, shard: str) -> None:
    write(tmp_path)
    (tmp_path / "below").mkdir()
    with pytest.raises(NoShard, match="There is no shard"):
        ShardReader(tmp_path / "below" if shard.startswith("..") else tmp_path).read(shard, 1)


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", '{"version": 2}', '{"version": 1, "tar_bytes": 5, "members": [[1]]}']
)
def test_a_missing_or_unreadable_index_is_rebuilt_from_the_tar(tmp_path: Path, text: str | None) -> None:
    members = write(tmp_path)
    index_of(tmp_path).unlink() if text is None else index_of(tmp_path).write_text(text, encoding="utf-8")
    reader = ShardReader(tmp_path)
    with pytest.raises(NoIndex, match="index") as told:
        reader.read(SHARD, 1)
    assert "python run.py archive" in told.value.words()
    assert reader.rebuild_index(SHARD) == members
    assert ShardReader(tmp_path).members(SHARD) == members and reader.read(SHARD, 7) == body_of(7)


def test_the_rebuilt_index_of_a_cut_tar_holds_the_whole_pictures(tmp_path: Path) -> None:
    members = write(tmp_path)
    index_of(tmp_path).unlink()
    cut(tar_of(tmp_path), members[4].offset + members[4].size - 1)
    reader = ShardReader(tmp_path)
    assert reader.rebuild_index(SHARD) == members[:4]
    assert reader.is_whole(SHARD) and reader.check(SHARD) == []


def test_a_damaged_header_costs_the_rebuilt_index_one_picture(tmp_path: Path) -> None:
    members = write(tmp_path)
    flip(tar_of(tmp_path), members[2].offset - 512 + 3)
    assert ShardReader(tmp_path).rebuild_index(SHARD) == [*members[:2], *members[3:]]


def test_a_dropped_picture_is_listed_no_more_and_a_cut_stays_known(tmp_path: Path) -> None:
    members = write(tmp_path)
    cut(tar_of(tmp_path), members[5].offset)
    reader = ShardReader(tmp_path)
    reader.drop(SHARD, [6])
    assert reader.members(SHARD) == [*members[:5], members[6]]
    assert not reader.is_whole(SHARD)


def test_only_what_a_kill_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    write(tmp_path)
    for name in (".raw-000001.tar.part", ".pictures-000000.index.json.k3x_9", ".keep", "raw-notes.tar"):
        (tmp_path / name).touch()
    clear_left_overs(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".keep",
        index_of(tmp_path).name,
        tar_of(tmp_path).name,
        "raw-notes.tar",
    ]
    assert shards_in(tmp_path, "raw") == [SHARD] and shards_in(tmp_path / "none", "raw") == []
