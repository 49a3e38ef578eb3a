"""What travels between the database and the handlers: plain values, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file as its row says; `created_at` in Unix seconds."""

    id: str
    original_filename: str
    processed_filename: str | None
    species: str | None
    status: str
    metadata_json: str | None
    width: int | None
    height: int | None
    aspect_ratio: str | None
    created_at: float


@dataclass(frozen=True, slots=True)
class ListingRecord:
    """A listing of a file that is noted."""

    platform: str
    platform_listing_id: str
    listing_url: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that a worker holds: `attempt` says by which of its tries, so that a former holder can be told apart."""

    id: str
    attempt: int
    file_id: str | None
    command_type: str
    payload_json: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """All that a handler may know: the job, its payload, and its file with listings and earlier posts.

    `posts` are (platform, post_type) of the file's posts.
    """

    claim: Claim
    payload: Mapping[str, Any]
    file: FileRecord | None
    listings: tuple[ListingRecord, ...] = ()
    posts: tuple[tuple[str, str | None], ...] = ()

    def listing_on(self, platform: str) -> ListingRecord | None:
        """Return the file's listing that is noted for the platform, None where there is none."""
        return next((listing for listing in self.listings if listing.platform == platform), None)
