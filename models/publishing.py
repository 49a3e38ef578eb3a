"""The publishing database: artworks from ingest to shop listings and social posts, and the jobs that carry them.

Identifiers are UUID v4 text. Moments are TIMESTAMPs in UTC without a zone; the database fills those that default to
now, for other programs' inserts too. Columns that end in `_json` hold JSON as text.
"""

from __future__ import annotations

from pathlib import Path

from peewee import SQL, AutoField, ForeignKeyField, IntegerField, Model, TextField

from models.fields import CountField, TimestampField


def _now() -> TimestampField:
    return TimestampField(constraints=[SQL("DEFAULT CURRENT_TIMESTAMP")])


class File(Model):
    """One artwork, and how far it is: ingested, processing, processed, approved, published, or failed.

    `width`, `height` and `aspect_ratio` are of the processed picture where there is one, else of the original.
    """

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
    """One command to be carried out: pending, running, completed or failed.

    `attempts` goes up when a worker takes it. A pending job with attempts waits to be tried again, counted from
    `started_at`, when its last try began.
    """

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
    """The SHA-256 of a webhook's payload that was taken in: the same payload again is skipped."""

    hash = TextField(primary_key=True)
    file = ForeignKeyField(File, column_name="file_id", null=True, on_delete="SET NULL")
    created_at = TimestampField(index=True, constraints=[SQL("DEFAULT CURRENT_TIMESTAMP")])

    class Meta:
        table_name = "processed_hashes"


class ServiceUsage(Model):
    """Outside calls of publishing, added up per service, endpoint and minute; as the crawler's api_usage."""

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
    """A listing of an artwork in a shop (shopify, etsy, ebay, amazon): draft, active, sold_out or delisted."""

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
    """A post about an artwork (instagram, tiktok, facebook, pinterest); `post_type` is post, story, reel or pin."""

    id = TextField(primary_key=True)
    file = ForeignKeyField(File, column_name="file_id", on_delete="CASCADE")
    platform = TextField(index=True)
    post_type = TextField(null=True)
    platform_post_id = TextField(null=True)
    post_url = TextField(null=True)
    posted_at = _now()

    class Meta:
        table_name = "social_posts"


PUBLISHING_MODELS: tuple[type[Model], ...] = (File, Job, ProcessedHash, ServiceUsage, PlatformListing, SocialPost)
PUBLISHING_MIGRATIONS = Path(__file__).parent / "publishing_migrations"
