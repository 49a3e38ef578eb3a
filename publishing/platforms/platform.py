"""What the handlers ask of a platform. An adapter knows its API; the handlers know the file and what is noted of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from publishing.metadata import Metadata


@dataclass(frozen=True, slots=True)
class Artwork:
    """What a shop or network is told of a file: its id, by which its listing is found again, and its metadata."""

    file_id: str
    metadata: Metadata
    created_at: float


@dataclass(frozen=True, slots=True)
class Posted:
    """A listing or post as the platform tells it; a listing's status is draft, active, sold_out or delisted."""

    id: str
    url: str | None
    status: str


class ShopPlatform(Protocol):
    """A shop. All raise JobFailed for what no retry helps, TryLater for what can heal."""

    def check(self, payload: Mapping[str, Any]) -> None:
        """Raise JobFailed where a listing cannot be made with this payload; nothing outside is asked."""

    def find_listing(self, artwork: Artwork) -> Posted | None:
        """Return the listing that an earlier try has made for the file, None where there is none."""

    def create_listing(self, artwork: Artwork, payload: Mapping[str, Any]) -> Posted:
        """Make a listing that nobody can buy from yet."""

    def put_picture(self, listing_id: str, picture: bytes, words: str) -> None:
        """Have the JPEG as the listing's first picture; harmless to repeat."""

    def update_listing(self, listing_id: str, artwork: Artwork, payload: Mapping[str, Any]) -> Posted:
        """Change the fields of the listing that the payload names."""


class SocialPlatform(Protocol):
    """A social network; raises as a shop does."""

    def publish(self, artwork: Artwork, post_type: str, payload: Mapping[str, Any]) -> Posted:
        """Publish a post about the artwork."""
