"""The views of an export, made from the tables that it has written: `listings_asof`, `shops_asof`, `reviews`.

The tables are sorted by key, so a view is made a chunk of whole listings at a time; what is static of all listings
(or shops) is held in memory meanwhile, some 200 bytes a listing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet as pq

from upkeep.export import asof

MOMENT = pa.timestamp("ms", tz="UTC")
CHUNK_ROWS = 65_536  # of a dynamic table
MOST_ROWS = 65_536  # of a view, made at once
MOMENT_COLUMN = "snapshot_timestamp"
REMOVED = "removed"


@dataclass(frozen=True)
class Static:
    """What does not change of each listing or shop, found by its id."""

    ids: Any
    columns: Mapping[str, pa.Array]

    def of(self, ids: pa.Array) -> dict[str, pa.Array]:
        """Return the columns of the things with these ids, NULL where one is not known."""
        wanted = np.asarray(pc.fill_null(ids, -1))
        places = np.searchsorted(self.ids, wanted)
        places[places == len(self.ids)] = 0
        is_there = self.ids[places] == wanted if len(self.ids) else np.zeros(len(wanted), np.bool_)
        taken = pa.array(places, mask=~is_there)
        return {name: column.take(taken) for name, column in self.columns.items()}


@dataclass(frozen=True)
class View:
    """A row for each thing and week, out of a dynamic table.

    `values` are what is carried forward: each by its name, with the columns that it consists of; one without a value
    in its first column is not known. `until` (Unix seconds) is where the data end.
    """

    table: str
    key: str
    values: Mapping[str, tuple[str, ...]]
    static: Static
    until: int
    chunk_rows: int = CHUNK_ROWS
    most_rows: int = MOST_ROWS

    def chunks(self, tables: Path) -> Iterator[pa.Table]:
        """Return the view in the order of key and week, an empty chunk where there are no rows."""
        file = pq.ParquetFile(tables / f"{self.table}.parquet")
        for known in whole_things(file, self.key, self.chunk_rows):
            moments = moments_of(known[MOMENT_COLUMN])
            known = known.filter(pc.less_equal(moments, self.until))  # the clock was wrong once
            yield from self._weeks(known)

    def _weeks(self, known: pa.Table) -> Iterator[pa.Table]:
        """Return the weeks of whole things."""
        known = with_price(known) if "price" in self.values else known
        keys, moments = known[self.key].to_numpy(), moments_of(known[MOMENT_COLUMN]).to_numpy()
        is_gone = np.zeros(len(keys), np.bool_)
        if "state" in self.values:
            is_gone = np.asarray(pc.fill_null(pc.equal(known["state"], REMOVED), False))
        told = asof.weeks_told(keys, moments, is_gone, self.until)
        valued = {name: asof.last_valued(keys, np.asarray(known[name].is_valid())) for name in self.values}
        for piece in asof.pieces(told, self.most_rows) if len(told) else [slice(0, 0)]:
            rows, following = asof.spread(told[piece])
            rows += piece.start
            weeks = asof.week_of(moments[rows]) + following
            yield self._table(known, moments, rows, weeks, {name: places[rows] for name, places in valued.items()})

    def _table(self, known: pa.Table, moments: Any, rows: Any, weeks: Any, valued: Mapping[str, Any]) -> pa.Table:
        ends = asof.end_of(weeks, self.until)

        def age(places: Any) -> pa.Array:
            return pa.array((ends - moments[places]) / asof.DAY_SECONDS, mask=places == asof.NEVER)

        columns = {
            self.key: known[self.key].take(pa.array(rows)),
            "week": pa.array(asof.monday_of(weeks).astype(np.int32), pa.date32()),
            "known_at": as_moment(pa.array(moments[rows])),
            "age_days": age(rows),
        }
        for name, places in valued.items():
            taken = pa.array(places, mask=places == asof.NEVER)
            columns |= {part: known[part].take(taken) for part in self.values[name]}
            columns[f"{name}_age_days"] = age(places)
        return pa.table({**columns, **self.static.of(columns[self.key])})


def load_static(tables: Path, table: str, key: str, columns: Mapping[str, str]) -> Static:
    """Return what the views show of a static table: new name to column, `snapshot_timestamp` as a moment."""
    path = tables / f"{table}.parquet"

    def read(column: str) -> pa.Array:  # one at a time: each is in memory twice for a moment
        return pq.read_table(path, columns=[column])[column].combine_chunks()

    return Static(read(key).to_numpy(), {name: _readable(column, read(column)) for name, column in columns.items()})


def with_country(shops: Static) -> Static:
    """Return the shops with `shop_country`: where the shop says that it is, or else where it ships from."""
    columns = dict(shops.columns)
    told, ships = columns.pop("told_country"), columns.pop("ships_from")
    return Static(shops.ids, {**columns, "shop_country": pc.coalesce(told, ships)})


def reviews(tables: Path, listings: Static, shops: Static) -> Iterator[pa.Table]:
    """Return the reviews in the order of their keys, with what they are about; an empty chunk where there are none."""
    for read in _tables(pq.ParquetFile(tables / "reviews.parquet"), CHUNK_ROWS):
        names = ("transaction_id", "shop_id", "listing_id", "rating", "review", "language")
        of_listing, of_shop = listings.of(read["listing_id"]), shops.of(read["shop_id"])
        yield pa.table(
            {
                **{name: read[name] for name in names},
                "created": as_moment(read["create_timestamp"]),
                "known_at": as_moment(moments_of(read[MOMENT_COLUMN])),
                **{name: of_listing[name] for name in ("title", "when_made", "taxonomy_id")},
                "shop_country": of_shop["shop_country"],
            }
        )


def whole_things(file: pq.ParquetFile, key: str, chunk_rows: int) -> Iterator[pa.Table]:
    """Return the rows in chunks that hold all rows of each thing that is in them; an empty one where there are none."""
    held: pa.Table | None = None
    for rows in _tables(file, chunk_rows):
        held = rows if held is None else pa.concat_tables([held, rows])
        keys = held[key].to_numpy()
        cut = int(np.searchsorted(keys, keys[-1])) if len(keys) else 0
        if cut:
            yield held.slice(0, cut)
            held = held.slice(cut)
    if held is not None:
        yield held


def with_price(rows: pa.Table) -> pa.Table:
    """Return the rows with `price`, amount / divisor: NULL where one of them is, or the divisor is 0."""
    divisor = rows["price_divisor"].cast(pa.float64())
    divisor = pc.if_else(pc.equal(divisor, 0.0), None, divisor)
    return rows.append_column("price", pc.divide(rows["price_amount"].cast(pa.float64()), divisor))


def moments_of(texts: Any) -> Any:
    """Return texts such as 2026-11-20T15:04:05Z in Unix seconds."""
    return texts.cast(pa.timestamp("s", tz="UTC")).cast(pa.int64())


def as_moment(seconds: Any) -> Any:
    """Return Unix seconds as moments of UTC."""
    return seconds.cast(pa.timestamp("s", tz="UTC")).cast(MOMENT)


def _readable(column: str, values: pa.Array) -> pa.Array:
    return as_moment(moments_of(values)) if column == MOMENT_COLUMN else values


def _tables(file: pq.ParquetFile, rows: int) -> Iterator[pa.Table]:
    """Return what the file holds in tables of bounded size, an empty one where it holds nothing."""
    empty = True
    for batch in file.iter_batches(rows):
        empty = False
        yield pa.Table.from_batches([batch])
    if empty:
        yield file.schema_arrow.empty_table()
