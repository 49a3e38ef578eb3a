"""Generations: whole or not there, checked when opened, the older one in force whatever happens to the next."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import OperatorNeeded, UserMistake
from search.index.exact import Source
from search.index.generation import build_generation, current_folder
from search.index.manifest import Manifest
from search.index.opened import Generation, open_generation
from tests.search.vectors import DIMS, grow, make_ids, make_sources

ROWS = 3_000
ROOT = Path(__file__).parents[2]


def ignore(_: str) -> None:
    """Nobody listens."""


def nothing() -> None:
    """Nobody asks for a stop."""


def build(folder: Path, sources: dict[str, Source], **more: bool) -> Manifest:
    return build_generation(folder, sources, make_ids(max(s.rows for s in sources.values())), ignore, nothing, **more)


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Source]:
    return make_sources(tmp_path, ROWS)


@pytest.fixture
def built(tmp_path: Path, sources: dict[str, Source]) -> dict[str, Source]:
    build(tmp_path, sources)
    return sources


def refused(folder: Path, sources: dict[str, Source], words: str) -> str:
    with pytest.raises(OperatorNeeded, match=words) as raised:
        open_generation(folder, sources)
    return raised.value.advice


def test_the_names_of_the_contract_lead_to_the_current_generation(tmp_path: Path, built: dict[str, Source]) -> None:
    assert json.loads((tmp_path / "image_index.json").read_text()) == make_ids(ROWS).tolist()
    current = current_folder(tmp_path)
    assert current is not None
    assert {(tmp_path / f"{name}.faiss").resolve() for name in DIMS} == {current / f"{name}.faiss" for name in DIMS}
    opened = open_generation(tmp_path, built)
    assert np.array_equal(opened.ids, make_ids(ROWS))
    assert opened.names == tuple(DIMS) and not opened.missing
    assert [opened.read(name).rows for name in DIMS] == [ROWS] * len(DIMS)


def test_a_generation_that_grew_has_all_rows_and_replaces_the_one_before(
    tmp_path: Path, built: dict[str, Source]
) -> None:
    for rows in (3_100, 3_150, 3_200):
        manifest = build(tmp_path, built := grow(built, rows))
    opened = open_generation(tmp_path, built)
    assert {opened.read(name).rows for name in DIMS} == {3_200}
    assert {file.trained_rows for file in manifest.files.values()} == {ROWS}
    assert sorted(path.name for path in (tmp_path / "generations").iterdir()) == ["0003", "0004"]
    opened.check()


def test_a_reader_of_the_generation_before_keeps_what_it_opened(tmp_path: Path, built: dict[str, Source]) -> None:
    opened = open_generation(tmp_path, built)
    build(tmp_path, grow(built, 3_100))
    assert opened.read("dinov2_base").rows == len(opened.ids) == ROWS


def test_nothing_grows_from_a_file_that_is_damaged_of_other_rows_or_not_wanted(
    tmp_path: Path, built: dict[str, Source]
) -> None:
    larger = grow(built, 3_100)
    flip_a_bit(tmp_path / "clip_vitb32.faiss")
    trained = {name: file.trained_rows for name, file in build(tmp_path, larger).files.items()}
    assert trained == {name: 3_100 if name == "clip_vitb32" else ROWS for name in DIMS}
    others = make_ids(3_100) + 1
    assert build_generation(tmp_path, larger, others, ignore, nothing).files["dinov2_base"].trained_rows == 3_100
    build(tmp_path, grow(larger, 3_200))
    assert build(tmp_path, larger, anew=True).files["dinov2_base"].trained_rows == 3_100


def test_without_rows_nothing_is_built(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="no vectors"):
        build_generation(tmp_path, {}, make_ids(0), ignore, nothing)


def test_without_a_generation_the_advice_is_to_build_one(tmp_path: Path, sources: dict[str, Source]) -> None:
    assert "run.py index" in refused(tmp_path, sources, "no index yet")


def flip_a_bit(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-20, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-20, os.SEEK_END)
        file.write(bytes([byte ^ 1]))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 3)


def swap_rows(path: Path) -> None:
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([rows[1], rows[0], *rows[2:]], separators=(",", ":")))


def replace_link(path: Path) -> None:
    text = path.read_text()
    path.unlink()
    path.write_text(text)


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("clip_vitb32.faiss", truncate, r"clip_vitb32\.faiss has [\d,]+ bytes instead of"),
        ("image_index.json", swap_rows, "image_index.json disagrees"),
        ("image_index.json", truncate, "image_index.json disagrees"),
        ("image_index.json", replace_link, "not the one that was built"),
        ("current/rows.npy", truncate, "rows.npy disagrees"),
        ("current/manifest.json", truncate, "manifest.json cannot be understood"),
        ("current/rows.npy", Path.unlink, "rows.npy cannot be used"),
    ],
)
def test_what_was_damaged_is_refused_with_what_to_do(
    name: str, damage: Callable[[Path], None], words: str, tmp_path: Path, built: dict[str, Source]
) -> None:
    damage(tmp_path / name)
    assert refused(tmp_path, built, words)


def test_a_manifest_of_another_format_is_refused(tmp_path: Path, built: dict[str, Source]) -> None:
    path = tmp_path / "current" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    assert "--anew" in refused(tmp_path, built, "format 99")


def test_an_index_of_another_make_than_the_store_is_refused(tmp_path: Path, built: dict[str, Source]) -> None:
    foreign = {**built, "dinov2_base": replace(built["dinov2_base"], make="make-2")}
    assert "--anew" in refused(tmp_path, foreign, r"another make \(make-1\)")


def test_an_index_of_more_rows_than_the_store_is_refused(tmp_path: Path, built: dict[str, Source]) -> None:
    fewer = {**built, "dinov2_base": replace(built["dinov2_base"], rows=ROWS - 1)}
    assert "--anew" in refused(tmp_path, fewer, "the store only 2,999")


def test_an_index_that_holds_other_rows_than_the_manifest_says_is_refused(
    tmp_path: Path, built: dict[str, Source]
) -> None:
    opened = open_generation(tmp_path, built)
    shutil.copyfile(tmp_path / "clip_vitb32.faiss", tmp_path / "dinov2_base.faiss")
    with pytest.raises(OperatorNeeded, match="of 64 dimensions instead of 3,000 of 96"):
        opened.read("dinov2_base")


def test_a_flipped_bit_is_found_by_the_full_check_alone(tmp_path: Path, built: dict[str, Source]) -> None:
    flip_a_bit(tmp_path / "clip_vitb32.faiss")
    with pytest.raises(OperatorNeeded, match="SHA-256"):
        open_generation(tmp_path, built).check()


def test_the_others_answer_where_a_file_is_missing(tmp_path: Path, built: dict[str, Source]) -> None:
    (tmp_path / "clip_vitb32.faiss").resolve().unlink()
    more = {name: source for name, source in built.items() if name != "clip_vitb32_text"} | {
        "sixth": built["dinov2_base"]
    }
    opened = open_generation(tmp_path, more)
    assert opened.names == ("dinov2_base",)
    assert set(opened.missing) == {"clip_vitb32", "clip_vitb32_text", "sixth"}


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size", [100, 4_096, 40_000, 44_000])
def test_a_full_disk_leaves_the_old_generation_in_force(size: int, tmp_path: Path, built: dict[str, Source]) -> None:
    larger = grow(built, 3_100)
    with files_limited_to(size), pytest.raises(OperatorNeeded) as raised:
        build(tmp_path, larger)
    assert raised.value.advice
    assert open_whole(tmp_path, larger).manifest.rows == ROWS
    assert build(tmp_path, larger).rows == 3_100
    assert [path for path in (tmp_path / "generations").iterdir() if path.suffix] == []


def test_a_file_of_somebody_else_in_the_way_is_left_alone(tmp_path: Path, sources: dict[str, Source]) -> None:
    (tmp_path / "dinov2_base.faiss").write_text("mine")
    with pytest.raises(OperatorNeeded, match="in the way"):
        build(tmp_path, sources)
    assert (tmp_path / "dinov2_base.faiss").read_text() == "mine"


def open_whole(folder: Path, sources: dict[str, Source]) -> Generation:
    opened = open_generation(folder, sources)
    opened.check()
    assert not opened.missing
    return opened


KILLED = """
import os, signal, sys
from pathlib import Path
from search.index.exact import Source
from search.index.generation import build_generation
from search.store.vectors import VectorFile
from tests.search.vectors import DIMS, make_ids

folder, rows, steps = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def watch(frame, event, argument):
    global steps
    if event == "call" and any(part in frame.f_code.co_filename for part in ("/search/index/", "/runtime/files")):
        steps -= 1
        if not steps:
            os.kill(os.getpid(), signal.SIGKILL)

sources = {name: Source(VectorFile(folder / "store" / name, dim, 2_500), rows, "make-1") for name, dim in DIMS.items()}
sys.setprofile(watch)
build_generation(folder, sources, make_ids(rows), lambda line: None, lambda: None)
print(steps)
"""


def test_a_build_that_is_killed_anywhere_leaves_a_whole_generation_in_force(
    tmp_path: Path, built: dict[str, Source]
) -> None:
    larger = grow(built, 3_100)
    killed = 0
    for steps in (2, 40, 90, 110, 118, 124, 128, 131, 134, 137):  # a whole build is of some 140 of our functions
        command = [sys.executable, "-c", KILLED, str(tmp_path), "3100", str(steps)]
        killed += subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == -signal.SIGKILL
        assert open_whole(tmp_path, larger).manifest.rows in (ROWS, 3_100)
    assert killed >= 8
    assert build(tmp_path, larger).rows == 3_100
    assert [path for path in (tmp_path / "generations").iterdir() if path.suffix] == []
