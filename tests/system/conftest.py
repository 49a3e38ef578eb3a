"""What every system test starts from: a sandbox over HTTP and a crawler that ends with the test."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from sandbox import Sandbox, SandboxServer, SandboxSettings
from sandbox.settings import Clock
from tests.system.process import FAST, KEYSTRING, SECRET, Crawler

SMALL: dict[str, Any] = {"listings": 400, "shops": 8, "reviews_per_shop": 30.0, "calls_per_second": 1000}
"""A good twenty calls: a category tree, 4 searches, 3 batches, pages of reviews."""
TINY: dict[str, Any] = {"listings": 60, "shops": 5, "reviews_per_shop": 5.0}
"""6 calls, asleep a quarter of a second after the first."""


class Build(Protocol):
    """Makes a crawler with a sandbox of its own: `market` are fields of SandboxSettings, `settings` the crawler's."""

    def __call__(
        self,
        name: str = "crawl",
        market: dict[str, Any] | None = None,
        rate: float | None = FAST,
        clock: Clock | None = None,
        **settings: str,
    ) -> Crawler: ...


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than ten seconds")
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup the crawlers would inherit that it is ignored


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    with builder(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def half_way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawler]:
    """A crawl that was stopped in TAXONOMY; tests look at it and leave it as it is, `copy` is for the others."""
    with builder(tmp_path_factory.mktemp("half")) as build:
        crawler = build(rate=20)
        crawler.start()
        crawler.wait_until("page 3", lambda: ((crawler.position() or {}).get("cursor") or {}).get("offset") == 200)
        assert crawler.stop() == 0
        yield crawler


@pytest.fixture
def copy(build: Build, half_way: Crawler) -> Crawler:
    """A crawler of its own on a copy of that home, with an identical market."""
    crawler = build("copy")
    shutil.copytree(half_way.home, crawler.home, dirs_exist_ok=True)
    crawler.allow(FAST)
    return crawler


@contextmanager
def builder(folder: Path) -> Iterator[Build]:
    """Give a Build for a fixture of any scope; all that it made ends with the block."""
    with ExitStack() as stack:

        def make(
            name: str = "crawl",
            market: dict[str, Any] | None = None,
            rate: float | None = FAST,
            clock: Clock | None = None,
            **settings: str,
        ) -> Crawler:
            grown = SandboxSettings(**{**SMALL, "key": f"{KEYSTRING}:{SECRET}", **(market or {})})
            server = stack.enter_context(SandboxServer(Sandbox(grown, clock)))
            (folder / name).mkdir()
            crawler = Crawler(folder / name, server, rate, **settings)
            stack.callback(crawler.end)
            return crawler

        yield make
