"""What a shop's figures are held against, a listing that stands for it, and the reviews of a shop by their time."""

from __future__ import annotations

from peewee import BigIntegerField, Database
from playhouse.migrate import SchemaMigrator, migrate

TABLE, COLUMNS = "indexed_shops", ("told_at", "visited_known", "seen_listing_id")


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Add the columns, and put the index with two columns in the place of the one with one."""
    migrate(*(migrator.add_column(TABLE, name, BigIntegerField(null=True)) for name in COLUMNS))
    db.execute_sql("CREATE INDEX review_shop_id_create_timestamp ON reviews (shop_id, create_timestamp)")
    db.execute_sql("DROP INDEX review_shop_id")


def down(migrator: SchemaMigrator, db: Database) -> None:
    """Put both back."""
    db.execute_sql("CREATE INDEX review_shop_id ON reviews (shop_id)")
    db.execute_sql("DROP INDEX review_shop_id_create_timestamp")
    migrate(*(migrator.drop_column(TABLE, name) for name in COLUMNS))
