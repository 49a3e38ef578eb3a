"""What every system test starts from: a sandbox over HTTP and a crawler that ends with the test.

With TEST_DATABASE=postgresql (`make test-postgres`) each crawler has a database on a server of the tests' own.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from sandbox import Sandbox, SandboxServer, SandboxSettings
from sandbox.settings import Clock
from tests.postgresql import own_server
from tests.system.data_sets import Databases, PostgresqlServer, sqlite_files
from tests.system.process import FAST, KEYSTRING, SECRET, UNHURRIED, Crawler

IN_ORDER, AHEAD = {"quota_per_day": 100}, {"quota_per_day": 5000}
"""Of the last hundred calls of a day none is made ahead, which else is a matter of how busy the machine is."""
SMALL: dict[str, Any] = {"listings": 400, "shops": 8, "reviews_per_shop": 30.0, "calls_per_second": 1000, **IN_ORDER}
"""A good twenty calls: a category tree, 4 searches, 3 batches, pages of reviews."""
TINY: dict[str, Any] = {"listings": 60, "shops": 5, "reviews_per_shop": 5.0}
"""6 calls, asleep a quarter of a second after the first."""
ON_POSTGRESQL = os.environ.get("TEST_DATABASE") == "postgresql"


class Build(Protocol):
    """Makes a crawler with a sandbox of its own: `market` are fields of SandboxSettings, `settings` the crawler's.

    On a copy of `like`, where that is given: of its home and of its database.
    """

    def __call__(
        self,
        name: str = "crawl",
        market: dict[str, Any] | None = None,
        rate: float | None = FAST,
        clock: Clock | None = None,
        like: Crawler | None = None,
        **settings: str,
    ) -> Crawler: ...


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sqlite_only(reason): is left out where the crawlers' database is PostgreSQL")
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup the crawlers would inherit that it is ignored


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items if ON_POSTGRESQL else []:
        for mark in item.iter_markers("sqlite_only"):
            item.add_marker(pytest.mark.skip(reason=f"SQLite only: {mark.args[0]}"))


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """What gives each crawler its database."""
    if not ON_POSTGRESQL:
        yield sqlite_files
        return
    with own_server() as address:
        yield PostgresqlServer(address)


@pytest.fixture
def build(tmp_path: Path, databases: Databases) -> Iterator[Build]:
    with builder(tmp_path, databases) as made:
        yield made


@pytest.fixture(scope="session")
def half_way(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> Iterator[Crawler]:
    """A crawl that was stopped in TAXONOMY; tests look at it and leave it as it is, `copy` is for the others."""
    with builder(tmp_path_factory.mktemp("half"), databases) as build:
        crawler = build(rate=UNHURRIED)
        crawler.start()
        crawler.wait_until("page 3", lambda: ((crawler.position() or {}).get("cursor") or {}).get("offset") == 200)
        assert crawler.stop() == 0
        yield crawler


@pytest.fixture
def copy(build: Build, half_way: Crawler) -> Crawler:
    """A crawler of its own on a copy of that home, with an identical market."""
    return build("copy", like=half_way)


@contextmanager
def builder(folder: Path, databases: Databases) -> Iterator[Build]:
    """Give a Build for a fixture of any scope; all that it made ends with the block."""
    with ExitStack() as stack:

        def make(
            name: str = "crawl",
            market: dict[str, Any] | None = None,
            rate: float | None = FAST,
            clock: Clock | None = None,
            like: Crawler | None = None,
            **settings: str,
        ) -> Crawler:
            grown = SandboxSettings(**{**SMALL, "key": f"{KEYSTRING}:{SECRET}", **(market or {})})
            server = stack.enter_context(SandboxServer(Sandbox(grown, clock)))
            (folder / name).mkdir()
            path = folder / name / "home" / "data" / "db" / "etsy_data.db"
            data_set = databases(path, None if like is None else like.data_set)
            crawler = Crawler(folder / name, server, None, data_set, **settings)
            stack.callback(crawler.end)
            if like is not None:
                shutil.copytree(like.home, crawler.home, dirs_exist_ok=True)
            if rate is not None:
                crawler.allow(rate)
            return crawler

        yield make
