"""The database's form: models, migrations and the data model say the same."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from peewee import Database, SqliteDatabase
from playhouse.migrations import Runner
from playhouse.schema_diff import diff_models

from models import CRAWLER_MODELS, MIGRATIONS
from runtime.database import PRAGMAS, open_database, open_read_only
from runtime.errors import OperatorNeeded, UserMistake

URL = "sqlite:///data/db.sqlite"
# spec/data-model.md, written down anew: table → primary key, columns by affinity, foreign keys.
TEXT, INTEGER, REAL = "TEXT", "INTEGER", "REAL"


def of(affinity: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), affinity)


DATA_MODEL: dict[str, tuple[tuple[str, ...], dict[str, str], dict[str, str]]] = {
    "shops": (
        ("shop_id",),
        of(INTEGER, "shop_id create_date is_shop_us_based")
        | of(TEXT, "snapshot_timestamp url shipping_from_country_iso shop_location_country_iso"),
        {},
    ),
    "shops_dynamic": (
        ("shop_id", "snapshot_timestamp"),
        of(INTEGER, "shop_id update_date listing_active_count accepts_custom_requests num_favorers")
        | of(INTEGER, "transaction_sold_count review_count")
        | of(TEXT, "snapshot_timestamp")
        | of(REAL, "review_average"),
        {"shop_id": "shops"},
    ),
    "listings": (
        ("listing_id",),
        of(INTEGER, "listing_id shop_id creation_timestamp is_customizable is_personalizable processing_min")
        | of(INTEGER, "processing_max should_auto_renew price_amount price_divisor taxonomy_id")
        | of(TEXT, "snapshot_timestamp title description url listing_type tags materials who_made when_made")
        | of(TEXT, "item_weight_unit item_dimensions_unit language price_currency production_partners")
        | of(REAL, "item_weight item_length item_width item_height"),
        {"shop_id": "shops"},
    ),
    "listings_dynamic": (
        ("listing_id", "snapshot_timestamp"),
        of(INTEGER, "listing_id ending_timestamp quantity num_favorers views price_amount price_divisor")
        | of(TEXT, "snapshot_timestamp state price_currency"),
        {"listing_id": "listings"},
    ),
    "reviews": (
        ("transaction_id",),
        of(INTEGER, "transaction_id shop_id listing_id buyer_user_id rating create_timestamp")
        | of(TEXT, "snapshot_timestamp review language"),
        {"shop_id": "shops"},
    ),
    "image_status": (
        ("listing_id", "image_id"),
        of(INTEGER, "listing_id image_id shop_id is_primary to_download download_done bg_removed")
        | of(INTEGER, "embed_clip_vitb32 embed_clip_vitl14 embed_dinov2_base embed_dinov2_large embed_dinov3_base")
        | of(TEXT, "hex suffix when_made")
        | of(REAL, "price"),
        {"listing_id": "listings"},
    ),
    "sync_state": (("key",), of(TEXT, "key value"), {}),
    "api_usage": (
        ("id",),
        of(INTEGER, "id request_count rate_limit_remaining")
        | of(TEXT, "service endpoint")
        | of("NUMERIC", "rate_limit_reset_at recorded_at"),
        {},
    ),
}
DEFAULTS = {
    ("image_status", "to_download"): "1",
    ("image_status", "download_done"): "0",
    ("image_status", "bg_removed"): "0",
    ("image_status", "embed_dinov3_base"): "0",
    ("api_usage", "request_count"): "1",
    ("api_usage", "recorded_at"): "CURRENT_TIMESTAMP",
}
NULLABLE = {
    "shops": "shipping_from_country_iso shop_location_country_iso",
    "shops_dynamic": "review_average review_count",
    "listings": "processing_min processing_max who_made when_made item_weight language taxonomy_id",
    "listings_dynamic": "ending_timestamp quantity num_favorers views price_amount price_divisor price_currency",
    "reviews": "buyer_user_id review language",
    "api_usage": "endpoint rate_limit_remaining rate_limit_reset_at",
}


def affinity(declared: str) -> str:
    """Return what SQLite makes of a declared type, by its own rules."""
    for sign, found in (("INT", INTEGER), ("CHAR", TEXT), ("CLOB", TEXT), ("TEXT", TEXT), ("BLOB", "BLOB")):
        if sign in declared.upper():
            return found
    return REAL if any(sign in declared.upper() for sign in ("REAL", "FLOA", "DOUB")) else "NUMERIC"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(URL, tmp_path, CRAWLER_MODELS, MIGRATIONS)
    yield database
    database.close()


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    answer: Any = database.execute_sql
    return list(answer(query).fetchall())


def test_the_migrations_make_what_the_models_say(database: Database) -> None:
    assert str(diff_models(database, CRAWLER_MODELS) or "") == ""


def test_every_type_default_and_key_of_the_migrations_is_the_models_(tmp_path: Path, database: Database) -> None:
    straight = SqliteDatabase(str(tmp_path / "straight.sqlite"))
    with straight.bind_ctx(CRAWLER_MODELS):
        straight.create_tables(CRAWLER_MODELS)
    for table in (model._meta.table_name for model in CRAWLER_MODELS):
        assert form(straight, table) == form(database, table)
    straight.close()


def form(database: Database, table: str) -> list[set[tuple[Any, ...]]]:
    """Return columns, foreign keys and indexes of a table; the order of columns is left out."""
    made = rows(database, f"SELECT name, sql FROM sqlite_master WHERE tbl_name = '{table}' AND type = 'index'")
    return [
        {row[1:] for row in rows(database, f"PRAGMA table_info({table})")},
        set(rows(database, f"PRAGMA foreign_key_list({table})")),
        {(name, (sql or "").replace('"', "").replace(" IF NOT EXISTS", "")) for name, sql in made},
    ]


@pytest.mark.parametrize("table", DATA_MODEL)
def test_a_table_has_the_data_model_s_columns_types_and_key(database: Database, table: str) -> None:
    key, columns, _ = DATA_MODEL[table]
    told = rows(database, f"PRAGMA table_info({table})")
    assert columns.items() <= {name: affinity(kind) for _, name, kind, _, _, _ in told}.items()
    assert tuple(name for _, name, *_, place in sorted(told, key=lambda row: row[5]) if place) == key


@pytest.mark.parametrize("table", DATA_MODEL)
def test_a_table_points_where_the_data_model_says(database: Database, table: str) -> None:
    told = {row[3]: row[2] for row in rows(database, f"PRAGMA foreign_key_list({table})")}
    assert told == DATA_MODEL[table][2]


@pytest.mark.parametrize(("table", "name"), DEFAULTS)
def test_the_database_itself_fills_in_a_default(database: Database, table: str, name: str) -> None:
    told = {row[1]: row[4] for row in rows(database, f"PRAGMA table_info({table})")}
    assert told[name] == DEFAULTS[table, name]


@pytest.mark.parametrize("table", NULLABLE)
def test_what_may_be_null_may_be_null(database: Database, table: str) -> None:
    required = {row[1] for row in rows(database, f"PRAGMA table_info({table})") if row[3]}
    assert not required & set(NULLABLE[table].split())


def test_another_program_s_insert_of_an_image_is_queued_for_download(database: Database) -> None:
    rows(database, "INSERT INTO shops (shop_id) VALUES (1)")
    lists = "'[]', '[]', '[]'"
    rows(
        database,
        "INSERT INTO listings (listing_id, shop_id, snapshot_timestamp, tags, materials, production_partners) "
        f"VALUES (2, 1, '2026-11-20T15:04:05Z', {lists})",
    )
    rows(
        database,
        "INSERT INTO image_status (listing_id, image_id, shop_id, hex, suffix, is_primary) "
        "VALUES (2, 3, 1, 'a', 'b', 1)",
    )
    assert rows(database, "SELECT to_download, download_done, embed_clip_vitb32 FROM image_status") == [(1, 0, 0)]


def test_usage_is_found_by_service_and_by_time(database: Database) -> None:
    indexed = {
        column
        for index in rows(database, "PRAGMA index_list(api_usage)")
        for _, _, column in rows(database, f"PRAGMA index_info({index[1]})")
    }
    assert {"service", "recorded_at"} <= indexed


def test_the_file_is_kept_as_safely_as_the_design_says(database: Database) -> None:
    assert rows(database, "PRAGMA journal_mode") == [("wal",)]
    assert rows(database, "PRAGMA synchronous") == [(2,)]
    assert rows(database, "PRAGMA foreign_keys") == [(1,)]
    assert PRAGMAS["fullfsync"] == PRAGMAS["checkpoint_fullfsync"] == 1


def test_down_takes_everything_away_again_and_up_brings_it_back(database: Database) -> None:
    runner = Runner(database, str(MIGRATIONS))
    before = set(database.get_tables())
    runner.down("0001_first_tables")
    assert not {model._meta.table_name for model in CRAWLER_MODELS} & set(database.get_tables())
    runner.up()
    assert set(database.get_tables()) == before


def test_opening_twice_changes_nothing(tmp_path: Path, database: Database) -> None:
    rows(database, "INSERT INTO shops (shop_id) VALUES (1)")
    again = open_database(URL, tmp_path, CRAWLER_MODELS, MIGRATIONS)
    assert rows(again, "SELECT shop_id FROM shops") == [(1,)]
    again.close()


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    newer = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, newer)
    (newer / "0999_of_tomorrow.py").write_text(
        "def up(migrator, db):\n    pass\n\n\ndef down(migrator, db):\n    pass\n"
    )
    open_database(URL, tmp_path, CRAWLER_MODELS, newer).close()
    with pytest.raises(UserMistake, match="0999_of_tomorrow") as mistake:
        open_database(URL, tmp_path, CRAWLER_MODELS, MIGRATIONS)
    assert "newer version" in str(mistake.value)
    open_database(URL, tmp_path, CRAWLER_MODELS, newer).close()


def test_a_file_that_is_no_database_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "data" / "db.sqlite"
    path.parent.mkdir()
    path.write_text("this is no database, it only lies where one should be" * 50)
    before = path.read_bytes()
    with pytest.raises(OperatorNeeded, match="no SQLite database"):
        open_database(URL, tmp_path, CRAWLER_MODELS, MIGRATIONS)
    assert path.read_bytes() == before


def test_looking_makes_no_file_and_writes_none(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="no database"):
        open_read_only(URL, tmp_path, CRAWLER_MODELS)
    assert not (tmp_path / "data").exists()
    open_database(URL, tmp_path, CRAWLER_MODELS, MIGRATIONS).close()
    looking = open_read_only(URL, tmp_path, CRAWLER_MODELS)
    with pytest.raises(Exception, match="readonly"):
        rows(looking, "INSERT INTO shops (shop_id) VALUES (1)")
    looking.close()


def test_an_empty_database_is_told_to_be_not_set_up_yet(tmp_path: Path) -> None:
    path = tmp_path / "data" / "db.sqlite"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as empty:
        empty.execute("CREATE TABLE other (a)")
    with pytest.raises((UserMistake, OperatorNeeded), match="set up"):
        open_read_only(URL, tmp_path, CRAWLER_MODELS)


@pytest.mark.parametrize("url", ["postgresql://", "postgresql://host:notaport/db"])
def test_an_address_that_cannot_be_used_is_told_in_words(tmp_path: Path, url: str) -> None:
    with pytest.raises((UserMistake, OperatorNeeded)):
        open_database(url, tmp_path, CRAWLER_MODELS, MIGRATIONS)
