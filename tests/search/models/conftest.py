"""What the tests of the image search share; torch is loaded only where a test asks for checkpoints."""

from __future__ import annotations

import importlib
import shutil
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.search.models.checkpoints import Shelf


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """A folder of checkpoints, each made when it is first asked for; gigabytes, so taken away at the end."""
    folder = tmp_path_factory.mktemp("shelf")
    yield importlib.import_module("tests.search.models.checkpoints").Shelf(folder)
    shutil.rmtree(folder)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection at once, as a machine without a network does."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("there is no network in these tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
