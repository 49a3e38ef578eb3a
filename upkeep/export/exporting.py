"""The export: tables of one snapshot → Parquet (and CSV) → views made from these files → notice and manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from peewee import Model

from models import CRAWLER_MODELS
from runtime.clock import iso
from runtime.errors import OperatorNeeded
from runtime.files import write_json, write_whole
from upkeep.export import notice
from upkeep.export.files import Written, table_files
from upkeep.export.notice import Age
from upkeep.export.snapshot import Snapshot, schema_of, table_of
from upkeep.export.views import MOMENT_COLUMN, Static, View, load_static, moments_of, reviews, with_country

LISTING_VALUES = {
    "state": ("state",),
    "price": ("price", "price_currency"),
    "quantity": ("quantity",),
    "num_favorers": ("num_favorers",),
    "views": ("views",),
    "ending_timestamp": ("ending_timestamp",),
}
SHOP_VALUES = {
    name: (name,)
    for name in (
        "update_date",
        "listing_active_count",
        "accepts_custom_requests",
        "num_favorers",
        "transaction_sold_count",
        "review_average",
        "review_count",
    )
}
OF_LISTINGS = {
    name: name for name in ("shop_id", "title", "when_made", "taxonomy_id", "language", "creation_timestamp")
} | {"first_known_at": MOMENT_COLUMN}
OF_SHOPS = {
    "url": "url",
    "create_date": "create_date",
    "is_shop_us_based": "is_shop_us_based",
    "told_country": "shop_location_country_iso",
    "ships_from": "shipping_from_country_iso",
    "first_known_at": MOMENT_COLUMN,
}


class Export:
    """Fills one folder. `attend` is called between chunks and raises to end the work; `tell` hears what is done."""

    def __init__(
        self, folder: Path, with_csv: bool, attend: Callable[[], None], tell: Callable[[str, int], None]
    ) -> None:
        self.written: dict[str, Written] = {}
        self.until: int | None = None
        self._ages: list[Age] = []
        self._folder, self._tables = folder, folder / "tables"
        self._with_csv, self._attend, self._tell = with_csv, attend, tell

    def write_tables(self, snapshot: Snapshot, now: float) -> None:
        """Write every table as it is; the database is not needed any more afterwards."""
        self._tables.mkdir()
        with snapshot.held():
            for model in CRAWLER_MODELS:
                self._write(self._tables / table_of(model), schema_of(model), self._aged(model, snapshot.read(model)))
        newest = [age.newest for age in self._ages if age.newest is not None]
        # Not later than now: a clock that was wrong once would fill the views with weeks to come.
        self.until = min(max(newest), int(now)) if newest else None

    def write_views(self) -> None:
        """Write the views, made from the tables that are written."""
        until = self.until or 0
        shops = with_country(load_static(self._tables, "shops", "shop_id", OF_SHOPS))
        countries = Static(shops.ids, {"shop_country": shops.columns["shop_country"]})
        self._view("shops_asof", View("shops_dynamic", "shop_id", SHOP_VALUES, shops, until).chunks(self._tables))
        found = load_static(self._tables, "listings", "listing_id", OF_LISTINGS)
        listings = Static(found.ids, {**found.columns, **countries.of(found.columns["shop_id"])})
        view = View("listings_dynamic", "listing_id", LISTING_VALUES, listings, until)
        self._view("listings_asof", view.chunks(self._tables))
        self._view("reviews", reviews(self._tables, listings, countries))

    def write_notice(self, made_at: float) -> None:
        """Write README.md and manifest.json, the last files of the folder."""
        made, until = iso(made_at), iso(self.until) if self.until is not None else None
        write_whole(self._folder / notice.README, notice.readme(made, until, self._ages))
        write_json(self._folder / notice.MANIFEST, notice.manifest(made, until, self._ages, self.written))

    def _view(self, name: str, chunks: Iterator[pa.Table]) -> None:
        first = next(chunks)
        self._write(self._folder / name, first.schema, chain([first], chunks))

    def _write(self, path: Path, schema: pa.Schema, chunks: Iterable[Any]) -> None:
        where = path.relative_to(self._folder)
        with table_files(path, schema, self._with_csv) as files:
            for chunk in chunks:
                self._attend()
                files.add(chunk)
                self._tell(str(where), files.rows)
            found = files.finish()
        self._attend()
        self.written |= {str(where.with_name(file.name)): file for file in found}

    def _aged(self, model: type[Model], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Hand the rows on, and keep between which moments they were read."""
        rows, moments = 0, set[int]()
        for batch in batches:
            rows += batch.num_rows
            if MOMENT_COLUMN in batch.schema.names:
                span = pc.min_max(_moments(model, batch)).as_py()
                moments |= {moment for moment in span.values() if moment is not None}
            yield batch
        self._ages.append(Age(table_of(model), rows, min(moments, default=None), max(moments, default=None)))


def _moments(model: type[Model], batch: pa.RecordBatch) -> pa.Array:
    try:
        return moments_of(batch[MOMENT_COLUMN])
    except pa.ArrowInvalid as error:
        raise OperatorNeeded(
            f"A {MOMENT_COLUMN} of {table_of(model)} is no moment like 2026-11-20T15:04:05Z ({error}).",
            advice="The program never writes one; mend the row with `sqlite3` or `psql`, then export again.",
        ) from error
