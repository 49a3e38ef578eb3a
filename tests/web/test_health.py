"""The page Health: what could not be read, and having it tried again."""

from __future__ import annotations

import io
import json
import re
import shutil
import sqlite3
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from starlette.testclient import TestClient

from tests.upkeep.home import settings_of
from tests.web.browsing import token_in
from tests.web.conftest import HOSTILE
from tests.web.serving import serving
from web.again import BROKEN, LATE, arguments_of, try_again
from web.wiring import build, build_parts

MOMENT = "2026-11-06T00:00:00Z"
FAILED = "INSERT INTO failed_items (kind, item_id, error, attempts, first_failed_at, last_failed_at)"


def database_of(home: Path) -> Path:
    return home / "data" / "db" / "etsy_data.db"


def rows(home: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database_of(home))) as database:
        return database.execute(query, values).fetchall()


@pytest.fixture
def home(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own whose crawl stands in BACKFILL, where a listing and an interval have failed."""
    home = tmp_path / "home"
    shutil.copytree(root, home, ignore=shutil.ignore_patterns("images"))
    listing_id, position = (
        listing(home),
        json.dumps({"state": "BACKFILL", "cursor": {}, "cycle": 2, "entered_at": MOMENT, "version": 1}),
    )
    with closing(sqlite3.connect(database_of(home))) as database, database:
        database.execute("UPDATE sync_state SET value = ? WHERE key = 'position'", (position,))
        database.execute("UPDATE indexed_listings SET detail_cycle = 2 WHERE listing_id = ?", (listing_id,))
        for kind, number in (("listing", listing_id), ("interval", 1)):
            database.execute(f"{FAILED} VALUES (?, ?, ?, 1, ?, ?)", (kind, str(number), HOSTILE, MOMENT, MOMENT))
    monkeypatch.setenv("CRAWLER_HOME", str(home))  # as the page's own process has it
    return home


@pytest.fixture
def page(home: Path) -> Iterator[TestClient]:
    built = build(build_parts(settings_of(home), Console(file=io.StringIO())))
    built.watcher.refresh()
    with closing(built.database), TestClient(built.app, base_url="http://127.0.0.1") as client:
        yield client


def listing(home: Path) -> int:
    return int(rows(home, "SELECT MIN(listing_id) FROM listings")[0][0])


def detail_cycle(home: Path) -> int:
    return int(rows(home, "SELECT detail_cycle FROM indexed_listings WHERE listing_id = ?", listing(home))[0][0])


def test_each_thing_that_failed_has_a_button_that_names_it_and_all_have_one(page: TestClient, home: Path) -> None:
    text = page.get("/health").text
    for name in (f"listing {listing(home)}", "interval 1"):
        assert f'<button aria-label="Try again: {name}">Try again</button>' in text
    assert "<button>Try all again</button>" in text
    assert text.count('<form action="/again" method="post">') == text.count('name="token"') == 3
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text and text.count("<script") == 1  # ours


def test_a_thing_is_due_again_at_the_press_of_its_button(page: TestClient, home: Path) -> None:
    text = page.get("/health").text
    (form,) = re.findall(rf'<form action="/again"[^§]*?Try again: listing {listing(home)}"', text)[:1]
    told = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    answer = page.post("/again", data=told)
    assert answer.status_code == 200
    assert f"<p>Due again, and read in this cycle: listing {listing(home)}.</p>" in answer.text
    assert "<p>No crawl is running: `python run.py` starts it.</p>" in answer.text
    assert detail_cycle(home) == 0
    assert len(rows(home, "SELECT 1 FROM failed_items")) == 2


def test_all_things_are_due_again_at_the_press_of_the_last_button(page: TestClient, home: Path) -> None:
    answer = page.post("/again", data={"token": token_in(page.get("/health").text), "kind": "all"})
    assert answer.status_code == 200
    assert f"read in this cycle: listing {listing(home)}." in answer.text
    assert "Closed for this cycle: interval 1." in answer.text
    assert detail_cycle(home) == 0


@pytest.mark.parametrize("token", [None, "", "x", "é"])
def test_without_the_forms_token_nothing_is_tried(page: TestClient, home: Path, token: str | None) -> None:
    told = {"kind": "all"} if token is None else {"kind": "all", "token": token}
    assert page.post("/again", data=told).status_code == 403
    assert page.get("/again").status_code == 405
    assert detail_cycle(home) == 2


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"kind": "chair", "number": "5"},
        {"kind": "listing"},
        {"kind": "all", "number": "5"},
        {"number": "5"},
        *({"kind": "listing", "number": number} for number in ("", "-5", "5 6", "٥", "1e3", "--help", "9" * 19)),
        {"kind": "--help", "number": "5"},
    ],
)
def test_what_names_nothing_that_can_fail_is_refused_and_no_command_is_run(
    page: TestClient, home: Path, told: dict[str, str]
) -> None:
    assert arguments_of(told) is None
    answer = page.post("/again", data={"token": token_in(page.get("/health").text), **told})
    assert answer.status_code == 400
    assert detail_cycle(home) == 2


def test_a_file_in_the_place_of_a_number_is_refused(page: TestClient, home: Path) -> None:
    told = {"token": token_in(page.get("/health").text), "kind": "listing"}
    assert page.post("/again", data=told, files={"number": b"5"}).status_code == 400


def test_what_has_been_read_meanwhile_is_told_in_the_commands_words(page: TestClient, home: Path) -> None:
    token = token_in(page.get("/health").text)
    answer = page.post("/again", data={"token": token, "kind": "shop", "number": "5"})
    assert answer.status_code == 409
    assert "shop 5 is not among what could not be read: nothing was changed." in answer.text


def test_other_pages_are_answered_while_the_command_waits_for_the_database(page: TestClient, home: Path) -> None:
    token, answers = token_in(page.get("/health").text), list[int]()
    pressed = threading.Thread(
        target=lambda: answers.append(page.post("/again", data={"token": token, "kind": "all"}).status_code)
    )
    with closing(sqlite3.connect(database_of(home), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        pressed.start()
        assert page.get("/health").status_code == 200
        assert (pressed.is_alive(), answers) == (True, [])
        other.execute("ROLLBACK")
    pressed.join()
    assert answers == [200]
    assert detail_cycle(home) == 0


@pytest.mark.parametrize(
    ("program", "status", "words"),
    [("raise RuntimeError('the key is 12345')", 500, BROKEN), ("import signal; signal.pause()", 503, LATE)],
)
def test_a_command_that_dies_or_never_ends_is_told_in_words_of_ours(
    tmp_path: Path, program: str, status: int, words: str
) -> None:
    run = tmp_path / "run.py"
    run.write_text(program, encoding="utf-8")
    told = try_again((), run, 2.0)
    assert (told.status, list(told.lines)) == (status, [words])


def test_the_page_as_a_person_starts_it_works_on_its_own_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRAWLER_HOME")  # of the test; the page's process gets it
    with serving(home) as address:
        with urllib.request.urlopen(f"{address}health") as answer:
            token = token_in(answer.read().decode())
        told = urllib.parse.urlencode({"token": token, "kind": "listing", "number": listing(home)}).encode()
        with urllib.request.urlopen(f"{address}again", told) as answer:
            assert f"Due again, and read in this cycle: listing {listing(home)}." in answer.read().decode()
    assert detail_cycle(home) == 0
