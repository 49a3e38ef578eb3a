"""However an export ends, its folder is whole or not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.errors import OperatorNeeded, UserMistake
from runtime.settings import load_settings
from sandbox import Sandbox, SandboxServer, SandboxSettings
from tests.system.disks import mounted
from tests.system.process import Crawler
from tests.upkeep.exports import empty_home, exported, fill


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A home with an empty database."""
    return empty_home(tmp_path)


@pytest.fixture
def process(own: Path) -> Iterator[Crawler]:
    """Processes on a home whose export takes a few seconds."""
    fill(own, 400_000)
    with SandboxServer(Sandbox(SandboxSettings(listings=10, shops=2))) as server:
        crawler = Crawler(own, server, rate=None, CRAWLER_HOME=str(own))
        crawler.home = own
        yield crawler
        crawler.end()


def test_a_folder_with_something_in_it_is_refused_and_left_alone(own: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with_something(tmp_path / "folder")
    for name in ("file", "folder"):
        with pytest.raises(UserMistake, match="is there already"):
            exported(load_settings(own, {}), tmp_path / name)
    with pytest.raises(UserMistake, match="There is no folder"):
        exported(load_settings(own, {}), tmp_path / "nowhere" / "out")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["mine"]
    assert not list(tmp_path.glob("*.unfinished"))


def with_something(folder: Path) -> None:
    folder.mkdir()
    (folder / "mine").touch()


def test_an_empty_folder_is_taken(own: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert "rows" in exported(load_settings(own, {}), tmp_path / "out")
    assert (tmp_path / "out" / "manifest.json").exists()


def test_a_full_disk_is_told_in_words_and_nothing_is_left(own: Path, tmp_path: Path) -> None:
    fill(own, 200_000)
    with mounted(tmp_path / "disk", "64k") as disk:
        with pytest.raises(OperatorNeeded, match=r"out\.unfinished.* cannot be used \(No space left on device\)"):
            exported(load_settings(own, {}), disk.path / "out")
        assert list(disk.path.iterdir()) == []


def begin(process: Crawler, own: Path) -> Path:
    process.start("export", str(own / "out"))
    aside = own / "out.unfinished"
    process.wait_until("the first rows", lambda: (aside / "tables" / "listings_dynamic.parquet").exists())
    return aside


def test_killed_in_the_middle_it_leaves_nothing_that_looks_whole(process: Crawler, own: Path) -> None:
    aside = begin(process, own)
    process.kill()
    assert not (own / "out").exists() and not (aside / "manifest.json").exists()
    again = process.run("export", str(own / "out"))
    assert again.returncode == 2 and "delete the folder" in again.stderr


@pytest.mark.parametrize("ask", [lambda crawler: (crawler.home / "KILL").touch(), lambda crawler: crawler.send(15)])
def test_asked_to_stop_it_ends_and_leaves_nothing(process: Crawler, own: Path, ask: Callable[[Crawler], None]) -> None:
    aside = begin(process, own)
    ask(process)
    assert process.wait_for_end() == 0
    assert "nothing was written" in process.output
    assert not aside.exists() and not (own / "out").exists() and not (own / "KILL").exists()


def test_a_kill_file_from_before_is_not_meant_for_it(own: Path, tmp_path: Path) -> None:
    (own / "KILL").touch()
    exported(load_settings(own, {}), tmp_path / "out")
    assert (own / "KILL").exists() and (tmp_path / "out").is_dir()
