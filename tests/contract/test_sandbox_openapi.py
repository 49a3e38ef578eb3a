"""Every kind of answer the sandbox gives is one that Etsy's own OpenAPI document allows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Answer, Fault, Sandbox, SandboxSettings

DOCUMENT = Path(__file__).resolve().parents[3] / "shared" / "spec" / "etsy-openapi.json"
PREFIX = "/v3/application"
KEY = SandboxSettings().key

# Where the sandbox leaves the document on purpose, and why.
BEYOND_THE_DOCUMENT = {
    "TransactionReview.review": "a review without words may come as null; `null_reviews` sets how many do",
}

pytestmark = pytest.mark.skipif(not DOCUMENT.exists(), reason=f"Etsy's document is not at {DOCUMENT}")


class Document:
    """Etsy's OpenAPI document: finds an operation's schema and holds a value against it."""

    def __init__(self, content: dict[str, Any]) -> None:
        self._schemas = content["components"]["schemas"]
        self._operations = {
            operation["operationId"]: operation
            for path in content["paths"].values()
            for operation in path.values()
            if isinstance(operation, dict) and "operationId" in operation
        }

    def schema(self, operation_id: str, status: int) -> dict[str, Any]:
        """Return the schema of an answer; a status that the operation does not name is an error's."""
        answer = self._operations[operation_id]["responses"].get(str(status))
        if answer is None:
            assert status != 200
            return {"$ref": "#/components/schemas/ErrorSchema"}
        return dict(answer["content"]["application/json"]["schema"])

    def faults(self, value: Any, schema: dict[str, Any], where: str = "") -> Iterator[str]:
        """Yield what is wrong with a value."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            yield from self.faults(value, self._schemas[name], name)
        elif value is None:
            if not schema.get("nullable") and where not in BEYOND_THE_DOCUMENT:
                yield f"{where} is null"
        elif "oneOf" in schema:
            yield from self._one_of(value, schema["oneOf"], where)
        else:
            yield from CHECKS[schema["type"]](self, value, schema, where)
            if "enum" in schema and value not in schema["enum"]:
                yield f"{where} is {value!r}, which is none of {schema['enum']}"

    def _one_of(self, value: Any, choices: list[dict[str, Any]], where: str) -> Iterator[str]:
        found = [list(self.faults(value, choice, where)) for choice in choices]
        if all(found):
            yield from found[0]

    def object_faults(self, value: Any, schema: dict[str, Any], where: str) -> Iterator[str]:
        """Yield what is wrong with an object: it has every key of the schema and no other."""
        properties = schema.get("properties", {})
        if not isinstance(value, dict):
            yield f"{where} is no object"
            return
        yield from (f"{where} lacks {key}" for key in properties.keys() - value.keys())
        yield from (f"{where} has the unknown key {key}" for key in value.keys() - properties.keys())
        for key in value.keys() & properties.keys():
            yield from self.faults(value[key], properties[key], f"{where}.{key}")

    def array_faults(self, value: Any, schema: dict[str, Any], where: str) -> Iterator[str]:
        """Yield what is wrong with an array."""
        if not isinstance(value, list):
            yield f"{where} is no array"
            return
        for item in value:
            yield from self.faults(item, schema["items"], f"{where}[]")

    def number_faults(self, value: Any, schema: dict[str, Any], where: str) -> Iterator[str]:
        """Yield what is wrong with a number or an integer."""
        allowed: tuple[type, ...] = (int,) if schema["type"] == "integer" else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed):
            yield f"{where} is {value!r}, no {schema['type']}"
        elif not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            yield f"{where} is {value}, out of bounds"

    def string_faults(self, value: Any, schema: dict[str, Any], where: str) -> Iterator[str]:
        """Yield what is wrong with a text."""
        if not isinstance(value, str):
            yield f"{where} is {value!r}, no text"

    def boolean_faults(self, value: Any, schema: dict[str, Any], where: str) -> Iterator[str]:
        """Yield what is wrong with a truth value."""
        if not isinstance(value, bool):
            yield f"{where} is {value!r}, neither true nor false"


CHECKS = {
    "object": Document.object_faults,
    "array": Document.array_faults,
    "integer": Document.number_faults,
    "number": Document.number_faults,
    "string": Document.string_faults,
    "boolean": Document.boolean_faults,
}


@pytest.fixture(scope="module")
def document() -> Document:
    return Document(json.loads(DOCUMENT.read_bytes()))


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    limits: dict[str, Any] = {"quota_per_day": 10**6, "calls_per_second": 10**6}
    return Sandbox(SandboxSettings(seed=3, listings=1200, reviews_per_shop=40, **limits))


def ask(sandbox: Sandbox, path: str, key: str = KEY, **params: Any) -> Answer:
    texts = {name: str(value) for name, value in params.items()}
    return sandbox.handle("GET", PREFIX + path, texts, {"x-api-key": key})


def wrong(document: Document, operation_id: str, answer: Answer) -> list[str]:
    assert answer.headers["content-type"] == "application/json"
    return sorted(set(document.faults(answer.json(), document.schema(operation_id, answer.status))))[:10]


def test_the_validator_finds_each_kind_of_mistake(document: Document) -> None:
    good: dict[str, Any] = {
        "id": 1,
        "level": 1,
        "name": "a",
        "parent_id": None,
        "children": [],
        "full_path_taxonomy_ids": [1],
    }
    schema = {"$ref": "#/components/schemas/SellerTaxonomyNode"}
    assert not list(document.faults(good, schema))
    lacking = {key: value for key, value in good.items() if key != "name"}
    bad: list[Any] = [
        lacking,
        {**good, "more": 1},
        {**good, "id": 0},
        {**good, "id": True},
        {**good, "name": None},
    ]
    bad += [{**good, "children": [lacking]}, {**good, "children": {}}, {**good, "name": 3}, []]
    assert all(list(document.faults(value, schema)) for value in bad)
    listing = document._schemas["ShopListing"]["properties"]["state"]
    assert list(document.faults("removed", listing))


def test_every_search_row_of_the_market_is_allowed(document: Document, sandbox: Sandbox) -> None:
    for offset in range(0, 1200, 100):
        answer = ask(sandbox, "/listings/active", limit=100, offset=offset)
        assert answer.status == 200
        assert not wrong(document, "findAllListingsActive", answer)


def test_every_batch_row_of_the_market_is_allowed(document: Document, sandbox: Sandbox) -> None:
    sandbox.move(200)
    ids = list(sandbox.truth().listings)
    for start in range(0, len(ids), 100):
        asked = ",".join(map(str, ids[start : start + 100]))
        answer = ask(sandbox, "/listings/batch", listing_ids=asked, includes="Images,Shop")
        assert answer.status == 200
        assert not wrong(document, "getListingsByListingIds", answer)
    assert not wrong(document, "getListingsByListingIds", ask(sandbox, "/listings/batch", listing_ids=ids[0]))


def test_every_shop_and_review_of_the_market_is_allowed(document: Document, sandbox: Sandbox) -> None:
    for shop_id in sandbox.truth().shops:
        assert not wrong(document, "getShop", ask(sandbox, f"/shops/{shop_id}"))
        answer = ask(sandbox, f"/shops/{shop_id}/reviews", limit=100)
        assert not wrong(document, "getReviewsByShop", answer)


def test_single_listings_images_taxonomies_and_the_ping_are_allowed(document: Document, sandbox: Sandbox) -> None:
    listing_id = next(iter(sandbox.truth().listings))
    asked = {
        "getListing": f"/listings/{listing_id}",
        "getListingImages": f"/listings/{listing_id}/images",
        "getSellerTaxonomyNodes": "/seller-taxonomy/nodes",
        "getBuyerTaxonomyNodes": "/buyer-taxonomy/nodes",
        "ping": "/openapi-ping",
    }
    for operation_id, path in asked.items():
        answer = ask(sandbox, path)
        assert answer.status == 200
        assert not wrong(document, operation_id, answer)


def test_a_null_text_is_the_only_leave_taken_from_the_document(document: Document) -> None:
    strict = Sandbox(SandboxSettings(listings=40, shops=8, null_reviews=1.0))
    reviews = next(answer for answer in _reviews_of(strict) if answer.json()["results"])
    assert {row["review"] for row in reviews.json()["results"]} == {None}


def _reviews_of(sandbox: Sandbox) -> Iterator[Answer]:
    for shop_id in sandbox.truth().shops:
        yield ask(sandbox, f"/shops/{shop_id}/reviews")


@pytest.mark.parametrize(
    ("operation_id", "path", "params", "status"),
    [
        ("findAllListingsActive", "/listings/active", {"offset": 12_001}, 400),
        ("findAllListingsActive", "/listings/active", {"offset": 11_999}, 400),
        ("findAllListingsActive", "/listings/active", {"sort_on": "colour"}, 400),
        ("findAllListingsActive", "/listings/active", {"limit": 101}, 400),
        ("getListingsByListingIds", "/listings/batch", {"listing_ids": "1,2"}, 404),
        ("getListingsByListingIds", "/listings/batch", {"listing_ids": ",".join(["1"] * 101)}, 400),
        ("getListing", "/listings/1", {}, 404),
        ("getListing", "/listings/0", {}, 400),
        ("getListingImages", "/listings/1/images", {}, 404),
        ("getShop", "/shops/1", {}, 404),
        ("getReviewsByShop", "/shops/1/reviews", {}, 404),
        ("getReviewsByShop", "/shops/1/reviews", {"min_created": 5}, 400),
        ("ping", "/openapi-pong", {}, 404),
    ],
)
def test_every_refusal_has_the_form_of_an_error(
    document: Document, sandbox: Sandbox, operation_id: str, path: str, params: dict[str, Any], status: int
) -> None:
    answer = ask(sandbox, path, **params)
    assert answer.status == status
    assert not wrong(document, operation_id, answer)


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/listings/active", {"min_price": "cheap"}),
        ("/listings/active", {"taxonomy_id": "chairs"}),
        ("/listings/batch", {"listing_ids": "1,x"}),
        ("/listings/batch", {}),
        ("/listings/abc", {}),
    ],
)
def test_a_failed_validation_is_an_array_of_path_type_and_message(
    sandbox: Sandbox, path: str, params: dict[str, Any]
) -> None:
    answer = ask(sandbox, path, **params)
    assert answer.status == 400
    assert [set(item) for item in answer.json()] == [{"path", "type", "message"}]


@pytest.mark.parametrize(("fault", "status"), [("server_error", 500), ("per_second_429", 429), ("daily_429", 429)])
def test_faults_that_speak_json_have_the_form_of_an_error(document: Document, fault: str, status: int) -> None:
    sandbox = Sandbox(SandboxSettings(listings=5))
    sandbox.faults.add(Fault(fault))
    answer = ask(sandbox, "/openapi-ping")
    assert answer.status == status
    assert not wrong(document, "ping", answer)


def test_a_refused_key_has_the_form_of_an_error(document: Document, sandbox: Sandbox) -> None:
    answer = ask(sandbox, "/listings/1/images", key="keystring")
    assert answer.status == 403
    assert not wrong(document, "getListingImages", answer)
