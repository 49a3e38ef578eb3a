"""Disks of a test's own, for crawlers to fill, and to lose."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.process import Crawler
from tests.truth import differences


class Disk:
    """A file system that is mounted on a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def change(self, option: str) -> None:
        """Mount it anew, with another size or read-only."""
        mount("-o", f"remount,{option}", str(self.path))

    def take_away(self) -> None:
        """Unmount it, though files on it are open."""
        subprocess.run(["umount", "-l", str(self.path)], capture_output=True, check=True)


@contextmanager
def mounted(path: Path, size: str = "64m", store: Path | None = None) -> Iterator[Disk]:
    """Have a disk in memory on this folder, or with `store` what lies in another folder; the test is skipped without.

    What the folder held is hidden meanwhile.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("mounting a disk needs root")
    path.mkdir(parents=True, exist_ok=True)
    try:
        mount(*(("--bind", str(store)) if store else ("-t", "tmpfs", "-o", f"size={size}", "tmpfs")), str(path))
    except OSError as error:
        pytest.skip(f"a disk cannot be mounted here: {error}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], capture_output=True, check=False)


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip())


def told(crawler: Crawler) -> str:
    """Return what the last process printed, as one line; it holds no traceback."""
    assert "Traceback" not in crawler.output, crawler.output
    return " ".join(crawler.output.split())


def assert_goes_on_to_a_true_end(crawler: Crawler) -> None:
    """Crawl to the sleep: nothing is missing, nothing is there twice, the file is sound."""
    crawler.start()
    crawler.wait_until("it is at work", lambda: "Going on at" in crawler.output)
    crawler.crawl_to_sleep()
    assert differences(crawler.rows, crawler.sandbox) == []
    assert crawler.data_set.faults() == []
