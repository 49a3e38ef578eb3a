"""What was last told of a listing's images, as one number: the rows of those that stay are not read any more."""

from __future__ import annotations

from peewee import BigIntegerField, Database
from playhouse.migrate import SchemaMigrator, migrate

TABLE, COLUMN = "indexed_listings", "images_digest"


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Add the column; the first answer of each listing fills it."""
    migrate(migrator.add_column(TABLE, COLUMN, BigIntegerField(null=True)))


def down(migrator: SchemaMigrator, db: Database) -> None:
    """Drop it."""
    migrate(migrator.drop_column(TABLE, COLUMN))
