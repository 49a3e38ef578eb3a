"""Whatever JSON an answer holds, it gives records that the store takes and gives back, or is Unreadable."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example
from hypothesis import strategies as st

from crawler.api import parsing, reading, refusals
from crawler.api.records import Unreadable
from tests.fuzz import odd
from tests.fuzz.budget import fuzz
from tests.fuzz.mutants import KINDS, answer_of, answers, anything, mutants, row_of, seeded
from tests.fuzz.odd import Json, made
from tests.fuzz.shelf import SHOP_ID, Shelf

PARSERS: dict[str, Callable[[Any], Any]] = {
    "search": parsing.parse_search_page,
    "batch": parsing.parse_listing_batch,
    "listing": parsing.parse_listing,
    "images": parsing.parse_images,
    "shop": parsing.parse_shop,
    "reviews": lambda payload: parsing.parse_review_page(payload, SHOP_ID),
    "taxonomy": parsing.parse_taxonomy,
    "error": refusals.parse_error,
}
READERS: dict[str, Callable[[bytes], Any]] = {
    "search": reading.read_search_page,
    "batch": reading.read_listing_batch,
    "reviews": lambda body: reading.read_review_page(body, SHOP_ID),
}
LISTING = {"listing_id": 5, "shop_id": 6}


def listing(**odd_values: Any) -> Any:
    return {**LISTING, **odd_values}


def results(*rows: Any, **beside: Any) -> Any:
    return {"count": len(rows), "results": list(rows), **beside}


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.close()


def kept(shelf: Shelf, kind: str, payload: Any) -> bool:
    """Return whether the payload gave a record, which was then stored and read back."""
    try:
        record = PARSERS[kind](payload)
    except Unreadable as reason:
        str(reason).encode("utf-8")
        return False
    shelf.keep(kind, record)
    return True


@example(payload=Json(listing(tags=odd.nested("x", 700, ""))))
@example(payload=Json(listing(tags=[odd.HUGE])))
@example(payload=Json(listing(title=odd.HUGE)))
@example(payload=Json(listing(item_weight=odd.HUGE, quantity=odd.HUGE)))
@example(payload=Json([odd.nested("x", 3000, "error")]))
@example(payload=Json({"error": odd.nested(None, 1000, "")}))
@example(payload=Json({"error": odd.HUGE}))
@fuzz("any answer", payload=st.one_of(made(Json, odd.answers), seeded(answer_of), seeded(row_of), seeded(anything)))
def test_any_json_gives_a_record_or_is_unreadable(payload: Json) -> None:
    for parse in PARSERS.values():
        try:
            record = parse(payload.value)
        except Unreadable:
            continue
        repr(record).encode("utf-8")


@example(row=Json({"title": float("nan"), "shop_id": -3}), below=Json({"transaction_id": 0, "id": 0}))
@example(row=Json({"when_made": "a\x00b"}), below=Json({"review_count": 2**40}))
@fuzz("rows of any values", row=made(Json, odd.rows) | seeded(row_of), below=seeded(row_of))
def test_an_object_of_any_values_that_has_an_id_is_stored_and_comes_back(shelf: Shelf, row: Json, below: Json) -> None:
    one, other = row.value, below.value
    images = [{"listing_image_id": 3, **other}, {"listing_image_id": 4}]
    assert kept(shelf, "listing", {**one, "listing_id": 1, "shop": {"shop_id": 2, **other}, "images": images})
    assert kept(shelf, "search", results({**one, "listing_id": 1}, count=other.get("count")))
    assert kept(shelf, "reviews", results(one, {**other, "transaction_id": 8}))


@example(answer=("search", Json(results(listing(), count=2**31))))
@fuzz("mutated answers", answer=st.one_of([st.tuples(st.just(kind), mutants(kind)) for kind in KINDS]))
def test_a_mutated_answer_is_unreadable_or_stored_and_comes_back(shelf: Shelf, answer: tuple[str, Json]) -> None:
    kept(shelf, answer[0], answer[1].value)


def told(read: Callable[[Any], Any], given: Any) -> Any:
    """Return the record, or that there is none."""
    try:
        return read(given)
    except Unreadable:
        return Unreadable


@example(answer=("search", Json(results(listing(price={"amount": 5.0, "divisor": "100"}), {"listing_id": True}))))
@example(answer=("search", Json(results(listing(shop_id=0, when_made="&amp;#39;"), listing(taxonomy_id=2**63)))))
@example(answer=("batch", Json(results(listing(images=[{"listing_image_id": 3, "url_75x75": "x"}, None])))))
@example(answer=("batch", Json(results(listing(is_customizable=1, tags=["a", 3], item_weight="2.5"), None))))
@example(answer=("batch", Json(results(listing(shop={"shop_id": 2**60, "review_count": -1}, images={})))))
@example(answer=("batch", Json(results(listing(title="\ud83d", url="\x00&lt;&amp;lt;")))))
@fuzz("both ways", answer=st.one_of([st.tuples(st.just(kind), mutants(kind)) for kind in READERS]))
def test_an_answer_tells_the_same_whether_it_is_decoded_into_shapes_or_read_value_by_value(
    answer: tuple[str, Json],
) -> None:
    kind, payload = answer
    try:
        body = json.dumps(payload.value).encode()
    except RecursionError:
        assume(False)
    assert told(READERS[kind], body) == told(PARSERS[kind], reading.load_json(body))


@pytest.mark.parametrize("kind", READERS)
def test_an_answer_as_it_should_be_is_decoded_into_shapes(kind: str) -> None:
    """Value by value it would be read as well, but three times as slowly."""
    body = answers()[kind][0]
    decoders: dict[str, Any] = {
        "search": reading.SEARCH_PAGE,
        "batch": reading.LISTING_BATCH,
        "reviews": reading.REVIEW_PAGE,
    }
    assert len(decoders[kind].decode(body).results) == len(json.loads(body)["results"]) > 0


@pytest.mark.parametrize("kind", ["search", "batch", "images", "reviews"])
def test_an_answer_of_more_rows_than_one_statement_takes_is_unreadable_or_stored(shelf: Shelf, kind: str) -> None:
    numbers = range(1, 40_000)
    rows = [dict.fromkeys(("listing_id", "listing_image_id", "transaction_id"), number) for number in numbers]
    assert not kept(shelf, kind, results(*rows))
    assert kept(shelf, kind, results(*rows[:100]))


@example(payload=Json({"error": "a\nb\x00c\x1b[2Jd\ud83d"}))
@example(payload=Json([{"message": "\r\n"}, {"message": float("nan")}]))
@example(payload=Json("Missing listing_ids: 1234567890123456789012, 5"))
@fuzz(
    "errors",
    payload=st.one_of(
        made(Json, st.dictionaries(st.sampled_from(("error", "error_description")), odd.values)),
        seeded(answer_of),
        seeded(lambda rng: {"error": anything(rng)}),
    ),
)
def test_an_error_is_one_line_that_can_be_stored_and_shown_and_names_whole_ids(shelf: Shelf, payload: Json) -> None:
    error = refusals.parse_error(payload.value)
    assert error and error.isprintable() and len(error) <= refusals.MOST_ERROR
    shelf.keep("error", error)
    for listing_id in refusals.parse_missing_ids(error):
        assert re.search(rf"(?<![0-9])0*{listing_id}(?![0-9])", error)


def test_an_error_that_names_a_hundred_dead_listings_names_all_of_them() -> None:
    """An id that is cut in two would be another listing's."""
    ids = tuple(10**17 + number for number in range(100))
    error = f"Not all requested listings exist. Missing listing_ids: {', '.join(map(str, ids))}."
    assert refusals.parse_missing_ids(refusals.parse_error({"error": error})) == ids


def test_reviews_whose_transaction_id_is_0_are_told_apart() -> None:
    """They would all be one review, and the others lost."""
    rows = [{"transaction_id": 0, "listing_id": number, "create_timestamp": 7} for number in (1, 2, 3)]
    page = parsing.parse_review_page(results(*rows), SHOP_ID)
    assert len({review.transaction_id for review in page.reviews}) == 3
    assert all(review.transaction_id < 0 for review in page.reviews)


def test_a_row_that_is_no_review_is_counted() -> None:
    page = parsing.parse_review_page(results({"transaction_id": 1}, None, "x"), SHOP_ID)
    assert (len(page.reviews), page.unreadable) == (1, 2)


@pytest.mark.parametrize("text", ["١٢٣", "1_000", "²", "0x10", "", "5.5", "9" * 30])
def test_digits_are_ascii_digits(text: str) -> None:
    assert parsing.parse_listing({"listing_id": 1, "quantity": text}).quantity is None


def test_an_image_s_address_with_another_spelling_of_its_id_is_kept_whole() -> None:
    """007 is the number 7, and an address made of 7 leads elsewhere."""
    address = "https://i.etsystatic.com/1/r/il/ab12/007/il_570xN.007_x1.jpg"
    (image,) = parsing.parse_images([{"listing_image_id": 5, "url_570xN": address}])
    assert (image.image_id, image.hex, image.url) == (5, "", address)
