"""`run.py embed`: from downloaded pictures to rows in every file, through bad pictures, stops and deaths."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from crawler.changes import PicturesLost
from crawler.store.images import write_lost
from imaging.layout import Layout
from runtime.errors import OperatorNeeded, UserMistake
from runtime.parts import Parts
from search.background import Cut
from search.catalogue import Catalogue, Vectors
from search.embedders.table import MODELS
from search.wiring import Kit
from tests.deaths import dies_at
from tests.search.home import ROOT, change, copy_of, crawled, embed_home, open_home, rows_of, small_kit
from tests.search.small import SMALL, RoomRemover, SmallEmbedder, load_small

STATE = "SELECT COUNT(*), SUM(bg_removed), SUM(embedded), SUM(embed_clip_vitl14) FROM image_status"
ROWS = "SELECT listing_id, image_id FROM vector_rows ORDER BY row"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield copy_of(crawled(), tmp_path / "home")


def number_of_images(home: Path) -> int:
    return int(rows_of(home, "SELECT COUNT(*) FROM image_status")[0][0])


def vectors(home: Path) -> dict[tuple[int, int], tuple[bytes, ...]]:
    """Return every row's bytes in every file, by listing and image; asserts that all files are equally long."""
    keys = rows_of(home, ROWS)
    store = home / "data/embeddings/store"
    bodies = {file.parent.name: file.read_bytes() for file in store.glob("*/000000.f16")}
    lengths = {name: 2 * SMALL[name.removesuffix("_text")].dim for name in bodies}
    assert {name: len(body) for name, body in bodies.items()} == {name: len(keys) * lengths[name] for name in bodies}
    return {
        key: tuple(bodies[name][row * lengths[name] : (row + 1) * lengths[name]] for name in sorted(bodies))
        for row, key in enumerate(keys)
    }


def kit_with(**changes: Any) -> Callable[[Parts], Kit]:
    return lambda parts: replace(small_kit(parts), **changes)


def pictures_of(home: Path, folder: str) -> set[int]:
    return {int(path.stem) for path in (home / "images" / folder).rglob("*.jpg")}


def test_every_picture_gets_a_file_on_white_and_a_row_in_every_file(home: Path) -> None:
    number = number_of_images(home)
    assert f"{number} images embedded" in embed_home(home)
    assert rows_of(home, STATE) == [(number, number, number, number)]
    assert len(vectors(home)) == number
    assert pictures_of(home, "imageall_new") == pictures_of(home, "imagedownload")
    assert rows_of(home, "SELECT DISTINCT bg_outcome FROM image_status") == [("removed",)]


def test_the_first_pictures_of_listings_come_first(home: Path) -> None:
    embed_home(home)
    own = "image_id IN (SELECT image_id FROM image_status GROUP BY image_id HAVING COUNT(*) = 1)"
    rows = f"vector_rows JOIN image_status USING (listing_id, image_id) WHERE {own}"
    order = rows_of(home, f"SELECT is_primary FROM {rows} ORDER BY row")
    assert order == sorted(order, reverse=True)


def test_where_nothing_waits_no_model_is_loaded(home: Path) -> None:
    embed_home(home)

    def load(name: str) -> SmallEmbedder:
        raise AssertionError(name)

    assert "0 backgrounds removed, 0 images embedded" in embed_home(home, kit_with(load=load))


def test_what_is_no_picture_is_noted_and_the_others_go_on(home: Path) -> None:
    bad = min(pictures_of(home, "imagedownload"))
    path = Layout(home / "images").downloaded.path(bad, "jpeg")
    path.unlink()  # it is a link to another home's
    path.write_bytes(b"this is no picture")
    embed_home(home)
    assert rows_of(home, f"SELECT DISTINCT bg_removed, bg_outcome FROM image_status WHERE image_id = {bad}") == [
        (0, "undecodable")
    ]
    assert bad not in {image_id for _, image_id in vectors(home)}
    assert len(vectors(home)) == number_of_images(home) - len(
        rows_of(home, f"SELECT 1 FROM image_status WHERE image_id = {bad}")
    )


def test_a_picture_with_nothing_left_is_kept_as_it_was_and_says_so(home: Path) -> None:
    kept = min(pictures_of(home, "imagedownload"))
    path = Layout(home / "images").downloaded.path(kept, "jpeg")
    path.unlink()
    Image.new("RGB", (300, 200), (200, 190, 180)).save(path, "JPEG")
    assert "1 of them are as they were" in embed_home(home)
    assert rows_of(home, f"SELECT DISTINCT bg_removed, bg_outcome FROM image_status WHERE image_id = {kept}") == [
        (1, "kept")
    ]
    assert kept in {image_id for _, image_id in vectors(home)}


def test_a_picture_that_is_missing_is_passed_by_and_found_by_the_next_run(home: Path, tmp_path: Path) -> None:
    lost = min(pictures_of(home, "imagedownload"))
    path = Layout(home / "images").downloaded.path(lost, "jpeg")
    path.rename(tmp_path / "away")
    assert "wait for their background" in embed_home(home)
    assert lost not in {image_id for _, image_id in vectors(home)}
    (tmp_path / "away").rename(path)
    embed_home(home)
    assert len(vectors(home)) == number_of_images(home)


def test_a_disk_that_is_away_is_said_and_nothing_is_given_up(home: Path) -> None:
    (home / "images/imagedownload").rename(home / "images/elsewhere")
    with pytest.raises(OperatorNeeded, match="is their disk mounted"):
        embed_home(home)
    assert rows_of(home, "SELECT COUNT(*) FROM image_status WHERE bg_outcome IS NOT NULL") == [(0,)]


def test_a_disk_of_pictures_on_white_that_is_away_is_not_begun_anew(home: Path) -> None:
    embed_home(home)
    change(home, "UPDATE image_status SET bg_removed = 0, bg_outcome = NULL, embedded = 0")
    (home / "images/imageall_new").rename(home / "images/elsewhere")
    with pytest.raises(OperatorNeeded, match="is its disk mounted"):
        embed_home(home)
    assert not (home / "images/imageall_new").exists()


@dataclass
class Touching:
    """Removes backgrounds, and leaves a KILL file at the n-th picture."""

    file: Path
    at: int
    done: int = 0

    name = "touching"

    def remove(self, body: bytes) -> Cut:
        self.done += 1
        if self.done == self.at:
            self.file.touch()
        return RoomRemover().remove(body)


@pytest.mark.parametrize("name", ["KILL", "KILL_ORCH"])
def test_a_stop_keeps_what_is_stored_and_the_next_run_goes_on(home: Path, name: str) -> None:
    remover = Touching(home / name, 30)
    said = embed_home(home, kit_with(load_remover=lambda: remover))
    assert f"Stopped by the file {name}" in said
    assert not (home / name).exists()
    stored = len(vectors(home))
    assert stored < number_of_images(home)
    embed_home(home)
    assert len(vectors(home)) == number_of_images(home)


def test_kill_bg_ends_the_removal_alone_and_what_is_cut_is_still_embedded(home: Path) -> None:
    remover = Touching(home / "KILL_BG", 12)
    embed_home(home, kit_with(load_remover=lambda: remover))
    _, cut, embedded, _ = rows_of(home, STATE)[0]
    assert 0 < cut < number_of_images(home)
    assert cut == embedded
    assert not (home / "KILL_BG").exists()


def test_kill_embed_ends_the_embedding_alone_and_the_rest_is_still_cut(home: Path) -> None:
    remover = Touching(home / "KILL_EMBED", 12)
    embed_home(home, kit_with(load_remover=lambda: remover))
    number, cut, embedded, _ = rows_of(home, STATE)[0]
    assert cut == number
    assert embedded < number
    assert not (home / "KILL_EMBED").exists()


def test_a_death_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    whole = copy_of(crawled(12), tmp_path / "whole")
    embed_home(whole)
    wanted = vectors(whole)
    deaths = 0
    home = copy_of(crawled(12), tmp_path / "home")
    for event in range(20, 5_000, 13):  # each run goes on where the death before left it
        if not dies_at(event, partial(embed_home, home)):
            break
        deaths += 1
        if rows_of(home, STATE)[0][2] == len(wanted):
            home = copy_of(crawled(12), tmp_path / f"home{event}")
    assert deaths > 10
    embed_home(home)
    assert vectors(home) == wanted


@dataclass(frozen=True)
class Scarce:
    """An embedder that has memory for so many pictures at a time."""

    inner: SmallEmbedder
    most: int

    @property
    def make(self) -> Any:
        return self.inner.make

    def embed_pictures(self, pictures: Sequence[Image.Image]) -> Vectors:
        if self.most < len(pictures) < 16:  # the golden ones are as many
            raise MemoryError
        return self.inner.embed_pictures(pictures)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return self.inner.embed_texts(texts)


def test_a_worker_that_runs_out_of_memory_gets_smaller_batches(home: Path) -> None:
    embed_home(home, kit_with(load=lambda name: Scarce(load_small(name), 3)))
    assert len(vectors(home)) == number_of_images(home)


@dataclass(frozen=True)
class Choking:
    """An embedder that cannot bear pictures of some size, or any."""

    inner: SmallEmbedder
    sizes: frozenset[tuple[int, int]] | None

    @property
    def make(self) -> Any:
        return self.inner.make

    def embed_pictures(self, pictures: Sequence[Image.Image]) -> Vectors:
        if len(pictures) < 16 and any(self.sizes is None or picture.size in self.sizes for picture in pictures):
            raise RuntimeError("an odd size")
        return self.inner.embed_pictures(pictures)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return self.inner.embed_texts(texts)


def test_one_picture_that_a_model_chokes_on_is_given_up_alone(home: Path) -> None:
    odd = max(pictures_of(home, "imagedownload"))
    path = Layout(home / "images").downloaded.path(odd, "jpeg")
    with Image.open(path) as picture:
        smaller = picture.resize((333, 333))
    path.unlink()
    smaller.save(path, "JPEG")
    said = embed_home(home, kit_with(load=lambda name: Choking(load_small(name), frozenset({(333, 333)}))))
    assert "1 were given up" in said
    assert odd not in {image_id for _, image_id in vectors(home)}
    assert len(vectors(home)) == number_of_images(home) - 1


def test_a_model_that_chokes_on_everything_stops_the_run_and_little_is_given_up(home: Path) -> None:
    with pytest.raises(OperatorNeeded, match="an odd size"):
        embed_home(home, kit_with(load=lambda name: Choking(load_small(name), None)))
    assert len(vectors(home)) == 0
    assert rows_of(home, "SELECT COUNT(*) FROM image_status WHERE embed_outcome IS NOT NULL")[0][0] < 4


def test_a_model_that_does_not_give_its_golden_vectors_is_refused_and_nothing_is_stored(home: Path) -> None:
    with pytest.raises(OperatorNeeded, match="golden vectors"):
        embed_home(home, kit_with(load=lambda name: SmallEmbedder(name, noise=0.5)))
    assert not list((home / "data/embeddings/store").rglob("*.f16"))


def test_other_weights_are_refused_until_the_model_is_made_anew(home: Path) -> None:
    embed_home(home)
    before = vectors(home)
    newer = kit_with(
        load=lambda name: SmallEmbedder(name, "newer" if name == "dinov2_base" else "none"),
        reference=lambda name: SmallEmbedder(name, "newer" if name == "dinov2_base" else "none"),
    )
    one = "image_id = (SELECT MIN(image_id) FROM image_status)"
    change(home, f"UPDATE image_status SET embedded = 0 WHERE {one}")  # as if it had just come
    with pytest.raises(UserMistake, match="other weights"):
        embed_home(home, newer)
    change(home, f"UPDATE image_status SET embedded = 1 WHERE {one}")
    embed_home(home, newer, renew=["dinov2_base"])
    assert vectors(home) == before  # these weights differ by name alone
    assert rows_of(home, "SELECT DISTINCT rows FROM vector_files") == [(len(before),)]
    assert rows_of(home, "SELECT COUNT(DISTINCT make_id) FROM vector_makes") == [(len(SMALL) + 1,)]


def test_a_sixth_model_catches_up_with_the_rows_that_are_there(home: Path) -> None:
    five: Catalogue = {name: SMALL[name] for name in MODELS if name != "dinov2_large"}
    embed_home(home, kit_with(models=five))
    assert len(vectors(home)) == number_of_images(home)
    assert not (home / "data/embeddings/store/dinov2_large").exists()
    embed_home(home)
    assert len(vectors(home)) == number_of_images(home)
    assert (home / "data/embeddings/store/dinov2_large/000000.f16").exists()
    assert rows_of(home, "SELECT SUM(embed_dinov2_large) FROM image_status") == [(number_of_images(home),)]


def test_an_unknown_model_is_named_with_those_that_there_are(home: Path) -> None:
    with pytest.raises(UserMistake, match="no model dino"):
        embed_home(home, renew=["dino"])


def test_a_picture_on_white_that_is_lost_is_made_again_and_its_vectors_stay(home: Path) -> None:
    embed_home(home)
    before = vectors(home)
    lost = min(pictures_of(home, "imageall_new"))
    path = Layout(home / "images").background_free.path(lost, "jpeg")
    body = path.read_bytes()
    path.unlink()
    database = open_home(home)
    write_lost(PicturesLost({}, (lost,)))
    database.close()
    assert "1 backgrounds removed, 0 images embedded" in embed_home(home)
    assert path.read_bytes() == body
    assert vectors(home) == before


def test_indexes_of_all_rows_are_not_built_again(home: Path) -> None:
    embed_home(home, index=True)
    before = (home / "data/embeddings/current").readlink()
    embed_home(home, index=True)
    assert (home / "data/embeddings/current").readlink() == before


def test_status_tells_how_far_the_vectors_are_and_how_well_the_index_answers(home: Path) -> None:
    embed_home(home, index=True)
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", "status"],
        env={"CRAWLER_HOME": str(home), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    number = number_of_images(home)
    assert f"of {number} images; {number} are downloaded" in done.stdout
    assert f"of {number} images; recall@10 of its own rows 1.000 or more" in done.stdout
