"""What the API's answers say, whatever they leave out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.api import fields, parsing, records, refusals
from crawler.api.records import ImageRecord, Unreadable

EXAMPLES = Path(__file__).parents[3] / "shared" / "spec" / "examples"


def example(name: str) -> Any:
    path = EXAMPLES / f"{name}.json"
    if not path.exists():
        pytest.skip(f"There is no {path}: the example answers are not part of this repository.")
    return json.loads(path.read_text(encoding="utf-8"))


# Etsy's own answers


def test_real_furniture_listings_are_read_as_they_stand() -> None:
    payload = example("listings_real_furniture")
    batch = parsing.parse_listing_batch(payload)
    assert not batch.unreadable
    for record, row in zip(batch.listings, payload["results"], strict=True):
        assert (record.listing_id, record.shop_id) == (row["listing_id"], row["shop_id"])
        assert record.is_customizable == int(row["is_customizable"])
        assert (record.item_weight, record.processing_min) == (row["item_weight"], row["processing_min"])
        assert (record.price.amount, record.price.divisor) == (row["price"]["amount"], row["price"]["divisor"])
        assert record.price.currency == row["price"]["currency_code"]
        assert json.loads(record.tags) == row["tags"]
        assert (record.shop, record.images) == (None, None)
        assert "&quot;" not in (record.title or "") + (record.description or "")


@pytest.mark.parametrize("kind", ["trimmed", "schema_complete"])
def test_a_search_page_and_a_batch_tell_count_listing_shop_and_price(kind: str) -> None:
    payload = example(f"findAllListingsActive_{kind}")
    page = parsing.parse_search_page(payload)
    assert (page.count, len(page.rows), page.unreadable) == (payload["count"], len(payload["results"]), 0)
    batch = parsing.parse_listing_batch(example(f"getListingsByListingIds_{kind}"))
    assert batch.listings and not batch.unreadable
    assert all(record.shop is not None and record.images for record in batch.listings)


def test_a_trimmed_listing_is_decoded_and_what_is_missing_is_none() -> None:
    record = parsing.parse_listing_batch(example("getListingsByListingIds_trimmed")).listings[0]
    assert record.title == "Blue Ridge Mountains Sweatshirt, Father's Day Gift"
    assert json.loads(record.tags) == ["hiking shirt", "retro sunset", "dad's gift"]
    assert (record.when_made, record.quantity, record.materials) == (None, None, "[]")
    assert record.shop is not None and record.shop.review_average == 4.92
    assert record.images is not None and [image.image_id for image in record.images] == [3908130649, 3908130650]
    assert all(image.url for image in record.images)


def test_real_images_are_named_by_their_address_not_by_their_id() -> None:
    payload = example("getListingImages_real")
    images = parsing.parse_images(payload)
    assert images[0] == ImageRecord(3659832288, 2, "93de17", "jcto", None)
    assert images[1] == ImageRecord(1789003088, None, "ae4b56", "7ovt", None)
    assert images[2] == ImageRecord(1127885104, None, "7bb9eb", "r4tf", None)
    assert len(images) == len(payload["results"])


def test_real_shops_and_reviews_are_read_as_they_stand() -> None:
    for row in example("getShop_real_partial"):
        shop = parsing.parse_shop(row)
        assert (shop.shop_id, shop.review_count, shop.review_average) == (
            row["shop_id"],
            row["review_count"],
            row["review_average"],
        )
        assert shop.is_shop_us_based == int(row["is_shop_us_based"])
        assert shop.shop_location_country_iso == row["shop_location_country_iso"]
    payload = example("getReviewsByShop_real_partial")
    page = parsing.parse_review_page(payload, 13646722)
    assert [review.buyer_user_id for review in page.reviews] == [row["buyer_user_id"] for row in payload["results"]]
    assert all(review.transaction_id < 0 for review in page.reviews), "the example tells no transaction_id"


def test_the_real_category_tree_keeps_its_49_furniture_nodes() -> None:
    nodes = parsing.parse_taxonomy(example("getSellerTaxonomyNodes_home_and_living_furniture"))
    assert {891, 967, 969, 12455} <= set(nodes)
    below, waiting = set[int](), [967]
    while waiting:
        node = nodes[waiting.pop()]
        below.add(node.id)
        waiting += node.children_ids
    assert len(below) == 49 or len(below) == 48
    assert nodes[967].parent_id == 891


def test_every_known_error_is_put_in_words() -> None:
    for told in example("errors"):
        words = refusals.parse_error(told["body"]) if not isinstance(told["body"], str) else "html"
        assert words and words != "no reason given"


# Texts


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("Father&#39;s", "Father's"),
        ("16&quot; wide &amp; deep", '16" wide & deep'),
        ("&lt;b&gt;", "<b>"),
        ("&amp;amp;", "&amp;"),
        ("&amp;#39;", "&#39;"),
        ("https://x?a=1&para=2&copy=3", "https://x?a=1&para=2&copy=3"),
        ("caf&eacute; &#x2014; &euro;5", "café — €5"),
        ("AT&T & co;", "AT&T & co;"),
        ("&nosuchthing;", "&nosuchthing;"),
        ("a\x00b", "ab"),
        ("\ud83d", "?"),
        ("🪑 椅子", "🪑 椅子"),
        ("", ""),
    ],
)
def test_entities_are_decoded_exactly_once(told: str, meant: str) -> None:
    assert fields.clean_text(told) == meant


@given(st.text())
def test_a_text_that_was_escaped_once_comes_back_as_it_was_meant(text: str) -> None:
    import html

    meant = text.replace("\x00", "")
    assert fields.clean_text(html.escape(meant)) == meant


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_becomes_one_that_a_database_takes(text: str) -> None:
    cleaned = fields.clean_text(text)
    assert "\x00" not in cleaned
    cleaned.encode("utf-8")


def test_lists_become_json_arrays_with_their_texts_cleaned() -> None:
    array = fields.json_array(["dad&#39;s", "é", {"a&amp;b": ["c&quot;"]}, 3, None, float("nan")])
    assert json.loads(array) == ["dad's", "é", {"a&b": ['c"']}, 3, None, None]
    assert "é" in array
    odd: tuple[Any, ...] = (None, "text", {}, 5)
    for value in odd:
        assert parsing.parse_listing({"listing_id": 1, "tags": value}).tags == "[]"


PIECES = ["walnut", "mid century", "é", "\u2028", "\ud800", "\x7f", '"', '", "', "\\", "&", "&amp;", "\x00", "\n", "</"]


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=3).map("".join) | st.none() | st.integers(0, 9), max_size=4))
def test_lists_are_kept_as_json_would_have_them_whatever_is_in_their_texts(values: list[Any]) -> None:
    cleaned = [fields.clean_text(value) if isinstance(value, str) else value for value in values]
    assert fields.json_array(values) == json.dumps(cleaned, ensure_ascii=False)


# Single values


@pytest.mark.parametrize(
    ("value", "flag"), [(True, 1), (False, 0), (1, 1), (0, 0), (None, None), ("true", None), (2, None), ([], None)]
)
def test_booleans_become_0_and_1_and_what_is_none_becomes_nothing(value: Any, flag: int | None) -> None:
    assert fields.read_flag({"x": value}, "x") == flag
    assert type(fields.read_flag({"x": value}, "x")) in (int, type(None))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5),
        ("5", 5),
        (5.9, 5),
        (None, None),
        (True, None),
        ("five", None),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (float("inf"), None),
        (float("nan"), None),
        ([], None),
        (-3, -3),
    ],
)
def test_whole_numbers_that_a_database_takes_and_no_others(value: Any, number: int | None) -> None:
    assert fields.read_integer({"x": value}, "x") == number


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5.0), ("5.5", 5.5), (None, None), (True, None), ("wide", None), (float("inf"), None), (10**400, None)],
)
def test_finite_numbers_and_no_others(value: Any, number: float | None) -> None:
    assert fields.read_real({"x": value}, "x") == number


@pytest.mark.parametrize(
    ("money", "major"),
    [
        ({"amount": 545, "divisor": 100, "currency_code": "USD"}, 5.45),
        ({"amount": 545, "divisor": 1, "currency_code": "JPY"}, 545.0),
        ({"amount": 545, "divisor": 0}, None),
        ({"amount": None, "divisor": 100}, None),
        (None, None),
        ("5.45", None),
    ],
)
def test_a_price_is_amount_by_divisor_where_both_are_told(money: Any, major: float | None) -> None:
    assert parsing.parse_search_row({"listing_id": 1, "price": money}).price.major == major


def test_every_key_may_be_missing_but_the_id() -> None:
    record = parsing.parse_listing({"listing_id": 5})
    assert record.listing_id == 5
    empty = {name for name in record.__struct_fields__ if getattr(record, name) is None}
    assert {"shop_id", "title", "when_made", "state", "shop", "images", "quantity", "item_weight"} <= empty
    with pytest.raises(Unreadable):
        parsing.parse_listing({"title": "a chair"})


def test_nulls_stay_nulls_and_no_images_is_not_images_left_out() -> None:
    record = parsing.parse_listing({"listing_id": 5, "shop": None, "images": None, "quantity": None})
    assert (record.shop, record.images, record.quantity) == (None, None, None)
    assert parsing.parse_listing({"listing_id": 5, "images": []}).images == ()


def test_one_bad_listing_does_not_spoil_its_batch() -> None:
    rows: list[Any] = [{"listing_id": 1}, [], {"listing_id": 0}, {"title": "x"}, {"listing_id": 2, "shop": "odd"}, None]
    endless = {"listing_id": 3, "images": [{}] * (records.MOST_ROWS + 1)}
    batch = parsing.parse_listing_batch({"count": 7, "results": [*rows, endless]})
    assert [record.listing_id for record in batch.listings] == [1, 2]
    assert set(batch.unreadable) == {3}


# Images

ID = 3659832288


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (f"https://i.etsystatic.com/22076819/r/il/93de17/{ID}/il_570xN.{ID}_jcto.jpg", ("93de17", "jcto", False)),
        (f"https://i.etsystatic.com/il/93de17/{ID}/il_570xN.{ID}_jcto.jpg", ("93de17", "jcto", False)),
        (f"https://i.etsystatic.com/il/93de17/{ID}/il_fullxfull.{ID}_8a0Z.jpg", ("93de17", "8a0Z", False)),
        (
            f"https://i.etsystatic.com/9224013/d/il/ae4b56/{ID}/il_570xN.{ID}_7ovt.jpg?version=0",
            ("ae4b56", "7ovt", True),
        ),
        (
            f"https://i.etsystatic.com/9/c/1500/1191/0/254/il/ae4b56/{ID}/il_570xN.{ID}_7ovt.jpg",
            ("ae4b56", "7ovt", True),
        ),
        (f"https://I.ETSYSTATIC.COM/1/R/IL/93DE17/{ID}/IL_570XN.{ID}_JCTO.JPG", None),
        (f"https://i.etsystatic.com/1/r/il/93de17/{ID}/il_570xN.9_jcto.jpg", None),
        (f"https://i.etsystatic.com/1/r/il/../{ID}/il_570xN.{ID}_jcto.jpg", None),
        (f"https://i.etsystatic.com/1/r/il/93de17/{ID}/il_570xN.{ID}_jcto.png", None),
        ("https://i.etsystatic.com/il_570xN.3908130649.jpg", None),
        ("javascript:alert(1)", None),
    ],
)
def test_hex_and_suffix_are_read_and_the_address_is_kept_where_they_do_not_rebuild_it(
    address: str, expected: tuple[str, str, bool] | None
) -> None:
    image = parsing.parse_image({"listing_image_id": 77, "rank": 1, "url_570xN": address})
    if expected is None:
        assert (image.image_id, image.hex, image.suffix, image.url) == (77, "", "", address)
    else:
        hex_part, suffix, kept = expected
        assert (image.image_id, image.hex, image.suffix) == (ID, hex_part, suffix)
        assert image.url == (address if kept else None)


@pytest.mark.parametrize(
    "host", ["evil.example", "i.etsystatic.com.evil.example", "i.etsystatic.com@evil.example", "127.0.0.1:80"]
)
def test_parts_that_become_a_path_are_hexadecimal_and_alphanumeric_whatever_the_host(host: str) -> None:
    image = parsing.parse_image({"listing_image_id": 7, "url_570xN": f"https://{host}/il/ab/{ID}/il_570xN.{ID}_x1.jpg"})
    assert (image.hex, image.suffix) in {("ab", "x1"), ("", "")}


def test_another_size_s_address_serves_where_the_usual_one_is_missing() -> None:
    image = parsing.parse_image({"listing_image_id": 7, "url_75x75": f"https://h/1/r/il/ab/{ID}/il_75x75.{ID}_x1.jpg"})
    assert (image.image_id, image.hex, image.suffix) == (ID, "ab", "x1")


@pytest.mark.parametrize(
    ("ranks", "primary"), [((2, 1, 3), 2), ((3, 2), 2), ((None, None), 1), ((None, 5), 2), ((1, 1), 1), ((), None)]
)
def test_the_primary_image_has_the_lowest_rank_else_is_the_first(ranks: tuple[Any, ...], primary: int | None) -> None:
    images = tuple(ImageRecord(number, rank, "ab", "x", None) for number, rank in enumerate(ranks, 1))
    assert records.primary_image_id(images) == primary


def test_an_image_that_is_listed_twice_is_kept_once_where_it_stood_first() -> None:
    rows = [{"listing_image_id": number, "rank": rank, "url_570xN": ""} for number, rank in [(1, 1), (2, 2), (1, 3)]]
    assert [(image.image_id, image.rank) for image in parsing.parse_images(rows)] in (
        [(1, 1), (2, 2)],
        [(2, 2), (1, 1)],
    )
    assert next(image for image in parsing.parse_images(rows) if image.image_id == 1).rank == 1


# Reviews


def test_a_review_without_transaction_id_gets_the_same_stand_in_every_time_and_another_review_another() -> None:
    row = {"listing_id": 1, "buyer_user_id": 2, "rating": 5, "create_timestamp": 1_700_000_000}
    one, again = parsing.parse_review(row, 9), parsing.parse_review({**row, "rating": 4, "review": "edited"}, 9)
    assert one.transaction_id == again.transaction_id < 0
    others = [
        parsing.parse_review({**row, "buyer_user_id": 3}, 9),
        parsing.parse_review({**row, "create_timestamp": 1_700_000_001}, 9),
        parsing.parse_review(row, 10),
    ]
    assert len({one.transaction_id, *(review.transaction_id for review in others)}) == 4


def test_both_names_of_a_review_s_time_are_read() -> None:
    assert parsing.parse_review({"transaction_id": 1, "created_timestamp": 7}, 9).create_timestamp == 7
    both = {"transaction_id": 1, "created_timestamp": 7, "create_timestamp": 8}
    assert parsing.parse_review(both, 9).create_timestamp == 8


def test_reviews_without_transaction_id_are_told_apart_by_either_name_of_their_time() -> None:
    rows = [{"listing_id": 1, "rating": 5, "created_timestamp": at} for at in (8, 9)]
    one, other = (parsing.parse_review(row, 9) for row in rows)
    assert one.transaction_id != other.transaction_id


def test_stand_ins_agree_whichever_name_the_time_has() -> None:
    one = parsing.parse_review({"listing_id": 1, "create_timestamp": 8}, 9)
    other = parsing.parse_review({"listing_id": 1, "created_timestamp": 8}, 9)
    assert one.transaction_id == other.transaction_id


# Errors


@pytest.mark.parametrize(
    ("error", "ids"),
    [
        ("Not all requested listings exist. Missing listing_ids: 1,2.", (1, 2)),
        ("Not all requested listings exist. Missing listing_ids: 13.", (13,)),
        ("Missing listing_ids:  5 , 6", (5, 6)),
        ("Could not find a Listing with listing_id = 1", ()),
        ("", ()),
    ],
)
def test_the_dead_ids_of_a_batch_are_read(error: str, ids: tuple[int, ...]) -> None:
    assert refusals.parse_missing_ids(error) == ids
