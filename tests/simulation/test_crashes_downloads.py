"""The downloads die at every point, and a new life brings what is left: as if nothing had happened."""

from __future__ import annotations

import sys

import pytest

from tests.simulation.counts import note_count
from tests.simulation.test_crashes import in_words, kill

pytestmark = pytest.mark.slow


def test_wherever_the_downloads_die_the_end_is_the_same() -> None:
    """Rows and files are those of a run that never died, also after a power cut; a death costs at most one request.

    A picture that failed is one more, where its row still waited for others to be written with.
    """
    told = kill("downloads")
    assert told["failed"] == []
    assert told["most_extra"] == 1
    assert {"before a request", "after a request", "inside a write", "rename", "utime"} <= told["by_kind"].keys()
    assert {"inside a commit", "inside a checkpoint", "power cut"} <= told["by_kind"].keys()
    note_count("downloads killed at every point", in_words(told))


def test_downloads_that_write_their_rows_before_their_files_are_found_out() -> None:
    told = kill("downloads", "--plant", "rows first", "--skip", "60", "--limit", "40")
    assert told["failures"] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each file is synced on its own")
def test_downloads_that_do_not_wait_for_the_disk_are_found_out_by_a_power_cut() -> None:
    told = kill("downloads", "--plant", "unsettled", "--skip", "60", "--limit", "70")
    assert told["failures"] > 0
    assert all(words.startswith("power cut") for words in told["failed"])
