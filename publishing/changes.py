"""What a handler wants written: plain values; store.py writes them in one transaction with the job's end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class FileMade:
    """A new file, ingested."""

    id: str
    original_filename: str
    species: str | None
    drive_file_id: str | None
    width: int
    height: int
    aspect_ratio: str | None


@dataclass(frozen=True, slots=True)
class PictureMade:
    """The file's processed picture is on the disk under this name."""

    processed_filename: str
    width: int
    height: int
    aspect_ratio: str | None


@dataclass(frozen=True, slots=True)
class MetadataWritten:
    """The file's metadata, in its stored form."""

    metadata_json: str


@dataclass(frozen=True, slots=True)
class ListingNoted:
    """A listing as the platform tells it now."""

    platform: str
    platform_listing_id: str
    listing_url: str | None
    status: str


@dataclass(frozen=True, slots=True)
class PostNoted:
    """A post as the platform tells it."""

    platform: str
    post_type: str
    platform_post_id: str
    post_url: str | None


@dataclass(frozen=True, slots=True)
class FileGone:
    """The file and all that hangs on it are deleted."""


Change = FileMade | PictureMade | MetadataWritten | ListingNoted | PostNoted | FileGone


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job: what is kept as its result, and what is to be written."""

    result: Mapping[str, Any]
    changes: tuple[Change, ...] = field(default=())
