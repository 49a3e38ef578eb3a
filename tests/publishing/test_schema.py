"""The publishing database's form: models, migrations and the data model say the same, and there is a way back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from peewee import Database, IntegrityError, SqliteDatabase
from playhouse.migrations import Runner
from playhouse.schema_diff import diff_models

from models.publishing import PUBLISHING_MIGRATIONS, PUBLISHING_MODELS, File, PlatformListing
from tests.publishing.bench import Bench

# spec/data-model.md, written down anew: table → columns (! is not null), indexed columns, foreign keys.
DATA_MODEL: dict[str, tuple[str, str, dict[str, tuple[str, str]]]] = {
    "files": (
        "id! original_filename! processed_filename species status! drive_file_id metadata_json width height "
        "aspect_ratio created_at! updated_at!",
        "status species drive_file_id",
        {},
    ),
    "jobs": (
        "id! file_id command_type! status! attempts! last_error payload_json result_json created_at! started_at "
        "completed_at",
        "status file_id command_type",
        {"file_id": ("files", "CASCADE")},
    ),
    "processed_hashes": ("hash! file_id created_at!", "created_at file_id", {"file_id": ("files", "SET NULL")}),
    "api_usage": (
        "id! service! endpoint request_count! rate_limit_remaining rate_limit_reset_at recorded_at!",
        "service recorded_at",
        {},
    ),
    "listings": (
        "id! file_id! platform! platform_listing_id! listing_url status! created_at! updated_at!",
        "file_id platform platform+platform_listing_id",
        {"file_id": ("files", "CASCADE")},
    ),
    "social_posts": (
        "id! file_id! platform! post_type platform_post_id post_url posted_at!",
        "file_id platform",
        {"file_id": ("files", "CASCADE")},
    ),
}
ROWS = (
    "INSERT INTO files (id, original_filename, status) VALUES ('f', 'a.jpg', 'ingested')",
    "INSERT INTO jobs (id, file_id, command_type, status) VALUES ('j', 'f', 'UpscaleImage', 'pending')",
    "INSERT INTO processed_hashes (hash, file_id) VALUES ('h', 'f')",
    "INSERT INTO api_usage (service) VALUES ('etsy')",
    "INSERT INTO listings (id, file_id, platform, platform_listing_id, status) VALUES ('l', 'f', 'etsy', '1', 'draft')",
    "INSERT INTO social_posts (id, file_id, platform) VALUES ('p', 'f', 'tiktok')",
)
"""One row of each table, as another program would put it in: what defaults is left out."""


def run(database: Database, statement: str) -> Any:
    execute: Any = database.execute_sql
    return execute(statement)


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    return list(run(database, query).fetchall())


def indexed(database: Database, table: str) -> set[str]:
    return {"+".join(index.columns) for index in database.get_indexes(table)}


def test_the_tables_are_those_of_the_data_model(database: Database) -> None:
    assert set(database.get_tables()) - {"schema_migration"} == set(DATA_MODEL)
    for table, (columns, indexes, keys) in DATA_MODEL.items():
        found = {column.name + ("" if column.null else "!") for column in database.get_columns(table)}
        assert found == set(columns.split()), table
        assert indexed(database, table) - {"id", "hash"} == set(indexes.split()), table
        assert {key.column: key.dest_table for key in database.get_foreign_keys(table)} == {
            column: target for column, (target, _) in keys.items()
        }


def test_the_migrations_give_exactly_the_models(database: Database) -> None:
    assert not diff_models(database, PUBLISHING_MODELS)


def test_the_database_fills_what_has_a_default(database: Database) -> None:
    for statement in ROWS:
        run(database, statement)
    assert all(rows(database, f"SELECT created_at FROM {table}")[0][0] for table in ("files", "jobs", "listings"))
    assert rows(database, "SELECT attempts FROM jobs") == [(0,)]
    assert rows(database, "SELECT request_count FROM api_usage") == [(1,)]


def test_a_deleted_file_takes_jobs_listings_and_posts_with_it_and_leaves_its_hash(database: Database) -> None:
    for statement in ROWS:
        run(database, statement)
    File.delete().execute()
    left = {table: len(rows(database, f"SELECT * FROM {table}")) for table in DATA_MODEL}
    assert left == {**dict.fromkeys(DATA_MODEL, 0), "processed_hashes": 1, "api_usage": 1}
    assert rows(database, "SELECT file_id FROM processed_hashes") == [(None,)]


def test_no_listing_is_noted_twice_and_none_without_a_file(database: Database) -> None:
    for statement in ROWS:
        run(database, statement)
    told = {"platform": "etsy", "platform_listing_id": "1", "status": "draft"}
    with pytest.raises(IntegrityError), database.atomic():
        PlatformListing.insert(id="again", file="f", **told).execute()
    with pytest.raises(IntegrityError), database.atomic():
        PlatformListing.insert(id="other", file="nobody", **{**told, "platform_listing_id": "2"}).execute()
    PlatformListing.insert(id="ebay", file="f", **{**told, "platform": "ebay"}).execute()


def test_there_is_a_way_back_and_forth_again(database: Database) -> None:
    before = set(database.get_tables())
    runner = Runner(database, str(PUBLISHING_MIGRATIONS))
    runner.down("0001_first_tables")
    assert set(database.get_tables()) == before - set(DATA_MODEL)
    runner.up()
    assert set(database.get_tables()) == before


def test_a_copy_with_data_is_opened_as_it_is(tmp_path: Path) -> None:
    first = Bench(tmp_path / "first")
    file_id = first.processed()
    first.close()
    copy = tmp_path / "second" / "data" / "fieldfen.db"
    copy.parent.mkdir(parents=True)
    with closing(sqlite3.connect(tmp_path / "first/data/fieldfen.db")) as source, closing(sqlite3.connect(copy)) as to:
        source.backup(to)
    second = Bench(tmp_path / "second")
    assert second.file(file_id).status == "processed"
    assert rows(second.database, "PRAGMA integrity_check") == [("ok",)]
    second.close()


def test_a_database_in_memory_will_do() -> None:
    database = SqliteDatabase(":memory:", pragmas={"foreign_keys": 1})
    with database.bind_ctx(PUBLISHING_MODELS):
        Runner(database, str(PUBLISHING_MIGRATIONS)).up()
        assert File.select().count() == 0
    database.close()
