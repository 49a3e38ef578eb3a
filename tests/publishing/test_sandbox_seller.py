"""The sandbox's answers to a seller are those that Etsy's own document allows, and so are its refusals."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import requests
from PIL import Image

from sandbox import Answer, Sandbox, SandboxServer, SandboxSettings
from tests.contract.test_sandbox_openapi import DOCUMENT, PREFIX, Document
from tests.publishing.bench import CHAIR, TOKEN

pytestmark = pytest.mark.skipif(not DOCUMENT.exists(), reason=f"Etsy's document is not at {DOCUMENT}")
KEY = SandboxSettings().key
FORM = {
    "quantity": "1",
    "title": "A heron & its pond",
    "description": "It's grey.",
    "price": "45.00",
    "who_made": "i_did",
    "when_made": "made_to_order",
    "taxonomy_id": str(CHAIR),
    "tags": "heron,pond",
}


@pytest.fixture(scope="module")
def document() -> Document:
    return Document(json.loads(DOCUMENT.read_bytes()))


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return Sandbox(SandboxSettings(listings=60, shops=2, calls_per_second=10**6, quota_per_day=10**6))


def ask(
    sandbox: Sandbox, method: str, path: str, form: dict[str, str] | None = None, token: str = TOKEN, **query: str
) -> Answer:
    prepared = requests.Request(method, "http://a", data=form).prepare()
    headers = {"x-api-key": KEY, "authorization": f"Bearer {token}"}
    headers |= {name.lower(): value for name, value in prepared.headers.items()}
    body = prepared.body.encode() if isinstance(prepared.body, str) else b""
    return sandbox.handle(method, f"{PREFIX}/shops/{path}", query, headers, body)


def wrong(document: Document, operation_id: str, answer: Answer, status: int) -> list[str]:
    assert answer.status == status, answer.body
    if status == 400 and isinstance(answer.json(), list):
        return [] if all(set(item) == {"path", "type", "message"} for item in answer.json()) else ["an array"]
    return list(document.faults(answer.json(), document.schema(operation_id, status)))


def new_draft(sandbox: Sandbox) -> int:
    return int(ask(sandbox, "POST", f"{sandbox.seller.shop_id}/listings", FORM).json()["listing_id"])


def test_a_draft_is_one_that_the_document_allows_and_is_told_escaped(document: Document, sandbox: Sandbox) -> None:
    answer = ask(sandbox, "POST", f"{sandbox.seller.shop_id}/listings", FORM)
    assert not wrong(document, "createDraftListing", answer, 201)
    row = answer.json()
    assert row["state"] == "draft" and row["tags"] == ["heron", "pond"]
    assert row["description"] == "It&#39;s grey." and row["title"] == "A heron &amp; its pond"


def test_a_change_and_a_picture_are_answered_as_the_document_allows(document: Document, sandbox: Sandbox) -> None:
    path = f"{sandbox.seller.shop_id}/listings/{new_draft(sandbox)}"
    early = ask(sandbox, "PATCH", path, {"state": "active"})
    assert not wrong(document, "updateListing", early, 400) and "image" in early.json()["error"]
    picture = upload(sandbox, path)
    assert not wrong(document, "uploadListingImage", picture, 201)
    assert (picture.json()["full_width"], picture.json()["full_height"]) == (60, 40)
    changed = ask(sandbox, "PATCH", path, {"state": "active", "title": "Another"})
    assert not wrong(document, "updateListing", changed, 200)
    assert (changed.json()["state"], changed.json()["title"]) == ("active", "Another")


def test_a_picture_of_the_same_rank_takes_the_other_s_place_only_where_it_is_told_so(sandbox: Sandbox) -> None:
    listing_id = new_draft(sandbox)
    path = f"{sandbox.seller.shop_id}/listings/{listing_id}"
    for overwrite, number in (("true", 1), ("true", 1), ("false", 2)):
        assert upload(sandbox, path, overwrite=overwrite).status == 201
        assert len(sandbox.seller.drafts[listing_id].images) == number


@pytest.mark.parametrize("state", ["active", "inactive", "sold_out", "draft", "expired"])
def test_the_shop_s_listings_are_as_the_document_allows(document: Document, sandbox: Sandbox, state: str) -> None:
    new_draft(sandbox)
    path = f"{sandbox.seller.shop_id}/listings"
    answer = ask(sandbox, "GET", path, state=state, limit="100")
    assert not wrong(document, "getListingsByShop", answer, 200)
    assert {row["state"] for row in answer.json()["results"]} <= {state}
    page = ask(sandbox, "GET", path, state=state, limit="1", offset="1").json()
    assert page["results"] == answer.json()["results"][1:2] and page["count"] == answer.json()["count"]


@pytest.mark.parametrize("missing", [name for name in FORM if name != "tags"])
def test_a_draft_that_lacks_a_field_is_refused_and_not_made(document: Document, sandbox: Sandbox, missing: str) -> None:
    before = len(sandbox.seller.drafts)
    form = {name: value for name, value in FORM.items() if name != missing}
    answer = ask(sandbox, "POST", f"{sandbox.seller.shop_id}/listings", form)
    assert not wrong(document, "createDraftListing", answer, 400)
    assert len(sandbox.seller.drafts) == before


@pytest.mark.parametrize(
    "change",
    [
        {"title": "50% off: 100% heron"},
        {"title": "a\x00b"},
        {"price": "0"},
        {"price": "cheap"},
        {"quantity": "0"},
        {"who_made": "nobody"},
        {"when_made": "tomorrow"},
        {"taxonomy_id": "999999999"},
        {"tags": "heron!"},
        {"type": "spiritual"},
    ],
)
def test_a_draft_with_a_wrong_field_is_refused(document: Document, sandbox: Sandbox, change: dict[str, str]) -> None:
    answer = ask(sandbox, "POST", f"{sandbox.seller.shop_id}/listings", {**FORM, **change})
    assert not wrong(document, "createDraftListing", answer, 400)


def test_who_may_not_is_refused_in_the_form_of_an_error(document: Document, sandbox: Sandbox) -> None:
    own = sandbox.seller.shop_id
    other = next(shop_id for shop_id in sandbox.market.shops if shop_id != own)
    listing_id = new_draft(sandbox)
    asked: list[tuple[str, Answer, int]] = [
        ("createDraftListing", ask(sandbox, "POST", f"{own}/listings", FORM, token="wrong"), 401),
        ("createDraftListing", ask(sandbox, "POST", f"{other}/listings", FORM), 403),
        ("createDraftListing", ask(sandbox, "POST", "1/listings", FORM), 404),
        ("getListingsByShop", ask(sandbox, "GET", f"{own}/listings", token=""), 401),
        ("getListingsByShop", ask(sandbox, "GET", f"{own}/listings", state="gone"), 400),
        ("updateListing", ask(sandbox, "PATCH", f"{own}/listings/5", {"title": "a"}), 404),
        ("updateListing", ask(sandbox, "PATCH", f"{other}/listings/{listing_id}", {"title": "a"}), 403),
        ("uploadListingImage", ask(sandbox, "POST", f"{own}/listings/{listing_id}/images", {"rank": "1"}), 400),
        ("updateListing", ask(sandbox, "DELETE", f"{own}/listings/{listing_id}"), 404),
    ]
    for operation_id, answer, status in asked:
        assert not wrong(document, operation_id, answer, status)


def test_the_server_takes_a_picture_of_some_megabytes_over_http() -> None:
    picture = io.BytesIO()
    Image.effect_noise((1500, 1500), 90).save(picture, "PNG")
    assert len(picture.getvalue()) > 1 << 20
    with SandboxServer(Sandbox(SandboxSettings(listings=5, shops=1))) as server:
        path = f"{server.api_url}/shops/{server.sandbox.seller.shop_id}/listings"
        headers = {"x-api-key": KEY, "Authorization": f"Bearer {TOKEN}"}
        made = requests.post(path, data=FORM, headers=headers, timeout=10).json()
        files: Any = {"image": ("a.png", picture.getvalue(), "image/png")}
        answer = requests.post(f"{path}/{made['listing_id']}/images", files=files, headers=headers, timeout=10)
        assert answer.status_code == 201 and answer.json()["full_width"] == 1500


def upload(sandbox: Sandbox, path: str, overwrite: str = "true") -> Answer:
    picture = io.BytesIO()
    Image.new("RGB", (60, 40)).save(picture, "PNG")
    files: Any = {"image": ("a.png", picture.getvalue(), "image/png")}
    form = {"rank": "1", "overwrite": overwrite, "alt_text": "A heron"}
    prepared = requests.Request("POST", "http://a", data=form, files=files).prepare()
    assert isinstance(prepared.body, bytes)
    headers = {"x-api-key": KEY, "authorization": f"Bearer {TOKEN}", "content-type": prepared.headers["content-type"]}
    return sandbox.handle("POST", f"{PREFIX}/shops/{path}/images", {}, headers, prepared.body)
