"""What the tests of publishing start from: a bench without and one with a sandbox; databases of both kinds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from peewee import Database

from models.publishing import PUBLISHING_MIGRATIONS, PUBLISHING_MODELS
from runtime.database import open_database
from sandbox import SandboxServer
from tests.postgresql import new_database, own_server
from tests.publishing.bench import Bench, new_server


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with new_server() as serving:
        yield serving


@pytest.fixture
def shop(tmp_path: Path, server: SandboxServer) -> Iterator[Bench]:
    """A bench whose Etsy is a sandbox over HTTP."""
    made = Bench(tmp_path / "home", server)
    yield made
    made.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    with own_server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty publishing database of each kind, opened in this thread; other threads open connections of their own."""
    url = "sqlite:///data/fieldfen.db"
    if request.param == "postgresql":
        name = f"d{abs(hash(request.node.nodeid))}"
        url = new_database(request.getfixturevalue("postgresql"), name)
    with ExitStack() as stack:
        opened = open_database(url, tmp_path, PUBLISHING_MODELS, PUBLISHING_MIGRATIONS)
        stack.callback(opened.close)
        yield opened
