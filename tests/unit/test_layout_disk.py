"""Where a picture lies, by its number alone; and whether its disk is there and has room."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.disk import BYTES_PER_GB, Disk, settle
from imaging.layout import EXTENSIONS, FOLDERS, Layout, Store, number_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Layout(tmp_path / "images").downloaded


def put(store: Store, number: int, picture_format: str = "jpeg", content: bytes = b"x") -> Path:
    path = store.path(number, picture_format)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# Where a picture lies


@pytest.mark.parametrize(
    ("number", "picture_format", "place"),
    [
        (123456789, "jpeg", "789/123456789.jpg"),
        (2100000007, "png", "007/2100000007.png"),
        (5, "gif", "005/5.gif"),
        (1000, "webp", "000/1000.webp"),
    ],
)
def test_a_picture_lies_in_the_folder_of_its_last_three_digits(
    store: Store, number: int, picture_format: str, place: str
) -> None:
    assert store.path(number, picture_format) == store.root / place


def test_the_folders_have_the_names_that_the_readme_says(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    places = (layout.downloaded.root, layout.background_free.root, layout.primary.root, layout.shards)
    assert [path.name for path in places] == ["imagedownload", "imageall_new", "imageprimary", "imageall_tars"]
    assert {path.parent for path in places} == {tmp_path}


@given(st.integers(0, 10**18), st.sampled_from(sorted(EXTENSIONS)))
def test_the_number_is_read_back_from_the_name_and_names_its_folder(number: int, picture_format: str) -> None:
    path = Store(Path("images"), "").path(number, picture_format)
    assert number_of(path.name) == number
    assert int(path.parent.name) == number % FOLDERS and len(path.parent.name) == 3


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "123.jpg.140213",
        "123.JPG",
        "123.jpeg",
        "123.bmp",
        "123",
        ".jpg",
        "a123.jpg",
        "-5.jpg",
        "12 3.jpg",
        "123.jpg\n",
        "\u0661.jpg",
        "1" * 20 + ".jpg",
    ],
)
def test_any_other_name_holds_no_number(name: str) -> None:
    assert number_of(name) is None


@pytest.mark.parametrize("picture_format", EXTENSIONS)
def test_a_picture_is_found_by_its_number_whatever_its_format(store: Store, picture_format: str) -> None:
    assert store.find(77) is None
    path = put(store, 77, picture_format)
    assert store.find(77) == path
    assert store.find(1077) is None


def test_a_folder_tells_its_numbers_in_order_and_nothing_else(store: Store) -> None:
    for number in (9_007, 7, 2_100_000_007, 1_008):
        put(store, number)
    (store.root / "007" / "9007.jpg.part").touch()
    assert list(store.numbers(7)) == [7, 9_007, 2_100_000_007]
    assert list(store.numbers(9)) == []


def test_a_folder_that_was_made_ready_explains_itself_and_holds_nothing_half_written(store: Store) -> None:
    store.prepare()
    (store.aside / "5.jpg.123").write_bytes(b"half")
    whole = put(store, 5)
    store.prepare()
    assert list(store.aside.iterdir()) == []
    assert whole.read_bytes() == b"x"
    told = (store.root / "README.md").read_text(encoding="utf-8")
    assert "last three digits" in told and "imagedownload/789/123456789.jpg" in told


def test_a_readme_that_somebody_has_changed_stays(store: Store) -> None:
    store.prepare()
    (store.root / "README.md").write_text("mine", encoding="utf-8")
    store.prepare()
    assert (store.root / "README.md").read_text(encoding="utf-8") == "mine"


def test_a_folder_without_one_numbered_folder_counts_as_away(store: Store) -> None:
    assert store.is_away()
    store.prepare()
    (store.root / "1234").mkdir()
    assert store.is_away()
    put(store, 5)
    assert not store.is_away()


# Whether anything can be stored


def disk_of(store: Store, min_free_gb: float = 0.0, any_loose: bool = False) -> Disk:
    return Disk(store, min_free_gb, lambda: any_loose)


def test_the_first_look_makes_the_folder(store: Store) -> None:
    assert disk_of(store).trouble() == ""
    assert store.aside.is_dir() and (store.root / "README.md").is_file()


def test_with_less_free_than_is_asked_for_it_says_how_much_there_is_and_what_the_setting_is(store: Store) -> None:
    store.root.mkdir(parents=True)
    free_gb = shutil.disk_usage(store.root).free / BYTES_PER_GB
    words = disk_of(store, min_free_gb=free_gb * 2).trouble()
    assert str(store.root) in words and "MIN_FREE_GB" in words
    told_gb = [float(number) for number in re.findall(r"[0-9]+\.[0-9]", words.replace(str(store.root), ""))]
    assert told_gb[0] == pytest.approx(free_gb, abs=1.0), "others write on this disk too"
    assert disk_of(store, min_free_gb=free_gb / 2).trouble() == ""


@pytest.mark.parametrize("leave", ["nothing", "the folder", "the folder and its hidden one"])
def test_a_folder_that_is_gone_or_empty_though_rows_say_done_is_told_and_left_alone(store: Store, leave: str) -> None:
    if leave != "nothing":
        store.root.mkdir(parents=True)
    if leave == "the folder and its hidden one":
        store.aside.mkdir()
    before = sorted(store.root.parent.rglob("*"))
    words = disk_of(store, any_loose=True).trouble()
    assert str(store.root) in words and "is its disk mounted?" in words
    assert sorted(store.root.parent.rglob("*")) == before


def test_a_disk_that_comes_back_is_no_trouble_any_more(store: Store) -> None:
    disk = disk_of(store, any_loose=True)
    put(store, 5)
    assert disk.trouble() == ""
    store.root.rename(store.root.with_name("away"))
    assert disk.trouble() != ""
    store.root.with_name("away").rename(store.root)
    (store.aside / "5.jpg.123").write_bytes(b"half")
    assert disk.trouble() == ""
    assert list(store.aside.iterdir()) == [], "it is made ready anew"


def test_a_place_where_no_folder_can_be_is_told_with_its_name(store: Store) -> None:
    store.root.parent.mkdir()
    store.root.write_text("in the way", encoding="utf-8")
    assert str(store.root) in disk_of(store).trouble()
    assert store.root.read_text(encoding="utf-8") == "in the way"


def test_after_something_could_not_be_stored_the_folder_is_made_ready_anew(store: Store) -> None:
    disk = disk_of(store)
    assert disk.trouble() == ""
    shutil.rmtree(store.aside)
    assert disk.trouble() == ""
    assert not store.aside.exists(), "a look each second does not touch what is ready"
    disk.unusable()
    assert disk.trouble() == ""
    assert store.aside.is_dir()


def test_files_are_settled_where_their_folder_is_and_an_error_elsewhere(store: Store) -> None:
    paths = [put(store, number) for number in (5, 6)]
    settle(store.root, paths)
    settle(store.root, [])
    with pytest.raises(FileNotFoundError):
        settle(store.root / "nowhere", [store.root / "nowhere" / "5.jpg"])


def test_what_cannot_be_cleared_from_the_hidden_folder_is_told_and_stays(store: Store) -> None:
    """A folder in there is nothing that a kill leaves behind."""
    (store.aside / "somebody's").mkdir(parents=True)
    assert str(store.root) in disk_of(store).trouble()
    assert (store.aside / "somebody's").is_dir()
