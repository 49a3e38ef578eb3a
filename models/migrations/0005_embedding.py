"""Embeddings: how far each picture is, and the tables beside the vector files."""

from __future__ import annotations

from peewee import SQL, BigIntegerField, Database, Field, IntegerField, Model, TextField
from playhouse.migrate import SchemaMigrator

TABLE = "image_status"
INDEXES = {
    "image_status_to_cut": "download_done = 1 AND bg_removed = 0 AND bg_outcome IS NULL",
    "image_status_to_embed": "bg_removed = 1 AND embedded = 0 AND embed_outcome IS NULL",
}


class VectorRow(Model):
    row = BigIntegerField(primary_key=True)
    listing_id = BigIntegerField()
    image_id = BigIntegerField()

    class Meta:
        table_name = "vector_rows"
        indexes = ((("listing_id", "image_id"), True),)


class VectorFileState(Model):
    file = TextField(primary_key=True)
    make_id = TextField()
    rows = BigIntegerField()

    class Meta:
        table_name = "vector_files"


class VectorBatch(Model):
    batch_id = TextField(primary_key=True)
    first_row = BigIntegerField()
    number = IntegerField()
    checksums = TextField()
    worker = TextField()
    committed_at = TextField()

    class Meta:
        table_name = "vector_batches"


class VectorMake(Model):
    make_id = TextField(primary_key=True)
    model = TextField()
    weights = TextField()
    preprocessing = TextField()
    back_end = TextField()
    first_used_at = TextField()

    class Meta:
        table_name = "vector_makes"


TABLES = (VectorRow, VectorFileState, VectorBatch, VectorMake)


def columns() -> dict[str, Field]:
    return {
        "bg_outcome": TextField(null=True),
        "embedded": IntegerField(default=0, constraints=[SQL("DEFAULT 0")]),
        "embed_outcome": TextField(null=True),
    }


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Add the columns, which costs nothing however large the table is, then the indexes and tables."""
    for name, field in columns().items():
        migrator.alter_add_column(TABLE, name, field, allow_not_null=True).run()
    for name, condition in INDEXES.items():
        db.execute_sql(f"CREATE INDEX {name} ON {TABLE} (is_primary, listing_id, image_id) WHERE {condition}")
    with db.bind_ctx(TABLES):
        db.create_tables(TABLES, safe=False)


def down(migrator: SchemaMigrator, db: Database) -> None:
    """Drop them again; the vector files stay where they are."""
    with db.bind_ctx(TABLES):
        db.drop_tables(TABLES, safe=False)
    for name in INDEXES:
        db.execute_sql(f"DROP INDEX {name}")
    for name in columns():
        migrator.drop_column(TABLE, name).run()
