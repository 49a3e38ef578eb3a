"""A listing is made once: wherever the worker dies, whatever becomes of Etsy's answer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from models.publishing import File, ServiceUsage
from publishing import files
from sandbox import Fault, SandboxServer
from tests.publishing.bench import LISTED, Bench, drafts, new_server
from tests.publishing.deaths import Count, dies_at

LATER_SECONDS = 3600.0  # by then every job that died counts as stalled
MOST_EVENTS = 400


@pytest.fixture(scope="module")
def shared() -> Iterator[SandboxServer]:
    with new_server() as serving:
        yield serving


@pytest.fixture(scope="module")
def approved(tmp_path_factory: pytest.TempPathFactory, shared: SandboxServer) -> Path:
    """A home in which one file is approved and its CreateListing is pending."""
    root = tmp_path_factory.mktemp("approved")
    bench = Bench(root, shared)
    file_id = bench.processed()
    files.approve(file_id, bench.clock.now())
    bench.enqueue("CreateListing", LISTED, file_id)
    bench.close()
    return root


def carry_out(root: Path, server: SandboxServer, count: Count) -> None:
    bench = Bench(root, server)
    connect: Any = bench.database.connection
    connect().set_trace_callback(lambda statement: count())
    bench.drain()


def assert_listed_once(bench: Bench, server: SandboxServer) -> None:
    """Hold that one listing was made, and that it is the one that is noted, with one picture."""
    made = drafts(server)
    assert len(made) == 1
    assert [row.platform_listing_id for row in bench.listings()] == [str(made[0]["listing_id"])]
    assert {row.status for row in File.select()} == {"published"}
    assert [len(draft.images) for draft in server.sandbox.seller.drafts.values()] == [1]


@pytest.mark.slow
def test_wherever_the_worker_dies_one_listing_is_made(approved: Path, shared: SandboxServer, tmp_path: Path) -> None:
    points = after_the_effect = 0
    for event in range(1, MOST_EVENTS):
        home = tmp_path / str(event)
        shutil.copytree(approved, home)
        shared.sandbox.seller.drafts.clear()
        died = dies_at(event, partial(carry_out, home, shared))
        after_the_effect += bool(died and drafts(shared))
        bench = Bench(home, shared)
        bench.clock.ahead = LATER_SECONDS
        bench.drain()
        assert_listed_once(bench, shared)
        bench.close()
        shutil.rmtree(home)
        if not died:
            break
        points += 1
    assert points >= 30, "the deaths did not strike"
    assert after_the_effect >= 10, "no death came between the listing and its note"


@pytest.mark.parametrize("fault", ["reset", "server_error", "cut_body", "html"])
def test_a_listing_whose_answer_was_lost_is_found_again(shop: Bench, server: SandboxServer, fault: str) -> None:
    file_id = shop.processed()
    files.approve(file_id, shop.clock.now())
    server.sandbox.faults.add(Fault(fault, endpoint="createDraftListing", count=1))
    job_id = shop.enqueue("CreateListing", LISTED, file_id)
    shop.drain()
    assert (shop.job(job_id).status, shop.job(job_id).attempts) == ("pending", 1)
    assert "Etsy" in shop.job(job_id).last_error
    shop.drain()
    assert shop.job(job_id).attempts == 1, "tried again before its wait was over"
    shop.clock.ahead = 61.0
    shop.drain()
    assert shop.result(job_id)["was_there"] == "found"
    assert_listed_once(shop, server)


def test_a_second_command_for_the_same_shop_makes_no_second_listing(shop: Bench, server: SandboxServer) -> None:
    file_id = shop.processed()
    files.approve(file_id, shop.clock.now())
    jobs = [shop.enqueue("CreateListing", LISTED, file_id) for _ in range(2)]
    shop.drain()
    assert [shop.result(job_id)["was_there"] for job_id in jobs] == ["made", "noted"]
    assert_listed_once(shop, server)


def test_a_listing_is_found_where_the_database_is_older_than_it(shop: Bench, server: SandboxServer) -> None:
    file_id = shop.processed()
    files.approve(file_id, shop.clock.now())
    backup = {table: list(table.select().dicts()) for table in (File,)}
    shop.enqueue("CreateListing", LISTED, file_id)
    shop.drain()
    File.delete().execute()  # takes listings and jobs with it: then the backup comes back
    File.insert_many(backup[File]).execute()
    server.sandbox.seller.drafts[next(iter(server.sandbox.seller.drafts))].row["state"] = "active"  # published by hand
    job_id = shop.enqueue("CreateListing", LISTED, file_id)
    shop.drain()
    assert shop.result(job_id)["was_there"] == "found"
    assert len(drafts(server)) == 1
    assert [row.status for row in shop.listings()] == ["active"]


def test_a_listing_is_found_behind_many_others(shop: Bench, server: SandboxServer) -> None:
    file_id = shop.processed()
    files.approve(file_id, shop.clock.now())
    server.sandbox.faults.add(Fault("reset", endpoint="createDraftListing", count=1))
    job_id = shop.enqueue("CreateListing", LISTED, file_id)
    shop.drain()
    drafted = server.sandbox.seller.drafts
    (mine,) = drafted.values()
    for number in range(250):
        row: dict[str, Any] = {**mine.row, "listing_id": number + 1, "description": "another"}
        drafted[number + 1] = type(mine)(row)
    shop.clock.ahead = 61.0
    shop.drain()
    assert shop.result(job_id) == {"platform_listing_id": str(mine.row["listing_id"]), "was_there": "found"}


def test_every_call_is_counted_with_what_is_left_of_the_limit(shop: Bench, server: SandboxServer) -> None:
    file_id = shop.processed()
    files.approve(file_id, shop.clock.now())
    shop.enqueue("CreateListing", LISTED, file_id)
    shop.drain()
    counted = {row.endpoint: row.request_count for row in ServiceUsage.select()}
    made: dict[str, int] = {}
    for call in server.sandbox.calls:
        made[call.endpoint] = made.get(call.endpoint, 0) + 1
    assert counted == made and counted["createDraftListing"] == 1
    left = [row.rate_limit_remaining or 0 for row in ServiceUsage.select()]
    assert min(left) == server.sandbox.settings.quota_per_day - len(server.sandbox.calls)
