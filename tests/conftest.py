"""For all tests: nothing is timed; what the attacks counted is shown at the end of the run."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from tests.simulation.counts import COUNTS_FILE

settings.register_profile("untimed", deadline=None)  # a disk that is slow once says nothing about the code
settings.load_profile("untimed")
MADE_HERE = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    if COUNTS_FILE not in os.environ:  # the first process of the run; the others inherit it
        descriptor, path = tempfile.mkstemp(prefix="counts-")
        os.close(descriptor)
        os.environ[COUNTS_FILE] = path
        config.stash[MADE_HERE] = Path(path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    path = config.stash.get(MADE_HERE, None)
    if path is None:
        return
    lines = sorted(path.read_text(encoding="utf-8").splitlines())
    if lines:
        terminalreporter.section("attacks")
        for line in lines:
            terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    path = config.stash.get(MADE_HERE, None)
    if path is not None:
        path.unlink(missing_ok=True)
        del os.environ[COUNTS_FILE]
