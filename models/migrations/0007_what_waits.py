"""What waits to be read in indexes of that alone: each step wrote the entries of all rows that it met anew."""

from __future__ import annotations

from typing import NamedTuple

from peewee import Database
from playhouse.migrate import SchemaMigrator


class Narrowed(NamedTuple):
    """An index of all rows, and the one of some that takes its place."""

    table: str
    columns: tuple[str, ...]
    before: str
    after: str
    where: str


INDEXES = (
    Narrowed(
        "indexed_listings",
        ("last_seen_cycle", "known", "detail_due_at"),
        "indexedlisting_last_seen_cycle_known_detail_due_at",
        "indexed_listings_unread",
        "detail_cycle < last_seen_cycle AND detail_due_at IS NOT NULL",
    ),
    Narrowed(
        "indexed_shops",
        ("seen_cycle", "detail_due_at"),
        "indexedshop_seen_cycle_detail_due_at",
        "indexed_shops_unread",
        "detail_cycle < seen_cycle",
    ),
    Narrowed(
        "indexed_shops",
        ("review_due", "shop_id"),
        "indexedshop_review_due_shop_id",
        "indexed_shops_review_due",
        "review_due = 1",
    ),
)


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Put the indexes of some rows in the place of those of all."""
    for index in INDEXES:
        db.execute_sql(f"CREATE INDEX {index.after} ON {index.table} ({', '.join(index.columns)}) WHERE {index.where}")
        db.execute_sql(f"DROP INDEX {index.before}")


def down(migrator: SchemaMigrator, db: Database) -> None:
    """Put the former ones back."""
    for index in INDEXES:
        db.execute_sql(f"CREATE INDEX {index.before} ON {index.table} ({', '.join(index.columns)})")
        db.execute_sql(f"DROP INDEX {index.after}")
