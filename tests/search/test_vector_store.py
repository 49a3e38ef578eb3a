"""The vector store: a batch is in every file or in none, whatever happens, and nothing foreign gets in."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from peewee import SqliteDatabase

from models import ImageStatus, Listing, Shop, VectorBatch
from runtime.database import transaction
from runtime.errors import OperatorNeeded, UserMistake
from runtime.stop import Stop
from search.catalogue import Make
from search.store import rows
from search.store.checks import BadVectors
from search.store.vector_store import VectorStore
from search.store.vectors import Halves
from search.tasks import EmbedResult, Key, task_id
from tests.deaths import dies_at
from tests.rig import VirtualClock
from tests.search.home import open_home
from tests.search.small import SMALL

BATCHES, BATCH, SHARD_ROWS = 5, 4, 10
LISTS = dict.fromkeys(("tags", "materials", "production_partners"), "[]")
AT = "2026-11-21T00:00:00Z"
MAKES = {name: Make(name, "weights", "small", "small") for name in SMALL}
IDS = {name: make.id for name, make in MAKES.items()}
KEYS = [Key(100 + number // 2, 7_000 + number) for number in range(BATCHES * BATCH)]


def batch(number: int) -> tuple[Key, ...]:
    return tuple(KEYS[number * BATCH : (number + 1) * BATCH])


def vectors_of(name: str, keys: tuple[Key, ...]) -> Halves:
    """Return vectors that follow from the file's name and the image alone."""
    dim = SMALL[name.removesuffix("_text")].dim
    drawn = [np.random.default_rng([key.image_id, *name.encode()]).normal(size=dim) for key in keys]
    found = np.array(drawn, np.float32).reshape(-1, dim)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float16)


def files_of(*models: str) -> list[str]:
    return [file for name in models or SMALL for file in SMALL[name].vector_files]


def result_for(keys: tuple[Key, ...], *models: str) -> EmbedResult:
    makes = {name: IDS[name] for name in models or SMALL}
    vectors = {name: vectors_of(name, keys) for name in files_of(*models)}
    return EmbedResult(task_id("embed", keys, makes), keys, {}, vectors, makes, "here", 1.0)


def add_listing(listing_id: int) -> None:
    if Listing.get_or_none(Listing.listing_id == listing_id) is None:
        Listing.create(listing_id=listing_id, shop=1, title="a chair", snapshot_timestamp=AT, **LISTS)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "data" / "embeddings").mkdir(parents=True)
    database = open_home(tmp_path)
    Shop.create(shop_id=1)
    for key in KEYS:
        add_listing(key.listing_id)
        told = {"hex": "a", "suffix": "b", "is_primary": 1, "download_done": 1, "bg_removed": 1}
        ImageStatus.create(listing=key.listing_id, image_id=key.image_id, shop_id=1, **told)
    database.close()
    yield tmp_path


@contextmanager
def opened(home: Path) -> Iterator[VectorStore]:
    """Open database and store as a start of `embed` does."""
    database = open_home(home)
    try:
        store = store_on(home, database)
        store.recover()
        store.settle_makes(MAKES)
        yield store
    finally:
        database.close()


def store_on(home: Path, database: SqliteDatabase) -> VectorStore:
    changing = partial(transaction, database, Stop(VirtualClock(), ()))
    return VectorStore(home / "data" / "embeddings" / "store", SMALL, changing, lambda: AT, SHARD_ROWS)


def add_all(home: Path) -> None:
    with opened(home) as store:
        for number in range(BATCHES):
            store.add(result_for(batch(number)), batch(number), IDS)


def check(store: VectorStore) -> int:
    """Assert that every committed row is in every file, as it was made, and nothing besides; return how many."""
    number = rows.number_of_rows()
    keys = tuple(rows.keys(0, number))
    for name, file in store.files.items():
        assert file.rows == number, name
        assert (file.read(0, number) == vectors_of(name, keys)).all() if number else True
    assert len(set(keys)) == number
    embedded = ImageStatus.select().where(ImageStatus.embedded == 1, ImageStatus.embed_dinov3_base == 1)
    assert {Key(image.listing.listing_id, image.image_id) for image in embedded} == set(keys)
    assert sum(told.number for told in VectorBatch.select() if "dinov3_base" in told.checksums) == number
    return number


def test_what_was_stored_is_read_again_across_shards(home: Path) -> None:
    add_all(home)
    with opened(home) as store:
        assert check(store) == len(KEYS)
        assert [path.name for path in sorted(store.files["dinov2_base"].folder.iterdir())] == [
            "000000.f16",
            "000001.f16",
        ]
        assert store.files["dinov2_base"].path(0).stat().st_mode & 0o222 == 0  # sealed


def test_a_death_at_any_look_at_a_file_leaves_each_batch_whole_or_absent(home: Path) -> None:
    deaths = 0
    for event in range(1, 2_000):
        died = dies_at(event, lambda: add_all(home))
        with opened(home) as store:
            stored = check(store)
            assert stored % BATCH == 0
        if not died:
            break
        deaths += 1
    assert stored == len(KEYS)
    assert deaths > 60


def test_a_batch_that_comes_twice_is_stored_once(home: Path) -> None:
    with opened(home) as store:
        assert store.add(result_for(batch(0)), batch(0), IDS)
        assert not store.add(result_for(batch(0)), batch(0), IDS)
        other = batch(0)[:2] + batch(1)[:2]  # another batch that shares images with the first
        assert not store.add(result_for(other), other, IDS)
        assert check(store) == BATCH


def test_rows_behind_the_last_commit_are_cut_off_and_half_a_row_too(home: Path) -> None:
    add_all(home)
    with opened(home) as store:
        path = store.files["clip_vitl14"].path(1)
    path.chmod(0o644)
    with path.open("ab") as file:
        file.write(b"x" * 333)
    with opened(home) as store:
        assert check(store) == len(KEYS)


@pytest.mark.parametrize("shard", [0, 1])
def test_a_file_that_lost_rows_stops_the_start_with_what_to_do_and_stays_as_it_is(home: Path, shard: int) -> None:
    add_all(home)
    path = home / "data/embeddings/store/dinov2_large" / f"{shard:06d}.f16"
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size - 2 * SMALL["dinov2_large"].dim)
    sizes = [file.stat().st_size for file in sorted(home.glob("data/embeddings/store/*/*"))]
    with pytest.raises(OperatorNeeded, match="were committed") as told, opened(home):
        pass
    assert "--renew dinov2_large" in told.value.words()
    assert [file.stat().st_size for file in sorted(home.glob("data/embeddings/store/*/*"))] == sizes


def test_other_bytes_in_the_last_batch_are_found_at_the_start(home: Path) -> None:
    add_all(home)
    path = home / "data/embeddings/store/clip_vitb32_text/000001.f16"
    path.chmod(0o644)
    body = bytearray(path.read_bytes())
    body[-3] ^= 1
    path.write_bytes(body)
    with pytest.raises(OperatorNeeded, match="is damaged"), opened(home):
        pass


def with_base(good: EmbedResult, found: npt.NDArray[Any]) -> EmbedResult:
    return replace(good, vectors={**good.vectors, "dinov2_base": found})


BAD: dict[str, tuple[Callable[[EmbedResult], EmbedResult], str]] = {
    "no numbers": (
        lambda good: replace(
            good, vectors={**good.vectors, "dinov2_base": good.vectors["dinov2_base"] * np.float16("nan")}
        ),
        "no numbers",
    ),
    "too long": (
        lambda good: replace(
            good, vectors={**good.vectors, "dinov2_base": good.vectors["dinov2_base"] * np.float16(2)}
        ),
        "length",
    ),
    "a row too few": (
        lambda good: with_base(good, good.vectors["dinov2_base"][1:]),
        "shape",
    ),
    "other numbers": (
        lambda good: with_base(good, good.vectors["dinov2_base"].astype(np.float32)),
        "float32",
    ),
    "a file too few": (
        lambda good: replace(
            good, vectors={name: rows for name, rows in good.vectors.items() if name != "clip_vitl14_text"}
        ),
        "the files",
    ),
    "another make": (lambda good: replace(good, makes={**good.makes, "dinov2_base": "other"}), "another make"),
    "other pictures": (lambda good: replace(good, keys=good.keys[::-1]), "other pictures"),
    "a picture left out": (lambda good: replace(result_for(good.keys[1:]), task_id=good.task_id), "other pictures"),
}


@pytest.mark.parametrize("how", BAD)
def test_what_was_not_asked_for_is_refused_and_the_store_stays_as_it_was(home: Path, how: str) -> None:
    spoil, words = BAD[how]
    with opened(home) as store:
        store.add(result_for(batch(0)), batch(0), IDS)
        with pytest.raises(BadVectors, match=words):
            store.add(spoil(result_for(batch(1))), batch(1), IDS)
        assert check(store) == BATCH


def test_a_picture_that_failed_gets_no_row_and_is_not_asked_for_again(home: Path) -> None:
    keys = batch(0)
    good = result_for(keys[1:])
    with opened(home) as store:
        assert store.add(replace(good, failed={keys[0]: "undecodable"}), keys, IDS)
        assert check(store) == BATCH - 1
        assert keys[0] not in [key for _, key in rows.to_embed(rows.START, 100)]
        assert len(rows.to_embed(rows.START, 100)) == len(KEYS) - BATCH


def test_a_batch_of_failures_alone_is_noted(home: Path) -> None:
    keys = batch(0)
    with opened(home) as store:
        assert store.add(replace(result_for(()), failed=dict.fromkeys(keys, "undecodable")), keys, IDS)
        assert check(store) == 0
        assert rows.count_waiting() == (0, len(KEYS) - BATCH)


def test_vectors_of_another_make_never_join_and_the_start_says_what_to_do(home: Path) -> None:
    add_all(home)
    other = {**MAKES, "dinov3_base": replace(MAKES["dinov3_base"], weights="newer")}
    with opened(home) as store, pytest.raises(UserMistake, match="weights weights, now newer") as told:
        store.settle_makes(other)
    assert "--renew dinov3_base" in told.value.words()


def test_a_model_that_is_made_anew_catches_up_row_by_row_and_new_rows_wait_for_it(home: Path) -> None:
    with opened(home) as store:
        for number in range(3):
            store.add(result_for(batch(number)), batch(number), IDS)
        store.forget("clip_vitl14")
        assert store.behind() == {"clip_vitl14": 0}
        assert ImageStatus.select().where(ImageStatus.embed_clip_vitl14 == 1).count() == 0
    with opened(home) as store:  # also after another start
        for first in (0, 6):
            keys = tuple(KEYS[first : first + 6])
            assert store.catch_up(result_for(keys, "clip_vitl14"), "clip_vitl14", first, keys, IDS["clip_vitl14"])
        assert store.behind() == {}
        assert check(store) == 3 * BATCH


def test_a_picture_that_is_gone_leaves_a_row_of_zeros_where_its_model_catches_up(home: Path) -> None:
    with opened(home) as store:
        store.add(result_for(batch(0)), batch(0), IDS)
        store.forget("dinov2_base")
        keys = batch(0)
        came = replace(result_for(keys[1:], "dinov2_base"), failed={keys[0]: "failed"})
        assert store.catch_up(came, "dinov2_base", 0, keys, IDS["dinov2_base"])
        assert store.behind() == {}
        file = store.files["dinov2_base"]
        assert not file.read(0, 1).any()
        assert (file.read(1, BATCH - 1) == vectors_of("dinov2_base", keys[1:])).all()


def test_rows_of_a_model_that_catches_up_are_taken_in_their_order_only(home: Path) -> None:
    with opened(home) as store:
        store.add(result_for(batch(0)), batch(0), IDS)
        store.forget("dinov2_base")
        later = batch(0)[2:]
        assert not store.catch_up(result_for(later, "dinov2_base"), "dinov2_base", 2, later, IDS["dinov2_base"])
        assert store.behind() == {"dinov2_base": 0}


def test_a_full_disk_in_the_middle_of_a_batch_leaves_what_was_and_the_next_try_succeeds(home: Path) -> None:
    with opened(home) as store:
        store.add(result_for(batch(0)), batch(0), IDS)
        most = BATCH * 2 * SMALL["clip_vitl14"].dim + 50  # its second batch does not fit, the smaller files' does
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        wal = home / "data/db/etsy_data.db-wal"
        assert wal.stat().st_size > most  # the database is not what is full here
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
            with pytest.raises(OperatorNeeded, match="cannot be used"):
                store.add(result_for(batch(1)), batch(1), IDS)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        assert rows.number_of_rows() == BATCH
    with opened(home) as store:
        assert check(store) == BATCH
        assert store.add(result_for(batch(1)), batch(1), IDS)
        assert check(store) == 2 * BATCH
