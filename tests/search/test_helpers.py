"""Helper machines: worker processes over TLS that join, work, die, and are refused; every image is stored once."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from rich.console import Console

from imaging.files import PictureFiles
from imaging.layout import Layout
from runtime.parts import Parts
from runtime.settings import Home, load_settings
from search.certificates import FOLDER, make_certificate
from search.embed_commands import embed
from search.wiring import Kit
from tests.search.home import DATABASE, ROOT, copy_of, crawled, small_kit
from tests.search.small import RoomRemover

PATIENCE_SECONDS = 90


@dataclass
class Network:
    """A home that waits for helpers, and the helpers' own folders."""

    home: Path
    address: str
    helpers: list[subprocess.Popen[bytes]]

    def start_helper(self, name: str, noise: float = 0.0, own_certificate: bool = False) -> subprocess.Popen[bytes]:
        folder = self.home.parent / name
        keys = folder / "data/embeddings" / FOLDER
        if own_certificate:
            keys.parent.mkdir(parents=True)
            make_certificate(keys, folder, time.time())
        else:
            shutil.copytree(self.home / "data/embeddings" / FOLDER, keys)
        command = [sys.executable, "-m", "tests.search.small_helper", str(folder), self.address, str(noise)]
        with (folder / "said.txt").open("wb") as said:
            helper = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
        self.helpers.append(helper)
        return helper

    def embed(self, **changes: Any) -> str:
        """Run `embed` at home, which waits with its own work until helpers have joined; return what it said."""
        out = io.StringIO()
        settings = load_settings(self.home, {"EMBED_ADDRESS": self.address})

        def kit(parts: Parts) -> Kit:
            return replace(small_kit(parts), index_command=("true",), **changes)

        embed(settings, Console(file=out, width=300), PictureFiles(Layout(Home(self.home).images), 0.0), (), kit)
        return out.getvalue()

    def batches(self) -> dict[str, int]:
        """Return how many rows each worker has brought."""
        with closing(sqlite3.connect(self.home / DATABASE)) as database:
            return dict(database.execute("SELECT worker, SUM(number) FROM vector_batches GROUP BY worker").fetchall())

    def is_complete(self) -> bool:
        with closing(sqlite3.connect(self.home / DATABASE)) as database:
            images, rows, different = database.execute(
                "SELECT (SELECT COUNT(*) FROM image_status), COUNT(*), COUNT(DISTINCT listing_id || ' ' || image_id) "
                "FROM vector_rows"
            ).fetchone()
        return bool(images == rows == different)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    home = copy_of(crawled(), tmp_path / "home")
    (home / "data/embeddings").mkdir(parents=True)
    make_certificate(home / "data/embeddings" / FOLDER, home, time.time())
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    found = Network(home, f"127.0.0.1:{port}", [])
    yield found
    for helper in found.helpers:
        helper.kill()
        helper.wait()


class Patient(RoomRemover):
    """Removes a background only once so many workers other than the home have brought something, or left."""

    def __init__(self, ready: Event) -> None:
        self._ready = ready

    def remove(self, body: bytes) -> Any:
        assert self._ready.wait(PATIENCE_SECONDS)
        return super().remove(body)


@contextmanager
def looking(database: Path, query: str, found: Event) -> Iterator[None]:
    """Set the event once the query finds a row."""
    over = Event()

    def look() -> None:
        with closing(sqlite3.connect(database)) as opened:
            while not over.wait(0.05):
                if opened.execute(query).fetchone() is not None:
                    found.set()
                    return

    thread = Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def wait_for(words: str, file: Path) -> None:
    """Return once the file has the words in it."""
    end, pause = time.monotonic() + PATIENCE_SECONDS, Event()
    while words not in file.read_text():
        assert time.monotonic() < end
        pause.wait(0.05)


CUT = "SELECT 1 FROM image_status WHERE bg_removed = 1"


def test_a_helper_does_part_of_the_work_and_waits_for_the_next_home(network: Network) -> None:
    helper = network.start_helper("helper")
    ready = Event()
    with looking(
        network.home / DATABASE, CUT, ready
    ):  # the home itself is stuck until the helper has brought something
        network.embed(load_remover=lambda: Patient(ready))
    assert network.is_complete()
    assert helper.poll() is None
    (network.home.parent / "helper/KILL_EMBED").touch()
    assert helper.wait(PATIENCE_SECONDS) == 0
    assert "Stopped by the file KILL_EMBED" in (network.home.parent / "helper/said.txt").read_text()
    assert not (network.home.parent / "helper/KILL_EMBED").exists()


def test_a_helper_that_is_killed_in_the_middle_loses_and_doubles_nothing(network: Network) -> None:
    helper = network.start_helper("helper")
    network.start_helper("other")
    ready = Event()

    class Killing(RoomRemover):
        def remove(self, body: bytes) -> Any:
            if helper.poll() is None:
                assert ready.wait(PATIENCE_SECONDS)
                os.kill(helper.pid, signal.SIGKILL)
                helper.wait()
            return super().remove(body)

    with looking(network.home / DATABASE, CUT, ready):
        network.embed(load_remover=Killing)
    assert helper.returncode == -signal.SIGKILL
    assert network.is_complete()


def test_a_helper_whose_models_give_something_else_is_refused_and_brings_nothing(network: Network) -> None:
    network.start_helper("liar", noise=0.5)

    class Waiting(RoomRemover):
        def remove(self, body: bytes) -> Any:
            wait_for("is refused", network.home / "logs/embed.log")
            return super().remove(body)

    said = network.embed(load_remover=Waiting)
    assert "was refused: The model does not reproduce the golden vectors" in said
    assert set(network.batches()) == {"here"}
    assert network.is_complete()


def test_a_helper_without_the_certificate_says_what_to_copy(network: Network, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    command = [sys.executable, "-m", "tests.search.small_helper", str(bare), network.address]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode != 0
    assert "copy its folder tls" in done.stderr


def test_who_has_another_certificate_is_not_let_in(network: Network) -> None:
    network.start_helper("stranger", own_certificate=True)
    said = network.home.parent / "stranger/said.txt"

    class Waiting(RoomRemover):
        def remove(self, body: bytes) -> Any:
            wait_for("No home answers", said)
            return super().remove(body)

    network.embed(load_remover=Waiting)
    assert set(network.batches()) == {"here"}
    assert network.is_complete()
