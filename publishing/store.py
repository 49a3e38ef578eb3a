"""Loads what a handler may know, and writes what came of it; whoever calls holds the transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from models.publishing import File, Job, PlatformListing, SocialPost
from publishing import files
from publishing.changes import (
    Change,
    FileGone,
    FileMade,
    ListingNoted,
    MetadataWritten,
    PictureMade,
    PostNoted,
)
from publishing.machine import APPROVED, INGESTED, PROCESSING
from publishing.moments import moment
from publishing.records import Claim, ListingRecord
from publishing.troubles import JobFailed
from runtime import bulk


def load_listings(file_id: str) -> tuple[ListingRecord, ...]:
    """Return the file's listings."""
    rows = PlatformListing.select().where(PlatformListing.file == file_id).order_by(PlatformListing.created_at)
    return tuple(ListingRecord(row.platform, row.platform_listing_id, row.listing_url, row.status) for row in rows)


def load_posts(file_id: str) -> tuple[tuple[str, str | None], ...]:
    """Return the platform and type of each of the file's posts."""
    query = SocialPost.select(SocialPost.platform, SocialPost.post_type).where(SocialPost.file == file_id)
    return tuple((platform, post_type) for platform, post_type in bulk.tuples(query))


def apply(change: Change, claimed: Claim, now: float) -> None:
    """Write one change; JobFailed where the database says that it cannot be."""
    WRITERS[type(change)](change, claimed, now)


def _make_file(change: FileMade, claimed: Claim, now: float) -> None:
    at = moment(now)
    File.insert(
        id=change.id,
        original_filename=change.original_filename,
        species=change.species,
        status=INGESTED,
        drive_file_id=change.drive_file_id,
        width=change.width,
        height=change.height,
        aspect_ratio=change.aspect_ratio,
        created_at=at,
        updated_at=at,
    ).execute()
    Job.update({Job.file: change.id}).where(Job.id == claimed.id).execute()


def _note_picture(change: PictureMade, claimed: Claim, now: float) -> None:
    _update_file(
        claimed,
        now,
        processed_filename=change.processed_filename,
        width=change.width,
        height=change.height,
        aspect_ratio=change.aspect_ratio,
    )


def _note_metadata(change: MetadataWritten, claimed: Claim, now: float) -> None:
    _update_file(claimed, now, metadata_json=change.metadata_json)


def _update_file(claimed: Claim, now: float, **values: Any) -> None:
    """Write the values; a file that has its picture and its metadata now is processed."""
    file_id = str(claimed.file_id)
    File.update(updated_at=moment(now), **values).where(File.id == file_id).execute()
    file = files.get(file_id)
    if file.status == PROCESSING and file.processed_filename and file.metadata_json:
        files.finish(file_id, now)


def _note_listing(change: ListingNoted, claimed: Claim, now: float) -> None:
    key = (
        PlatformListing.platform == change.platform,
        PlatformListing.platform_listing_id == change.platform_listing_id,
    )
    known: Any = PlatformListing.get_or_none(*key)
    values: dict[str, Any] = {"listing_url": change.listing_url, "status": change.status, "updated_at": moment(now)}
    if known is None:
        PlatformListing.insert(
            id=str(uuid4()),
            file=claimed.file_id,
            platform=change.platform,
            platform_listing_id=change.platform_listing_id,
            created_at=moment(now),
            **values,
        ).execute()
    elif known.file_id != claimed.file_id:
        raise JobFailed(
            f"The {change.platform} listing {change.platform_listing_id} is noted for file {known.file_id} already.",
            advice="Was it copied by hand on the platform? Remove its `Ref.` line there.",
        )
    else:
        PlatformListing.update(**values).where(*key).execute()
    if files.get(str(claimed.file_id)).status == APPROVED:
        files.publish(str(claimed.file_id), now)


def _note_post(change: PostNoted, claimed: Claim, now: float) -> None:
    SocialPost.insert(
        id=str(uuid4()),
        file=claimed.file_id,
        platform=change.platform,
        post_type=change.post_type,
        platform_post_id=change.platform_post_id,
        post_url=change.post_url,
        posted_at=moment(now),
    ).execute()


def _delete_file(change: FileGone, claimed: Claim, now: float) -> None:
    # The job outlives its file: deleting the file would delete its jobs, this one with its result among them.
    Job.update({Job.file: None}).where(Job.id == claimed.id).execute()
    File.delete().where(File.id == claimed.file_id).execute()


WRITERS: dict[type[Change], Callable[[Any, Claim, float], None]] = {
    FileMade: _make_file,
    PictureMade: _note_picture,
    MetadataWritten: _note_metadata,
    ListingNoted: _note_listing,
    PostNoted: _note_post,
    FileGone: _delete_file,
}
