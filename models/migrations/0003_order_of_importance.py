"""New listings found apart from known ones that are due, however many those are."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

TABLE = "indexed_listings"
BEFORE = ("last_seen_cycle", "detail_due_at")
AFTER = ("last_seen_cycle", "known", "detail_due_at")


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Put the one index in the place of the other."""
    _replace(db, BEFORE, AFTER)


def down(migrator: SchemaMigrator, db: Database) -> None:
    """Put the former one back."""
    _replace(db, AFTER, BEFORE)


def _replace(db: Database, old: tuple[str, ...], new: tuple[str, ...]) -> None:
    db.execute_sql(f"DROP INDEX {_name(old)}")
    db.execute_sql(f"CREATE INDEX {_name(new)} ON {TABLE} ({', '.join(new)})")


def _name(columns: tuple[str, ...]) -> str:
    return f"indexedlisting_{'_'.join(columns)}"
