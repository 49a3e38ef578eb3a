"""Small files that are whole or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import OperatorNeeded, UserMistake
from runtime.files import (
    clear_left_overs,
    make_folders,
    read_json,
    trouble_in_words,
    write_json,
    write_whole,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet=st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet=st.characters(codec="utf-8")), inner),
    max_leaves=10,
)


@given(json_values)
def test_any_value_survives_being_written_down(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value


def test_the_folder_is_made_and_nothing_lies_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file.json"
    write_json(path, {"é": 1})
    write_json(path, {"é": 2})
    assert [found.name for found in path.parent.iterdir()] == ["file.json"]
    assert "é" in path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o777 == 0o644


def test_no_folder_is_made_above_it_where_a_home_has_gone(tmp_path: Path) -> None:
    with pytest.raises(OperatorNeeded, match="No such file") as gone:
        write_json(tmp_path / "home" / "checkpoints" / "file.json", {})
    assert "is its disk mounted?" in gone.value.advice
    with pytest.raises(FileNotFoundError):
        make_folders(tmp_path / "home" / "data" / "db", tmp_path / "home")
    assert list(tmp_path.iterdir()) == []


def test_folders_are_made_below_one_that_is_there(tmp_path: Path) -> None:
    for _ in range(2):
        make_folders(tmp_path / "data" / "db", tmp_path)
    make_folders(tmp_path, tmp_path)
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*")] == [Path("data"), Path("data/db")]


@pytest.mark.parametrize(("number", "advice"), [(errno.ENOSPC, "Free some space"), (errno.EROFS, "Make its disk writ")])
def test_a_disks_error_says_what_helps(number: int, advice: str) -> None:
    words = trouble_in_words(OSError(number, os.strerror(number), "/home/file"))
    assert str(words) == f"/home/file cannot be used ({os.strerror(number)})."
    assert words.advice.startswith(advice) and words.advice.endswith("then start again.")


def test_what_a_death_left_half_written_is_removed_a_day_later(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        patch.setattr(Path, "unlink", lambda path: None)  # a kill clears nothing away
        write_json(tmp_path / "file.json", {})
    (left,) = tmp_path.iterdir()
    others = [".hidden", ".notes.json", ".notes.json.old", "file.json"]
    for name in others:
        (tmp_path / name).touch()
    now = left.stat().st_mtime
    clear_left_overs(tmp_path, now + 3_600)
    assert left.exists()
    clear_left_overs(tmp_path, now + 90_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".hidden",
        ".notes.json",
        ".notes.json.old",
        "file.json",
    ]
    clear_left_overs(tmp_path / "nowhere", now)


def interrupt(descriptor: int) -> None:
    raise KeyboardInterrupt


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    write_whole(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OperatorNeeded, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["file.json"]


def test_a_folder_that_is_a_file_is_told_to_the_operator(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(OperatorNeeded):
        write_json(tmp_path / "data" / "file.json", {})


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"{'a': 1}"])
def test_a_file_that_is_no_json_is_told_with_its_path(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(text)
    with pytest.raises(UserMistake, match=r"file\.json"):
        read_json(path)


def test_a_file_that_is_not_there_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match=r"none\.json"):
        read_json(tmp_path / "none.json")
