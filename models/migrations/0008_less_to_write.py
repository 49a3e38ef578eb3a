"""What was last told of a listing's images as one number, so that their rows need not be read; two indexes less."""

from __future__ import annotations

from peewee import BigIntegerField, Database
from playhouse.migrate import SchemaMigrator, migrate

TABLE, COLUMN = "indexed_listings", "images_digest"
DROPPED = {
    "indexedlisting_images_missing_listing_id": "indexed_listings (images_missing, listing_id)",
    "imagestatus_download_done_to_download": "image_status (download_done, to_download)",
}


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Add the column, which the next answer about each listing fills, and keep only what waits in an index."""
    migrate(migrator.add_column(TABLE, COLUMN, BigIntegerField(null=True)))
    db.execute_sql(
        f"CREATE INDEX indexed_listings_images_missing ON {TABLE} (images_missing, listing_id) WHERE images_missing = 1"
    )
    for name in DROPPED:
        db.execute_sql(f"DROP INDEX {name}")


def down(migrator: SchemaMigrator, db: Database) -> None:
    """Put the former indexes back and drop the column."""
    for name, columns in DROPPED.items():
        db.execute_sql(f"CREATE INDEX {name} ON {columns}")
    db.execute_sql("DROP INDEX indexed_listings_images_missing")
    migrate(migrator.drop_column(TABLE, COLUMN))
