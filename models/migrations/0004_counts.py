"""How many rows there are, kept by the database itself, and indexes that answer without looking at the rows.

PostgreSQL keeps no such counts here: several connections that add to one row would wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator

from peewee import BigIntegerField, Database, Model, SqliteDatabase, TextField
from playhouse.migrate import SchemaMigrator


class RowCount(Model):
    name = TextField(primary_key=True)
    number = BigIntegerField()

    class Meta:
        table_name = "row_counts"


TABLES = (
    *("shops", "shops_dynamic", "listings", "listings_dynamic", "reviews", "image_status"),
    *("indexed_listings", "indexed_shops"),
)
COUNTED = {
    **{table: (table, "1") for table in TABLES},
    "wanted": ("indexed_listings", "{row}wanted = 1"),
    "known": ("indexed_listings", "{row}known = 1"),
    "pictures_queued": ("image_status", "{row}download_done = 0 AND {row}to_download = 1"),
    "pictures_done": ("image_status", "{row}download_done = 1"),
}
"""What is counted: the table, and the condition that a row counts."""
FLAGS = {"indexed_listings": "wanted, known", "image_status": "download_done, to_download"}
REPLACED = {
    ("price",): ("price", "price_currency", "taxonomy_id"),
    ("idle_count", "detail_due_at"): ("idle_count", "detail_due_at", "detail_cycle"),
}
"""Indexes of the listings' index that get more columns."""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Count once, then let the database keep the counts."""
    for before, after in REPLACED.items():
        _replace(db, before, after)
    db.execute_sql("CREATE INDEX apiusage_service_recorded_at ON api_usage (service, recorded_at)")
    with db.bind_ctx([RowCount]):
        RowCount.create_table(safe=False)
    if isinstance(db, SqliteDatabase):
        for name, (table, condition) in COUNTED.items():
            counted = f"SELECT COUNT(*) FROM {table} WHERE {condition.format(row='')}"
            db.execute_sql(f"INSERT INTO row_counts VALUES ('{name}', ({counted}))")
        for _, statement in triggers():
            db.execute_sql(statement)


def down(migrator: SchemaMigrator, db: Database) -> None:
    """Forget the counts and put the former indexes back."""
    if isinstance(db, SqliteDatabase):
        for name, _ in triggers():
            db.execute_sql(f"DROP TRIGGER {name}")
    db.execute_sql("DROP TABLE row_counts")
    db.execute_sql("DROP INDEX apiusage_service_recorded_at")
    for before, after in REPLACED.items():
        _replace(db, after, before)


def triggers() -> Iterator[tuple[str, str]]:
    """Yield the names and statements of the triggers: two for each table, three for each kind of row."""
    for name, (table, condition) in COUNTED.items():
        new, old = condition.format(row="NEW."), condition.format(row="OLD.")
        yield _trigger(name, "insert", f"INSERT ON {table}", new, "+ 1")
        yield _trigger(name, "delete", f"DELETE ON {table}", old, "- 1")
        if condition != "1":
            change = f"+ ({new}) - ({old})"
            yield _trigger(name, "update", f"UPDATE OF {FLAGS[table]} ON {table}", f"({new}) <> ({old})", change)


def _trigger(name: str, event: str, at: str, when: str, change: str) -> tuple[str, str]:
    called = f"count_{name}_{event}"
    does = f"UPDATE row_counts SET number = number {change} WHERE name = '{name}'"
    return called, f"CREATE TRIGGER {called} AFTER {at} WHEN {when} BEGIN {does}; END"


def _replace(db: Database, old: tuple[str, ...], new: tuple[str, ...]) -> None:
    db.execute_sql(f"DROP INDEX indexedlisting_{'_'.join(old)}")
    db.execute_sql(f"CREATE INDEX indexedlisting_{'_'.join(new)} ON indexed_listings ({', '.join(new)})")
