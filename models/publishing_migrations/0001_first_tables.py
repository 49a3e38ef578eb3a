"""The first tables of the publishing database, frozen as they were then."""

from __future__ import annotations

from peewee import SQL, AutoField, Database, DateTimeField, ForeignKeyField, IntegerField, Model, TextField
from playhouse.migrate import SchemaMigrator


class TimestampField(DateTimeField):
    field_type = "TIMESTAMP"


class CountField(IntegerField):
    def __init__(self, default: int = 0) -> None:
        super().__init__(default=default, constraints=[SQL(f"DEFAULT {default}")])


def _now() -> TimestampField:
    return TimestampField(constraints=[SQL("DEFAULT CURRENT_TIMESTAMP")])


class File(Model):
    id = TextField(primary_key=True)
    original_filename = TextField()
    processed_filename = TextField(null=True)
    species = TextField(null=True, index=True)
    status = TextField(index=True)
    drive_file_id = TextField(null=True, index=True)
    metadata_json = TextField(null=True)
    width = IntegerField(null=True)
    height = IntegerField(null=True)
    aspect_ratio = TextField(null=True)
    created_at = _now()
    updated_at = _now()

    class Meta:
        table_name = "files"


class Job(Model):
    id = TextField(primary_key=True)
    file = ForeignKeyField(File, column_name="file_id", null=True, on_delete="CASCADE")
    command_type = TextField(index=True)
    status = TextField(index=True)
    attempts = CountField()
    last_error = TextField(null=True)
    payload_json = TextField(null=True)
    result_json = TextField(null=True)
    created_at = _now()
    started_at = TimestampField(null=True)
    completed_at = TimestampField(null=True)

    class Meta:
        table_name = "jobs"


class ProcessedHash(Model):
    hash = TextField(primary_key=True)
    file = ForeignKeyField(File, column_name="file_id", null=True, on_delete="SET NULL")
    created_at = TimestampField(index=True, constraints=[SQL("DEFAULT CURRENT_TIMESTAMP")])

    class Meta:
        table_name = "processed_hashes"


class ServiceUsage(Model):
    id = AutoField()
    service = TextField(index=True)
    endpoint = TextField(null=True)
    request_count = CountField(1)
    rate_limit_remaining = IntegerField(null=True)
    rate_limit_reset_at = TimestampField(null=True)
    recorded_at = TimestampField(index=True, constraints=[SQL("DEFAULT CURRENT_TIMESTAMP")])

    class Meta:
        table_name = "api_usage"


class PlatformListing(Model):
    id = TextField(primary_key=True)
    file = ForeignKeyField(File, column_name="file_id", on_delete="CASCADE")
    platform = TextField(index=True)
    platform_listing_id = TextField()
    listing_url = TextField(null=True)
    status = TextField()
    created_at = _now()
    updated_at = _now()

    class Meta:
        table_name = "listings"
        indexes = ((("platform", "platform_listing_id"), True),)


class SocialPost(Model):
    id = TextField(primary_key=True)
    file = ForeignKeyField(File, column_name="file_id", on_delete="CASCADE")
    platform = TextField(index=True)
    post_type = TextField(null=True)
    platform_post_id = TextField(null=True)
    post_url = TextField(null=True)
    posted_at = _now()

    class Meta:
        table_name = "social_posts"


TABLES: tuple[type[Model], ...] = (File, Job, ProcessedHash, ServiceUsage, PlatformListing, SocialPost)


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Create all tables."""
    with db.bind_ctx(TABLES, bind_refs=False, bind_backrefs=False):
        db.create_tables(TABLES)


def down(migrator: SchemaMigrator, db: Database) -> None:
    """Drop all tables."""
    with db.bind_ctx(TABLES, bind_refs=False, bind_backrefs=False):
        db.drop_tables(TABLES)
