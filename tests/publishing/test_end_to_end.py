"""A person's way, through run.py as processes: a folder of pictures becomes listings at the sandbox."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sandbox import Fault, SandboxServer, SandboxSettings
from tests.publishing.bench import CHAIR, MARKET, TOKEN, drafts, draw, new_server
from tests.system.process import KEYSTRING, SECRET, Crawler

AT_ONCE_SECONDS = 5.0  # on a busy machine; left alone it takes half of one


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with new_server(**{**MARKET, "key": f"{KEYSTRING}:{SECRET}"}) as serving:
        yield serving


@pytest.fixture
def home(tmp_path: Path, server: SandboxServer) -> Iterator[Crawler]:
    shop_id = str(server.sandbox.seller.shop_id)
    made = Crawler(tmp_path, server, ETSY_OAUTH_TOKEN=TOKEN, ETSY_SHOP_ID=shop_id)
    yield made
    made.end()


def publish(home: Crawler, *arguments: str, status: int = 0) -> str:
    done = home.run("publish", *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def rows(home: Crawler, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(home.home / "data" / "fieldfen.db")) as database:
        return database.execute(query).fetchall()


def test_a_picture_goes_from_its_folder_to_a_draft_in_the_shop(home: Crawler, server: SandboxServer) -> None:
    art = home.folder / "art"
    draw(art / "heron - misty_morning.png", 300, 200)
    draw(art / "b.jpg", 200, 250)
    (art / "b.json").write_text(json.dumps({"title": "Dawn: patrol & co", "species": "osprey"}), encoding="utf-8")
    assert "2 new" in publish(home, "ingest", str(art), "--factor", "3", "--dpi", "240")
    assert "0 new, 2 known" in publish(home, "ingest", str(art))
    publish(home, "work", "--until-empty")
    found = json.loads(publish(home, "status", "--json"))
    assert found["files"]["processed"] == 2 and found["jobs"]["failed"] == 0
    ids = [row["id"] for row in found["waiting_for_approval"]]
    publish(home, "approve", *ids, "--price", "45", "--taxonomy-id", str(CHAIR))
    publish(home, "work", "--until-empty")
    assert rows(home, "SELECT status FROM files") == [("published",)] * 2
    made = {row["title"]: row for row in drafts(server)}
    assert made.keys() == {"Misty morning", "Dawn: patrol & co"}
    assert all(row["state"] == "draft" and row["price"]["amount"] for row in made.values())
    assert "osprey" in made["Dawn: patrol & co"]["tags"]
    noted = rows(home, "SELECT platform, platform_listing_id, status FROM listings")
    assert sorted(noted) == sorted(("etsy", str(row["listing_id"]), "draft") for row in made.values())
    assert all(draft.images for draft in server.sandbox.seller.drafts.values())
    with Image.open(next((home.home / "data/publishing/processed").glob("*.jpg"))) as picture:
        assert round(picture.info["dpi"][0]) == 240
    assert {row[0] for row in rows(home, "SELECT aspect_ratio FROM files")} == {"3:2", "4:5"}
    used = json.loads(publish(home, "usage", "--json"))
    assert [row["service"] for row in used] == ["etsy"]
    assert used[0]["calls"] == len(server.sandbox.calls)


def test_kill_ends_the_worker_and_several_may_work_at_once(home: Crawler) -> None:
    first = home.spawn("publish", "work")
    second = home.spawn("publish", "work")
    logs = home.home / "logs" / "publish.log", home.home / "logs" / "publish-2.log"
    try:
        home.wait_until(
            "both wait for jobs", lambda: all(path.exists() and "waiting" in path.read_text() for path in logs)
        )
        asked = time.monotonic()
        (home.home / "KILL").touch()
        assert (first.wait(10), second.wait(10)) == (0, 0)
        assert time.monotonic() - asked < AT_ONCE_SECONDS
    finally:
        for process in (first, second):
            process.kill()
            process.wait()
    assert not (home.home / "KILL").exists()


def test_what_cannot_be_is_said_with_what_to_do(home: Crawler) -> None:
    assert "no publishing database" in publish(home, "status", status=2)
    assert "There is no folder" in publish(home, "ingest", str(home.folder / "nowhere"), status=2)
    told = publish(home, "approve", "no-such-file", "--price", "1", "--taxonomy-id", "1", status=2)
    assert "There is no file no-such-file" in told
    assert SandboxSettings().oauth_token not in told


def test_kill_leaves_a_call_alone_that_is_under_way_and_its_listing_is_found_again(
    home: Crawler, server: SandboxServer
) -> None:
    draw(home.folder / "art" / "heron.png")
    publish(home, "ingest", str(home.folder / "art"))
    publish(home, "work", "--until-empty")
    ((file_id,),) = rows(home, "SELECT id FROM files")
    publish(home, "approve", file_id, "--price", "45", "--taxonomy-id", str(CHAIR))
    server.sandbox.faults.add(Fault("slow", endpoint="createDraftListing", seconds=20.0, count=1))
    home.start("publish", "work")
    home.wait_until("the draft is being made", lambda: bool(drafts(server)))
    asked = time.monotonic()
    assert home.stop() == 0
    assert time.monotonic() - asked < AT_ONCE_SECONDS
    assert rows(home, "SELECT status, attempts FROM jobs WHERE command_type = 'CreateListing'") == [("pending", 0)]
    publish(home, "work", "--until-empty")
    assert [draft["listing_id"] for draft in drafts(server)] == [
        int(row[0]) for row in rows(home, "SELECT platform_listing_id FROM listings")
    ]


def test_three_workers_at_once_list_each_of_many_pictures_once(home: Crawler, server: SandboxServer) -> None:
    for number in range(12):
        draw(home.folder / "art" / f"{number}.png", 20 + number, 20)
    publish(home, "ingest", str(home.folder / "art"))
    work_together(home)
    ids = [row[0] for row in rows(home, "SELECT id FROM files WHERE status = 'processed'")]
    assert len(ids) == 12
    publish(home, "approve", *ids, "--price", "45", "--taxonomy-id", str(CHAIR))
    work_together(home)
    assert rows(home, "SELECT DISTINCT status, attempts FROM jobs") == [("completed", 1)]
    noted = {int(row[0]) for row in rows(home, "SELECT platform_listing_id FROM listings")}
    assert noted == set(server.sandbox.seller.drafts) and len(noted) == 12
    counted = rows(home, "SELECT SUM(request_count) FROM api_usage")
    assert counted == [(len(server.sandbox.calls),)]


def work_together(home: Crawler) -> None:
    """Have three workers carry out all jobs."""
    processes = [home.spawn("publish", "work", "--until-empty") for _ in range(3)]
    try:
        assert [process.wait(60) for process in processes] == [0, 0, 0], home.output
    finally:
        for process in processes:
            process.kill()
            process.wait()
