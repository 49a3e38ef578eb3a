"""A crawl dies at every point, and a new life crawls on from what the dead one left: as if nothing had happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.counts import note_count

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
KINDS = {
    *("statement", "commit", "inside a commit", "after a commit", "inside a checkpoint", "before a request"),
    *("after a request", "open", "inside a write", "fsync", "after an fsync", "rename", "mkdir"),
}


def kill(*arguments: str) -> dict[str, Any]:
    """Have a run die as told, in a process without threads, and return what came of it."""
    command = [sys.executable, "-m", "tests.simulation.crashes", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-3_000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def in_words(told: dict[str, Any]) -> str:
    """Return the counts of a run of deaths in one line."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in told["by_kind"].items())
    return (
        f"{told['points']} points ({kinds}) that left {told['lives']} different remains; {told['failures']} of the "
        f"lives that went on from these ended differently, at most {told['most_extra']} request was made twice"
    )


def test_wherever_a_crawl_dies_the_end_is_the_same() -> None:
    """Every table, row for row, and every file are those of a crawl that never died; a death costs at most one call."""
    told = kill("crawl")
    assert told["failed"] == []
    assert told["most_extra"] == 1
    assert told["by_kind"].keys() >= KINDS
    assert told["points"] > 2_000
    note_count("crawl killed at every point", in_words(told))


def test_a_crawl_that_saves_its_position_after_its_rows_is_found_out() -> None:
    told = kill("crawl", "--plant", "position", "--skip", "500", "--limit", "200")
    assert any("has too much" in words for words in told["failed"])  # the step was done twice
