"""The weekly views say what was known at each week's end: held against a definition that is slow and plain."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

from models import Listing, ListingDynamic
from runtime.clock import iso
from upkeep.export import asof
from upkeep.export.exporting import LISTING_VALUES, OF_LISTINGS
from upkeep.export.snapshot import schema_of
from upkeep.export.views import View, load_static

START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
WEEKS = 6
moments = st.integers(START, START + WEEKS * asof.WEEK_SECONDS)
figures = st.none() | st.integers(0, 5)
row = st.fixed_dictionaries(
    {
        "listing_id": st.integers(1, 4),
        "at": moments | st.sampled_from([START + 4 * 86_400, START + 4 * 86_400 - 1]),  # a Monday, and just before
        "state": st.sampled_from(["active", "active", "sold_out", "removed", None]),
        "quantity": figures,
        "num_favorers": figures,
        "views": figures,
        "ending_timestamp": figures,
        "price_amount": figures,
        "price_divisor": st.sampled_from([None, 0, 1, 100, 100]),
        "price_currency": st.sampled_from(["USD", "EUR", None]),
    }
)
many_rows = st.lists(row, max_size=25, unique_by=lambda told: (told["listing_id"], told["at"]))


def monday_of(moment: int) -> datetime:
    day = datetime.fromtimestamp(moment, UTC).replace(hour=0, minute=0, second=0)
    return day - timedelta(days=day.weekday())


def plainly(rows: list[dict[str, Any]], until: int) -> list[dict[str, Any]]:
    """Return the view by looking, for each listing and week, through everything that was known by then."""
    found = []
    for listing_id in sorted({told["listing_id"] for told in rows}):
        own = sorted((told for told in rows if told["listing_id"] == listing_id), key=lambda told: told["at"])
        own = [told for told in own if told["at"] <= until]
        week = monday_of(own[0]["at"]) if own else monday_of(until) + timedelta(days=7)
        while week <= monday_of(until):
            known = [told for told in own if told["at"] < (week + timedelta(days=7)).timestamp()]
            if known[-1]["state"] != "removed" or monday_of(known[-1]["at"]) == week:
                found.append({"listing_id": listing_id, **one_week(known, week, until)})
            week += timedelta(days=7)
    return found


def one_week(known: list[dict[str, Any]], week: datetime, until: int) -> dict[str, Any]:
    end = min((week + timedelta(days=7)).timestamp(), until)

    def age(told: dict[str, Any]) -> float:
        return float((end - told["at"]) / 86_400)

    newest = known[-1]
    found = {"week": week.date(), "known_at": datetime.fromtimestamp(newest["at"], UTC), "age_days": age(newest)}
    for name in ("state", "quantity", "num_favorers", "views", "ending_timestamp"):
        valued = [told for told in known if told[name] is not None]
        found[name] = valued[-1][name] if valued else None
        found[f"{name}_age_days"] = age(valued[-1]) if valued else None
    priced = [told for told in known if told["price_amount"] is not None and told["price_divisor"]]
    found["price"] = priced[-1]["price_amount"] / priced[-1]["price_divisor"] if priced else None
    found["price_currency"] = priced[-1]["price_currency"] if priced else None
    found["price_age_days"] = age(priced[-1]) if priced else None
    return found


def write(folder: Path, model: Any, rows: list[dict[str, Any]]) -> None:
    path = folder / f"{model._meta.table_name}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema_of(model)), path, row_group_size=7)


def view_of(folder: Path, rows: list[dict[str, Any]], until: int, **sizes: int) -> pa.Table:
    """Write the tables as an export does, and return the view made from them."""
    ordered = sorted(rows, key=lambda told: (told["listing_id"], told["at"]))
    write(folder, ListingDynamic, [{**told, "snapshot_timestamp": iso(told["at"])} for told in ordered])
    static = [
        {"listing_id": number, "title": f"Listing {number}", "snapshot_timestamp": iso(START)} for number in (1, 2, 4)
    ]
    write(folder, Listing, static)
    listings = load_static(folder, "listings", "listing_id", OF_LISTINGS)
    view = View("listings_dynamic", "listing_id", LISTING_VALUES, listings, until, **sizes)
    return pa.concat_tables(view.chunks(folder))


@settings(max_examples=300)
@given(rows=many_rows, until=moments, chunk_rows=st.integers(1, 30), most_rows=st.integers(1, 30))
def test_each_week_says_what_was_last_known_at_its_end_and_how_old_that_was(
    rows: list[dict[str, Any]], until: int, chunk_rows: int, most_rows: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        view = view_of(Path(folder), rows, until, chunk_rows=chunk_rows, most_rows=most_rows)
    expected = plainly(rows, until)
    assert view.select(list(expected[0])).to_pylist() == expected if expected else view.num_rows == 0
    titles = {1: "Listing 1", 2: "Listing 2", 3: None, 4: "Listing 4"}
    assert view["title"].to_pylist() == [titles[told["listing_id"]] for told in expected]


def test_a_removed_listing_keeps_its_last_price_with_that_price_s_own_age_and_ends(tmp_path: Path) -> None:
    monday = START + 4 * 86_400
    blank = dict.fromkeys(("quantity", "num_favorers", "views", "ending_timestamp", "price_currency"))
    rows = [
        {"listing_id": 1, "at": monday, "state": "active", **blank, "price_amount": 1250, "price_divisor": 100},
        {"listing_id": 1, "at": monday + 8 * 86_400, "state": "removed", **blank}
        | {"price_amount": None, "price_divisor": None},
    ]
    view = view_of(tmp_path, rows, monday + 30 * 86_400).to_pylist()
    assert [(told["state"], told["price"]) for told in view] == [("active", 12.5), ("removed", 12.5)]
    assert [(told["age_days"], told["price_age_days"]) for told in view] == [(7.0, 7.0), (6.0, 14.0)]


def test_weeks_begin_on_mondays_at_midnight_utc() -> None:
    days = np.arange(START, START + 400 * 86_400, 43_199)
    mondays = asof.monday_of(asof.week_of(days))
    assert [timedelta(days=int(day)) + datetime(1970, 1, 1, tzinfo=UTC) for day in mondays] == [
        monday_of(int(day)) for day in days
    ]


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 20))
def test_pieces_hold_every_row_once_and_no_more_weeks_than_allowed(told: list[int], most: int) -> None:
    numbers = np.array(told, np.int64)
    found = list(asof.pieces(numbers, most))
    assert [place for piece in found for place in range(piece.start, piece.stop)] == list(range(len(told)))
    assert all(numbers[piece].sum() <= most or piece.stop - piece.start == 1 for piece in found)
