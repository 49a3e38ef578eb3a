"""What became of each picture: the columns of image_status that the downloads, checks and shards need."""

from __future__ import annotations

from peewee import SQL, BigIntegerField, Database, Field, IntegerField, TextField
from playhouse.migrate import SchemaMigrator

TABLE = "image_status"
TEXTS = ("outcome", "format", "digest", "downloaded_at", "raw_shard", "shard")
NUMBERS = ("width", "height", "size_bytes")
INDEXES = {
    "imagestatus_image_id": "(image_id)",
    "image_status_queued": "(is_primary, retry_at, image_id) WHERE download_done = 0 AND to_download = 1",
    "image_status_failed": "(outcome) WHERE outcome <> 'done'",
}


def columns() -> dict[str, Field]:
    counts = {name: IntegerField(default=0, constraints=[SQL("DEFAULT 0")]) for name in ("attempts", "in_primary")}
    return {
        **{name: TextField(null=True) for name in TEXTS},
        **{name: IntegerField(null=True) for name in NUMBERS},
        **counts,
        "retry_at": BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")]),
    }


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Add the columns, which costs nothing however large the table is, and the indexes."""
    for name, field in columns().items():
        # Otherwise SQLite copies the whole table to make a column NOT NULL.
        migrator.alter_add_column(TABLE, name, field, allow_not_null=True).run()
    for name, what in INDEXES.items():
        db.execute_sql(f"CREATE INDEX {name} ON {TABLE} {what}")


def down(migrator: SchemaMigrator, db: Database) -> None:
    """Drop them again."""
    for name in INDEXES:
        db.execute_sql(f"DROP INDEX {name}")
    for name in columns():
        migrator.drop_column(TABLE, name).run()
