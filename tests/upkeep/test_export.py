"""An export holds every row of one moment with true types, and is whole or not there."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image
from pyarrow import csv as arrow_csv
from pyarrow import parquet as pq

from models import CRAWLER_MODELS, ListingDynamic
from runtime.clock import SystemClock, iso
from runtime.database import open_read_only
from runtime.errors import OperatorNeeded
from runtime.notice import NOTICE
from runtime.settings import DEFAULT_DATABASE_URL, load_settings
from tests.postgresql import own_server
from tests.system.process import ROOT
from tests.upkeep.exports import crawled, database_of, empty_home, execute, exported, fill, plain, read, rows_of, tuples
from upkeep.export.exporting import Export
from upkeep.export.snapshot import READ_ROWS, Snapshot, key_of, schema_of, table_of

VIEWS = ("listings_asof", "shops_asof", "reviews")
HOSTILE = ['a "quote", a comma', "two\nlines\r\nand a\ttab", "a\x00b", "🪑 ", "", "NULL", "=1+1", "\\N", "é̩" * 40]


NEW_ITEM = """
INSERT INTO failed_items (kind, item_id, error, attempts, first_failed_at, last_failed_at)
SELECT 'listing', COUNT(*), '', 1, '', '' FROM failed_items
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that the real crawler has filled through three cycles of a market that moves."""
    rig = crawled(tmp_path_factory.mktemp("export") / "home")
    rig.close()
    return rig.home.root


@pytest.fixture(scope="module")
def made(home: Path) -> Path:
    """The export of that home, with CSV."""
    folder = home.parent / "made"
    exported(load_settings(home, {}), folder, csv=True)
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A home with an empty database."""
    return empty_home(tmp_path)


@pytest.mark.parametrize("model", CRAWLER_MODELS)
def test_every_table_is_exported_row_for_row_in_the_order_of_its_key(home: Path, made: Path, model: Any) -> None:
    assert tuples(read(made / "tables", table_of(model))) == rows_of(home, model)


def test_columns_have_the_types_of_the_data_model(made: Path) -> None:
    names = {"shops_dynamic": "review_average", "listings": "title", "reviews": "rating", "api_usage": "recorded_at"}
    found = [str(read(made / "tables", table).schema.field(column).type) for table, column in names.items()]
    assert found == ["double", "string", "int64", "timestamp[us]"]


def test_row_groups_are_bounded_and_compressed_with_zstd(own: Path, tmp_path: Path) -> None:
    fill(own, 300_000)
    exported(load_settings(own, {}), tmp_path / "out")
    told = pq.ParquetFile(tmp_path / "out" / "tables" / "listings_dynamic.parquet").metadata
    groups = [told.row_group(number) for number in range(told.num_row_groups)]
    assert sum(group.num_rows for group in groups) == 300_000
    assert max(group.num_rows for group in groups) < 140_000
    assert {group.column(0).compression for group in groups} == {"ZSTD"}


def test_listings_asof_joins_what_is_static_and_has_each_listing_once_a_week(home: Path, made: Path) -> None:
    view = read(made, "listings_asof")
    keys = list(zip(view["listing_id"].to_pylist(), view["week"].to_pylist(), strict=True))
    assert keys == sorted(set(keys)) and len(keys) > len(set(view["listing_id"].to_pylist()))
    assert {day.weekday() for day in view["week"].to_pylist()} == {0}
    with closing(sqlite3.connect(database_of(home))) as database:
        static = dict(database.execute("SELECT listing_id, title FROM listings"))
        countries = dict(
            database.execute(
                "SELECT listing_id, coalesce(shop_location_country_iso, shipping_from_country_iso) "
                "FROM listings JOIN shops USING (shop_id)"
            )
        )
    assert {told["listing_id"]: told["title"] for told in view.to_pylist()} == static
    assert {told["listing_id"]: told["shop_country"] for told in view.to_pylist()} == countries


def test_the_newest_week_of_a_listing_holds_its_newest_row(home: Path, made: Path) -> None:
    view = read(made, "listings_asof").to_pylist()
    newest = {told["listing_id"]: told for told in view}
    rows = {
        told[0]: dict(zip(schema_of(ListingDynamic).names, told, strict=True)) for told in rows_of(home, ListingDynamic)
    }
    assert newest.keys() == rows.keys()
    for listing_id, told in newest.items():
        row = rows[listing_id]
        assert iso(told["known_at"].timestamp()) == row["snapshot_timestamp"]
        assert told["state"] == row["state"]
        if row["price_amount"] is not None:
            assert told["price"] == row["price_amount"] / row["price_divisor"]


def test_shops_asof_and_reviews_tell_what_they_are_of(home: Path, made: Path) -> None:
    shops, reviews = read(made, "shops_asof"), read(made, "reviews")
    assert shops.num_rows > 20 and shops["url"].null_count == 0
    assert reviews.num_rows == len(read(made / "tables", "reviews")) > 100
    titles = dict(
        zip(*(read(made / "tables", "listings")[name].to_pylist() for name in ("listing_id", "title")), strict=True)
    )
    assert [titles.get(told["listing_id"]) for told in reviews.to_pylist()] == reviews["title"].to_pylist()
    assert reviews["title"].null_count < reviews.num_rows
    assert pc.min_max(reviews["created"]).as_py()["max"].tzname() == "UTC"


def test_csv_says_the_same_as_parquet(made: Path) -> None:
    written = sorted(made.rglob("*.parquet"))
    assert {path.stem for path in made.glob("*.parquet")} == set(VIEWS)
    assert len(written) == len(CRAWLER_MODELS) + len(VIEWS)
    for path in written:
        table = pq.read_table(path)
        assert read_csv(path.with_suffix(".csv"), table.schema).equals(table), path.name


def read_csv(path: Path, schema: pa.Schema) -> pa.Table:
    types = arrow_csv.ConvertOptions(column_types=schema, strings_can_be_null=True, quoted_strings_can_be_null=False)
    return arrow_csv.read_csv(
        path, parse_options=arrow_csv.ParseOptions(newlines_in_values=True), convert_options=types
    ).combine_chunks()


def test_hostile_text_comes_back_as_it_is_from_parquet_and_csv(own: Path, tmp_path: Path) -> None:
    fill(own, 1)
    with closing(sqlite3.connect(database_of(own))) as database, database:
        many = enumerate(HOSTILE)
        database.executemany(
            "INSERT INTO reviews (transaction_id, snapshot_timestamp, shop_id, review) "
            "VALUES (?, '2026-01-01T00:00:00Z', 1, ?)",
            many,
        )
    exported(load_settings(own, {}), tmp_path / "out", csv=True)
    for path in (tmp_path / "out" / "tables", tmp_path / "out"):
        assert read(path, "reviews")["review"].to_pylist() == HOSTILE
        with (path / "reviews.csv").open(encoding="utf-8", newline="") as file:
            assert [told["review"] for told in csv.DictReader(file)] == HOSTILE


def test_an_empty_data_set_is_exported_with_all_columns(own: Path, tmp_path: Path) -> None:
    exported(load_settings(own, {}), tmp_path / "out", csv=True)
    assert read(tmp_path / "out", "listings_asof").num_rows == 0
    assert {"week", "price", "price_age_days", "title", "shop_country"} <= set(
        read(tmp_path / "out", "listings_asof").schema.names
    )


def test_a_row_of_a_clock_that_was_ahead_makes_no_weeks_to_come(own: Path, tmp_path: Path) -> None:
    fill(own, 1)
    execute(own, "INSERT INTO listings_dynamic (listing_id, snapshot_timestamp) VALUES (1, '2199-01-01T00:00:00Z')")
    exported(load_settings(own, {}), tmp_path / "out")
    weeks = pc.max(read(tmp_path / "out", "listings_asof")["week"]).as_py()
    assert weeks.isoformat() <= iso(SystemClock().now())
    assert read(tmp_path / "out" / "tables", "listings_dynamic").num_rows == 2


def test_the_manifest_and_the_readme_tell_what_is_there(home: Path, made: Path) -> None:
    manifest = json.loads((made / "manifest.json").read_text(encoding="utf-8"))
    files = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    assert files == {*manifest["files"], "README.md", "manifest.json"}
    for name, told in manifest["files"].items():
        data = (made / name).read_bytes()
        assert (told["bytes"], told["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        if name.endswith(".parquet"):
            table = pq.read_table(made / name)
            assert told["rows"] == table.num_rows
            assert told["columns"] == {field.name: str(field.type) for field in table.schema}
    moments = [row[1] for row in rows_of(home, ListingDynamic)]
    told = manifest["ages"]["listings_dynamic"]
    assert (told["rows"], told["oldest"], told["newest"]) == (len(moments), min(moments), max(moments))
    readme = (made / "README.md").read_text(encoding="utf-8")
    assert NOTICE in readme and "https://www.etsy.com/legal/api" in readme
    assert f"| listings_dynamic | {len(moments):,} | {min(moments)} | {max(moments)} |" in readme
    assert manifest["data_until"] in readme


def test_the_home_is_left_as_it_was(home: Path, tmp_path: Path) -> None:
    def held() -> dict[str, str]:
        paths = [path for path in home.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal"))]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    before = held()
    exported(load_settings(home, {}), tmp_path / "out")
    assert held() == before


def test_a_writer_is_not_held_up_and_what_it_commits_meanwhile_is_not_seen(own: Path, tmp_path: Path) -> None:
    fill(own, 3 * READ_ROWS)
    commits = iter(range(1, 1_000))

    def write() -> None:  # with no patience at all: a writer that had to wait would fail
        number = next(commits)
        execute(
            own,
            "INSERT INTO listings_dynamic (listing_id, snapshot_timestamp, state) "
            f"VALUES (1, '2025-01-01T00:00:00.{number:03}Z', 'new')",
            NEW_ITEM,
        )

    made = Export(tmp_path, False, write, lambda file, rows: None)
    database = open_read_only(DEFAULT_DATABASE_URL, own, CRAWLER_MODELS)
    with closing(database):
        made.write_tables(Snapshot(database), SystemClock().now())
    assert next(commits) > len(CRAWLER_MODELS)
    assert read(tmp_path / "tables", "listings_dynamic").num_rows == 3 * READ_ROWS
    assert read(tmp_path / "tables", "failed_items").num_rows == 0
    assert len(rows_of(own, ListingDynamic)) > 3 * READ_ROWS + len(CRAWLER_MODELS)


def test_a_moment_that_is_none_is_told_in_words_and_nothing_is_left(own: Path, tmp_path: Path) -> None:
    fill(own, 1)
    execute(own, "UPDATE listings SET snapshot_timestamp = 'yesterday'")
    with pytest.raises(OperatorNeeded, match="snapshot_timestamp of listings is no moment"):
        exported(load_settings(own, {}), tmp_path / "out")
    execute(own, "UPDATE listings SET snapshot_timestamp = '2026-01-01T00:00:00Z', taxonomy_id = 'chairs'")
    with pytest.raises(OperatorNeeded, match="taxonomy_id of listings holds a value that is no int64"):
        exported(load_settings(own, {}), tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_postgresql_gives_one_moment_too_and_a_writer_goes_on(tmp_path: Path) -> None:
    with own_server() as server:
        rig = crawled(tmp_path / "home", server)
        exported(rig.settings, tmp_path / "out")
        for model in CRAWLER_MODELS:
            columns, order = (", ".join(names) for names in (schema_of(model).names, key_of(model)))
            rows = rig.rows(f'SELECT {columns} FROM "{table_of(model)}" ORDER BY {order}')
            assert tuples(read(tmp_path / "out" / "tables", table_of(model))) == [
                tuple(map(plain, row)) for row in rows
            ]
        assert read(tmp_path / "out", "listings_asof").num_rows > read(tmp_path / "out" / "tables", "listings").num_rows
        rig.close()
        (tmp_path / "again").mkdir()
        with psycopg.connect(server, autocommit=True) as writer:

            def write() -> None:
                writer.execute(NEW_ITEM)

            made = Export(tmp_path / "again", False, write, lambda file, rows: None)
            with closing(open_read_only(server, tmp_path, CRAWLER_MODELS)) as database:
                made.write_tables(Snapshot(database), SystemClock().now())
            ((number,),) = writer.execute("SELECT COUNT(*) FROM failed_items").fetchall()
        assert number > 2
        assert read(tmp_path / "again" / "tables", "failed_items").num_rows == 0


def test_the_program_in_the_documentation_draws_price_and_favourites(made: Path, tmp_path: Path) -> None:
    words = (ROOT / "docs" / "analysis.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", words, re.DOTALL)
    (tmp_path / "draw.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "draw.py", str(made)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["listing.png", "market.png"]), done.stderr
    for name in done.stdout.split():
        with Image.open(tmp_path / name) as picture:
            colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20) or []}
        assert {(31, 119, 180), (214, 39, 40)} <= colours  # the lines of both


def test_each_column_of_the_views_is_told_of_in_the_documentation(made: Path) -> None:
    words = (ROOT / "docs" / "analysis.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(\w+)`", words))
    assert {"week", "known_at", "age_days", "price", "price_currency", "price_age_days", "first_known_at"} <= told
    named = {name for name in told if name.endswith(("_age_days", "_at"))}
    assert named <= {*read(made, "listings_asof").schema.names}
