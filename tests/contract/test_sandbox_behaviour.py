"""The sandbox behaves as `etsy-api.md` says Etsy does: limits, searches, batches, texts, drift."""

from __future__ import annotations

import html
from itertools import pairwise
from typing import Any

import pytest

from sandbox import Answer, Fault, Sandbox, SandboxSettings
from sandbox.taxonomy import DESCENDANTS, FURNITURE
from sandbox.world import USD_PER_UNIT, usd_cents

PREFIX = "/v3/application"
KEY = SandboxSettings().key
OPEN = {"quota_per_day": 10**6, "calls_per_second": 10**6}
Json = dict[str, Any]


class HandClock:
    """A clock that only moves when told to."""

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += seconds


def grown(**settings: Any) -> Sandbox:
    defaults: dict[str, Any] = {"seed": 5, "listings": 400, "shops": 30, "reviews_per_shop": 30, **OPEN}
    return Sandbox(SandboxSettings(**{**defaults, **settings}), HandClock())


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return grown(listings=1000, shops=80)


def ask(sandbox: Sandbox, path: str, key: str | None = KEY, **params: Any) -> Answer:
    texts = {name: str(value) for name, value in params.items()}
    return sandbox.handle("GET", PREFIX + path, texts, {} if key is None else {"x-api-key": key})


def search(sandbox: Sandbox, **params: Any) -> Json:
    answer = ask(sandbox, "/listings/active", **params)
    assert answer.status == 200, answer.body
    found: Json = answer.json()
    return found


def walk(sandbox: Sandbox, **params: Any) -> list[Json]:
    rows: list[Json] = []
    while True:
        page = search(sandbox, limit=100, offset=len(rows), **params)
        rows += page["results"]
        if len(rows) >= page["count"]:
            return rows


def error(answer: Answer) -> str:
    return str(answer.json()["error"])


# Searches


def test_an_offset_over_the_cap_is_refused_and_the_cap_itself_is_not() -> None:
    sandbox = grown(cap=300)
    assert len(search(sandbox, limit=100, offset=300)["results"]) == 100
    answer = ask(sandbox, "/listings/active", offset=301)
    assert answer.status == 400
    assert error(answer) == "Offset provided is greater than the maximum offset allowed."


def test_an_offset_past_the_end_is_refused_but_an_empty_first_page_is_not(sandbox: Sandbox) -> None:
    count = search(sandbox)["count"]
    assert len(search(sandbox, offset=count - 1)["results"]) == 1
    answer = ask(sandbox, "/listings/active", offset=count)
    assert answer.status == 400
    assert error(answer) == "Offset provided is greater than the total count of search results."
    assert search(sandbox, min_price=10**9) == {"count": 0, "results": []}


def test_a_page_holds_25_rows_unless_asked_and_never_over_100(sandbox: Sandbox) -> None:
    assert len(search(sandbox)["results"]) == 25
    assert ask(sandbox, "/listings/active", limit=101).status == 400
    assert ask(sandbox, "/listings/active", limit=0).status == 400


def test_a_full_walk_of_furniture_shows_exactly_the_active_listings_that_are_true(sandbox: Sandbox) -> None:
    rows = walk(sandbox, taxonomy_id=FURNITURE)
    true = {
        listing_id
        for listing_id, listing in sandbox.truth().listings.items()
        if listing["state"] == "active" and listing["taxonomy_id"] in DESCENDANTS[FURNITURE]
    }
    assert len(rows) == sandbox.settings.listings
    assert {row["listing_id"] for row in rows} == true


def test_search_rows_carry_neither_shop_nor_images(sandbox: Sandbox) -> None:
    row = search(sandbox, includes="Images,Shop")["results"][0]
    assert not {"shop", "images", "views"} & row.keys()


def test_a_category_includes_what_lies_below_it(sandbox: Sandbox) -> None:
    for taxonomy_id in (968, 989, 12455):
        found = {row["taxonomy_id"] for row in walk(sandbox, taxonomy_id=taxonomy_id)}
        assert found
        assert found <= DESCENDANTS[taxonomy_id]


@pytest.mark.parametrize("taxonomy_id", [424242, 12405])
def test_an_unknown_category_gives_an_unfiltered_mix(sandbox: Sandbox, taxonomy_id: int) -> None:
    mixed = walk(sandbox, taxonomy_id=taxonomy_id)
    assert len(mixed) == search(sandbox)["count"]
    assert any(row["taxonomy_id"] not in DESCENDANTS[FURNITURE] for row in mixed)


def _cents(row: Json) -> int:
    return usd_cents(row["price"]["amount"], row["price"]["currency_code"])


def test_both_ends_of_a_price_interval_are_included_and_compared_in_dollars(sandbox: Sandbox) -> None:
    everything = walk(sandbox, taxonomy_id=FURNITURE)
    prices = sorted(_cents(row) for row in everything)
    low, high = prices[len(prices) // 3], prices[len(prices) // 2]
    found = walk(sandbox, taxonomy_id=FURNITURE, min_price=low / 100, max_price=high / 100)
    assert {row["listing_id"] for row in found} == {
        row["listing_id"] for row in everything if low <= _cents(row) <= high
    }
    assert {low, high} <= {_cents(row) for row in found}
    own = [row["price"]["amount"] / row["price"]["divisor"] * 100 for row in found]
    assert any(not low <= price <= high for price in own)


def test_sellers_price_in_several_currencies_mostly_dollars(sandbox: Sandbox) -> None:
    currencies = [row["price"]["currency_code"] for row in walk(sandbox)]
    assert currencies.count("USD") > len(currencies) / 2
    assert len(set(currencies)) >= 4
    assert set(currencies) <= USD_PER_UNIT.keys()


def test_each_order_is_what_it_says_and_rising_is_falling_turned_round(sandbox: Sandbox) -> None:
    keys = {"created": "creation_timestamp", "updated": "updated_timestamp"}
    for column, key in keys.items():
        values = [row[key] for row in walk(sandbox, sort_on=column)]
        assert values == sorted(values, reverse=True)
    falling = [_cents(row) for row in walk(sandbox, sort_on="price")]
    rising = [_cents(row) for row in walk(sandbox, sort_on="price", sort_order="asc")]
    assert rising == sorted(rising) == falling[::-1]
    scores = [row["listing_id"] for row in walk(sandbox, sort_on="score")]
    assert scores == [row["listing_id"] for row in walk(sandbox, sort_on="score", sort_order="asc")]


def test_three_quarters_of_the_market_were_surely_made_since_2000(sandbox: Sandbox) -> None:
    eras = [row["when_made"] for row in walk(sandbox, taxonomy_id=FURNITURE)]
    wanted = [era for era in eras if era == "made_to_order" or (era and era[:2] == "20" and "_" in era)]
    assert 0.70 < len(wanted) / len(eras) < 0.80
    assert {"1970s", "before_2007", "2000_2006"} <= set(eras)


def test_an_index_that_lags_shows_a_change_only_some_calls_later() -> None:
    sandbox = grown(index_lag_calls=3)
    before = search(sandbox)["count"]
    while sandbox.move(1)[0].kind != "removed":
        pass
    truly = sum(1 for row in sandbox.truth().listings.values() if row["state"] == "active")
    assert [search(sandbox)["count"] for _ in range(3)] == [before, before, truly]


def test_a_count_that_jitters_stays_within_its_share() -> None:
    sandbox = grown(count_jitter=0.1)
    counts = {search(sandbox, taxonomy_id=FURNITURE)["count"] for _ in range(50)}
    assert len(counts) > 5
    assert all(360 <= count <= 440 for count in counts)


# Batches, listings, shops, reviews


def test_a_batch_is_all_or_nothing_and_names_the_missing_in_the_order_asked(sandbox: Sandbox) -> None:
    ids = list(sandbox.truth().listings)[:5]
    good = ask(sandbox, "/listings/batch", listing_ids=",".join(map(str, ids)), includes="Images,Shop")
    assert {row["listing_id"] for row in good.json()["results"]} == set(ids)
    asked = [*map(str, ids[:2]), "12", *map(str, ids[2:]), "7"]
    bad = ask(sandbox, "/listings/batch", listing_ids=",".join(asked))
    assert bad.status == 404
    assert error(bad) == "Not all requested listings exist. Missing listing_ids: 12,7."


def test_a_batch_holds_a_hundred_in_an_order_of_its_own(sandbox: Sandbox) -> None:
    ids = list(sandbox.truth().listings)[:100]
    text = ",".join(map(str, ids))
    first = [row["listing_id"] for row in ask(sandbox, "/listings/batch", listing_ids=text).json()["results"]]
    again = [row["listing_id"] for row in ask(sandbox, "/listings/batch", listing_ids=text).json()["results"]]
    assert first == again != ids
    assert sorted(first) == sorted(ids)
    assert ask(sandbox, "/listings/batch", listing_ids=f"{text},1").status == 400


def test_a_batch_brings_shop_and_images_only_where_included(sandbox: Sandbox) -> None:
    truth = sandbox.truth()
    listing_id = next(iter(truth.listings))
    row = ask(sandbox, "/listings/batch", listing_ids=listing_id, includes="Images,Shop").json()["results"][0]
    assert plain(row["shop"]) == truth.shops[row["shop_id"]]
    assert plain(row["images"]) == truth.images[listing_id]
    assert [image["rank"] for image in row["images"]] == list(range(1, len(row["images"]) + 1))
    bare = ask(sandbox, "/listings/batch", listing_ids=listing_id).json()["results"][0]
    assert (bare["shop"], bare["images"]) == (None, [])


def test_what_is_no_longer_on_sale_is_answered_with_its_state_and_not_searched(sandbox: Sandbox) -> None:
    truth = sandbox.truth().listings
    states = {row["state"]: row["listing_id"] for row in truth.values()}
    assert set(states) == {"active", "sold_out", "expired", "inactive"}
    answers = {state: ask(sandbox, f"/listings/{number}").json()["state"] for state, number in states.items()}
    assert answers == {state: state for state in states}
    assert {row["state"] for row in walk(sandbox)} == {"active"}


def test_what_is_gone_is_a_404_that_says_so(sandbox: Sandbox) -> None:
    assert error(ask(sandbox, "/listings/1")) == "Could not find a Listing with listing_id = 1"
    assert ask(sandbox, "/listings/1/images").status == 404
    assert ask(sandbox, "/shops/1").status == 404
    assert error(ask(sandbox, "/nothing/here")) == "Resource not found"


def _reviews(sandbox: Sandbox, shop_id: int, **params: Any) -> list[Json]:
    rows: list[Json] = []
    while True:
        page = ask(sandbox, f"/shops/{shop_id}/reviews", limit=100, offset=len(rows), **params).json()
        rows += page["results"]
        if len(rows) >= page["count"]:
            return rows


def test_reviews_come_newest_first_and_all_of_them_are_true(sandbox: Sandbox) -> None:
    truth = sandbox.truth()
    seen: dict[int, Json] = {}
    sizes = []
    for shop_id in truth.shops:
        rows = _reviews(sandbox, shop_id)
        times = [row["create_timestamp"] for row in rows]
        assert times == sorted(times, reverse=True)
        seen |= {row["transaction_id"]: plain(row) for row in rows}
        sizes.append(len(rows))
    assert seen == truth.reviews
    assert sum(sizes) == len(seen)
    assert {0, 100, 200, 437} <= set(sizes)


def test_reviews_are_filtered_by_their_time_with_both_ends_included_and_counted_after(
    sandbox: Sandbox,
) -> None:
    shop_id = next(shop for shop in sandbox.truth().shops if len(_reviews(sandbox, shop)) == 200)
    rows = _reviews(sandbox, shop_id)
    newest, oldest = rows[20]["create_timestamp"], rows[150]["create_timestamp"]
    found = _reviews(sandbox, shop_id, min_created=oldest, max_created=newest)
    assert found == [row for row in rows if oldest <= row["create_timestamp"] <= newest]
    assert ask(sandbox, f"/shops/{shop_id}/reviews", limit=1, min_created=newest).json()["count"] < 200


def test_a_shop_counts_the_reviews_of_the_past_year(sandbox: Sandbox) -> None:
    truth = sandbox.truth()
    year_ago = sandbox.settings.epoch - 365 * 86_400
    for shop_id, shop in truth.shops.items():
        recent = [row for row in truth.reviews.values() if row["shop_id"] == shop_id]
        recent = [row for row in recent if row["create_timestamp"] >= year_ago]
        assert (shop["review_count"] or 0) == len(recent)


def test_some_reviews_lack_their_buyer_or_their_text_or_share_a_second(sandbox: Sandbox) -> None:
    rows = list(sandbox.truth().reviews.values())
    assert any(row["buyer_user_id"] is None for row in rows)
    assert {None, ""} <= {row["review"] for row in rows}
    moments = sorted((row["shop_id"], row["create_timestamp"]) for row in rows)
    assert any(one == other for one, other in pairwise(moments))


# Texts


def plain(value: Any) -> Any:
    """Return the API's answer with its texts decoded once, as a client has to."""
    if isinstance(value, str):
        return html.unescape(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def test_texts_decoded_once_are_what_their_writers_meant(sandbox: Sandbox) -> None:
    truth = sandbox.truth().listings
    for row in walk(sandbox):
        assert plain(row) == {key: value for key, value in truth[row["listing_id"]].items() if key != "views"}


def test_texts_hold_what_trips_a_careless_reader(sandbox: Sandbox) -> None:
    rows = walk(sandbox)
    titles = " ".join(row["title"] for row in rows)
    for sent in ("&#39;", "&quot;", "&amp;", "&amp;amp;", "&lt;", "✨", "אגוז", "無垢材"):
        assert sent in titles
    descriptions = [row["description"] for row in rows]
    assert any("\t" in text for text in descriptions)
    assert any("\r\n" in text for text in descriptions)
    assert all(200 <= len(plain(text)) <= 3000 for text in descriptions)
    assert all(len(plain(row["title"])) <= 140 for row in rows)
    assert any(not row["tags"] for row in rows)
    assert any(row["item_weight"] == 0 for row in rows)


# Key and limits


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (None, "Invalid API key: should be in the format 'keystring:shared_secret'."),
        ("keystring", "Shared secret is required in x-api-key header."),
        ("keystring:wrong", "Invalid API key: should be in the format 'keystring:shared_secret'."),
    ],
)
def test_a_wrong_key_is_refused_and_costs_nothing(key: str | None, text: str) -> None:
    sandbox = grown()
    answer = ask(sandbox, "/openapi-ping", key=key)
    assert (answer.status, error(answer)) == (403, text)
    assert answer.headers["x-remaining-today"] == str(sandbox.settings.quota_per_day)


def test_the_sixth_call_within_any_second_is_refused() -> None:
    sandbox = grown(calls_per_second=5)
    clock = sandbox.clock
    assert isinstance(clock, HandClock)
    for _ in range(5):
        assert ask(sandbox, "/openapi-ping").status == 200
        clock.forward(0.19)
    refused = ask(sandbox, "/openapi-ping")
    assert (refused.status, error(refused)) == (429, "Exceeded per second rate limit")
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-remaining-this-second"] == "0"
    clock.forward(0.06)
    assert ask(sandbox, "/openapi-ping").status == 200
    assert ask(sandbox, "/openapi-ping").status == 429


def test_the_day_is_a_sliding_window_and_quota_comes_back_call_by_call() -> None:
    sandbox = grown(quota_per_day=3)
    clock = sandbox.clock
    assert isinstance(clock, HandClock)
    for _ in range(3):
        assert ask(sandbox, "/openapi-ping").status == 200
        clock.forward(3600)
    refused = ask(sandbox, "/openapi-ping")
    assert (refused.status, error(refused)) == (429, "Exceeded daily rate limit")
    assert (refused.headers["retry-after"], refused.headers["x-remaining-today"]) == ("86400", "0")
    clock.forward(86_400 - 3 * 3600)
    assert [ask(sandbox, "/openapi-ping").status for _ in range(2)] == [200, 429]


def test_a_refused_call_counts_against_the_day_only_where_the_settings_say_so() -> None:
    for counts, left in ((False, "9"), (True, "7")):
        sandbox = grown(quota_per_day=10, calls_per_second=1, refused_calls_count=counts)
        statuses = [ask(sandbox, "/openapi-ping").status for _ in range(3)]
        assert statuses == [200, 429, 429]
        assert sandbox.limits.headers()["x-remaining-today"] == left


def test_a_quota_cut_shows_in_the_next_answer() -> None:
    sandbox = grown(quota_per_day=100)
    assert ask(sandbox, "/openapi-ping").headers["x-remaining-today"] == "99"
    sandbox.limits.set_quota(per_day=2)
    headers = ask(sandbox, "/openapi-ping").headers
    assert (headers["x-limit-per-day"], headers["x-remaining-today"]) == ("2", "0")
    assert ask(sandbox, "/openapi-ping").status == 429


def test_every_call_is_recorded_with_its_moment_parameters_and_status() -> None:
    sandbox = grown()
    ask(sandbox, "/shops/1/reviews", limit=3)
    call = sandbox.calls[-1]
    assert (call.endpoint, call.status) == ("getReviewsByShop", 404)
    assert call.params == {"limit": "3", "shop_id": "1"}
    assert call.wall == 1_800_000_000.0


# Drift


def test_the_same_seed_and_calls_give_the_same_market_to_the_byte() -> None:
    bodies = []
    for _ in range(2):
        sandbox = grown(move_every=2)
        bodies.append([ask(sandbox, "/listings/active", limit=100, offset=offset).body for offset in (0, 100, 200)])
    assert bodies[0] == bodies[1]
    other = grown(seed=6)
    assert ask(other, "/listings/active", limit=100).body != bodies[0][0]


def test_moves_depend_on_seed_and_sequence_only() -> None:
    one, other = grown(), grown()
    walk(other)
    for listing_id in list(other.truth().listings)[:20]:
        ask(other, f"/listings/{listing_id}", includes="Images,Shop")
    assert one.move(300) == other.move(200) + other.move(100)
    assert one.truth() == other.truth()


def test_after_many_moves_the_api_still_tells_the_truth() -> None:
    sandbox = grown()
    walk(sandbox)
    walk(sandbox, sort_on="price", min_price=50, max_price=500)
    born = sandbox.truth()
    kinds = {move.kind for move in sandbox.move(600)}
    assert {"new", "removed", "sold", "repriced", "renewed", "retitled", "reviewed", "shop_closed"} <= kinds
    truth = sandbox.truth()
    rows = walk(sandbox)
    active = {number: row for number, row in truth.listings.items() if row["state"] == "active"}
    assert {row["listing_id"] for row in rows} == active.keys()
    for row in rows:
        assert plain(row) == {key: value for key, value in active[row["listing_id"]].items() if key != "views"}
    found = walk(sandbox, sort_on="price", min_price=50, max_price=500)
    assert {row["listing_id"] for row in found} == {row["listing_id"] for row in rows if 5000 <= _cents(row) <= 50_000}
    for shop_id, shop in truth.shops.items():
        assert shop["listing_active_count"] == sum(row["shop_id"] == shop_id for row in active.values())
    kept = truth.reviews.keys() & born.reviews.keys()
    assert all(truth.reviews[key]["listing_id"] == born.reviews[key]["listing_id"] for key in kept)


def test_a_renewed_listing_goes_to_the_front() -> None:
    sandbox = grown()
    while (move := sandbox.move(1)[0]).kind != "renewed":
        pass
    assert search(sandbox)["results"][0]["listing_id"] == move.id


def test_a_market_that_moves_does_so_at_each_so_many_calls() -> None:
    sandbox = grown(move_every=5)
    still = grown()
    for one in (sandbox, still):
        for _ in range(20):
            ask(one, "/openapi-ping")
    assert still.truth() != sandbox.truth()
    still.move(4)
    assert still.truth() == sandbox.truth()


def test_a_market_can_be_sold_out_and_goes_on() -> None:
    sandbox = grown(listings=3, shops=2)
    sandbox.move(400)
    assert search(sandbox)["count"] == sandbox.stats()["listings"]["active"]


# Schedules of faults


def test_a_fault_spares_the_first_then_strikes_every_so_many_and_only_so_often() -> None:
    sandbox = grown()
    sandbox.faults.add(Fault("server_error", endpoint="ping", after=2, every=3, count=2))
    statuses = [ask(sandbox, "/openapi-ping").status for _ in range(12)]
    assert statuses == [200, 200, 500, 200, 200, 500, 200, 200, 200, 200, 200, 200]
    assert [call.fault for call in sandbox.calls].count("server_error") == 2
    assert sandbox.faults.struck() == {"server_error": 2}


def test_a_fault_meant_for_one_shop_or_listing_strikes_no_other() -> None:
    sandbox = grown()
    one, other = list(sandbox.truth().listings)[:2]
    sandbox.faults.add(Fault("server_error", match={"listing_id": str(one)}))
    assert ask(sandbox, f"/listings/{one}").status == 500
    assert ask(sandbox, f"/listings/{other}").status == 200
    assert ask(sandbox, "/listings/batch", listing_ids=f"{other},{one}").status == 500
    assert ask(sandbox, "/listings/batch", listing_ids=other).status == 200


def test_a_share_of_calls_struck_is_about_that_share_and_the_same_each_time() -> None:
    struck = []
    for _ in range(2):
        sandbox = grown()
        sandbox.faults.add(Fault("bad_gateway", share=0.1))
        struck.append([ask(sandbox, "/openapi-ping").status for _ in range(500)])
    assert struck[0] == struck[1]
    assert 25 <= struck[0].count(502) <= 80
