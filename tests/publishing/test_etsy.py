"""Etsy's adapter against the sandbox: what it sends, what it makes of refusals, and what it keeps to itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from peewee import Database

from models.publishing import File, ServiceUsage
from publishing import files, report
from sandbox import Fault, SandboxServer
from tests.publishing.bench import LISTED, TOKEN, Bench, drafts

ENDPOINTS = ("getListingsByShop", "createDraftListing", "uploadListingImage")


def approved(bench: Bench) -> str:
    file_id = bench.processed()
    files.approve(file_id, bench.clock.now())
    return file_id


def published(bench: Bench) -> str:
    file_id = approved(bench)
    bench.enqueue("CreateListing", LISTED, file_id)
    bench.drain()
    assert bench.file(file_id).status == "published"
    return file_id


def test_a_draft_has_title_tags_price_mark_and_picture(shop: Bench, server: SandboxServer) -> None:
    file_id = published(shop)
    (draft,) = server.sandbox.seller.drafts.values()
    assert draft.row["title"] == "Misty morning" and "heron" in draft.row["tags"]
    assert draft.row["price"]["amount"] == 45 * draft.row["price"]["divisor"]
    assert draft.row["description"].splitlines()[-1] == f"Ref. {file_id}"
    assert [image["alt_text"] for image in draft.images] == ["Misty morning"]
    (listing,) = shop.listings()
    assert (listing.platform, listing.status, listing.listing_url) == ("etsy", "draft", draft.row["url"])
    assert [call.endpoint for call in server.sandbox.calls] == ["getListingsByShop"] * 5 + list(ENDPOINTS[1:])


def test_a_change_reaches_the_listing_and_is_noted(shop: Bench, server: SandboxServer) -> None:
    file_id = published(shop)
    change = {"platform": "etsy", "title": "Dusk", "description": "New words.", "state": "active"}
    job_id = shop.enqueue("UpdateListing", change, file_id)
    shop.drain()
    assert shop.result(job_id)["status"] == "active"
    (row,) = drafts(server)
    assert (row["title"], row["state"]) == ("Dusk", "active")
    assert row["description"] == f"New words.\n\nRef. {file_id}"
    assert [listing.status for listing in shop.listings()] == ["active"]
    shop.enqueue("UpdateListing", {"platform": "etsy", "state": "inactive"}, file_id)
    shop.drain()
    assert [listing.status for listing in shop.listings()] == ["delisted"]


def test_without_fields_the_listing_becomes_what_the_file_is_now(shop: Bench, server: SandboxServer) -> None:
    file_id = published(shop)
    metadata = shop.file(file_id).metadata_json.replace("Misty morning", "Clear evening")
    File.update(metadata_json=metadata).execute()
    shop.enqueue("UpdateListing", {"platform": "etsy"}, file_id)
    shop.drain()
    assert drafts(server)[0]["title"] == "Clear evening"
    assert [len(draft.images) for draft in server.sandbox.seller.drafts.values()] == [1]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"price": 5}, "takes no price"), ({"state": "sold_out"}, "one of active, inactive"), ({"title": ""}, "a text")],
)
def test_a_change_that_etsy_does_not_take_is_refused_before_any_call(
    shop: Bench, server: SandboxServer, change: dict[str, Any], words: str
) -> None:
    file_id = published(shop)
    before = len(server.sandbox.calls)
    job_id = shop.enqueue("UpdateListing", {"platform": "etsy", **change}, file_id)
    shop.drain()
    assert words in shop.error(job_id)
    assert len(server.sandbox.calls) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"price": 0}, "price must be"),
        ({"price": None}, "price must be"),
        ({"taxonomy_id": "chairs"}, "taxonomy_id must be"),
        ({"who_made": "nobody"}, "who_made must be one of"),
        ({"platform": "myspace"}, "platform must be one of"),
    ],
)
def test_a_listing_that_cannot_be_is_refused_before_any_call(
    shop: Bench, server: SandboxServer, change: dict[str, Any], words: str
) -> None:
    job_id = shop.enqueue("CreateListing", {**LISTED, **change}, approved(shop))
    shop.drain()
    assert words in shop.error(job_id)
    assert server.sandbox.calls == []


def test_what_etsy_refuses_fails_the_job_with_etsy_s_words(shop: Bench, server: SandboxServer) -> None:
    file_id = approved(shop)
    job_id = shop.enqueue("CreateListing", {**LISTED, "taxonomy_id": 999_999_999}, file_id)
    shop.drain()
    assert "HTTP 400: Invalid taxonomy_id" in shop.error(job_id)
    assert shop.file(file_id).status == "approved" and drafts(server) == []


def test_a_refused_token_fails_the_job_with_what_to_do_and_is_not_shown(shop: Bench, server: SandboxServer) -> None:
    file_id = approved(shop)
    server.sandbox.seller._token = f"{TOKEN}-renewed"
    job_id = shop.enqueue("CreateListing", LISTED, file_id)
    shop.drain()
    error = shop.error(job_id)
    assert "HTTP 401" in error and "ETSY_OAUTH_TOKEN" in error and TOKEN not in error


def test_without_a_token_the_job_says_what_to_set(bench: Bench) -> None:
    job_id = bench.enqueue("CreateListing", LISTED, approved(bench))
    bench.drain()
    assert "ETSY_OAUTH_TOKEN" in bench.error(job_id) and "ETSY_SHOP_ID" in bench.error(job_id)


@pytest.mark.parametrize("fault", ["per_second_429", "unavailable", "reset", "html"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_passing_trouble_anywhere_is_tried_again_and_ends_well(
    shop: Bench, server: SandboxServer, endpoint: str, fault: str
) -> None:
    server.sandbox.faults.add(Fault(fault, endpoint=endpoint, count=1))
    file_id = approved(shop)
    job_id = shop.enqueue("CreateListing", LISTED, file_id)
    shop.drain()
    assert shop.job(job_id).status == "pending" and shop.job(job_id).last_error
    shop.clock.ahead = 61.0
    shop.drain()
    assert shop.job(job_id).status == "completed" and shop.job(job_id).last_error is None
    assert len(drafts(server)) == len(shop.listings()) == 1
    assert [len(draft.images) for draft in server.sandbox.seller.drafts.values()] == [1]


def test_a_listing_that_was_copied_by_hand_is_not_noted_for_two_files(shop: Bench, server: SandboxServer) -> None:
    first = published(shop)
    second = approved(shop)
    (draft,) = server.sandbox.seller.drafts.values()
    draft.row["description"] = f"Ref. {first} Ref. {second}"
    job_id = shop.enqueue("CreateListing", LISTED, second)
    shop.drain()
    assert f"noted for file {first} already" in shop.error(job_id)
    assert shop.file(second).status == "approved" and len(shop.listings()) == 1


def test_the_whole_way_is_the_same_on_a_database_server(
    database: Database, server: SandboxServer, tmp_path: Path
) -> None:
    bench = Bench(tmp_path / "home", server, database)
    file_id = published(bench)
    assert [listing.platform_listing_id for listing in bench.listings()] == [str(drafts(server)[0]["listing_id"])]
    assert sum(row.request_count for row in ServiceUsage.select()) == len(server.sandbox.calls)
    found = report.survey(bench.rule, bench.clock.now())
    assert found["files"]["published"] == 1 and found["jobs"]["completed"] == 4
    bench.enqueue("DeleteFile", {}, file_id)
    bench.drain()
    assert bench.listings() == [] and File.select().count() == 0
