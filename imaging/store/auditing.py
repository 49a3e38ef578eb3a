"""What the audit of files asks the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models import ImageStatus
from runtime import bulk

ASKED_AT_ONCE = 500
IS_DONE = ImageStatus.download_done == 1


@dataclass(frozen=True, slots=True)
class Row:
    """What the rows of one picture say of its files; `shard` and `raw_shard` are None for loose files."""

    image_id: int
    format: str | None
    size_bytes: int | None
    digest: str | None
    downloaded_at: str | None
    raw_shard: str | None
    bg_removed: int
    shard: str | None


COLUMNS = (
    ImageStatus.image_id,
    ImageStatus.format,
    ImageStatus.size_bytes,
    ImageStatus.digest,
    ImageStatus.downloaded_at,
    ImageStatus.raw_shard,
    ImageStatus.bg_removed,
    ImageStatus.shard,
)


def done_after(image_id: int, limit: int) -> list[Row]:
    """Return up to `limit` rows of downloaded pictures behind an id, ascending; one picture may have several."""
    query = ImageStatus.select(*COLUMNS).where(ImageStatus.image_id > image_id, IS_DONE)
    return [Row(*row) for row in bulk.tuples(query.order_by(ImageStatus.image_id).limit(limit))]


def done_again(image_ids: Sequence[int]) -> list[Row]:
    """Return the rows of these pictures as they are now, where they still are downloaded."""
    query = ImageStatus.select(*COLUMNS).where(IS_DONE)
    return [
        Row(*row)
        for start in range(0, len(image_ids), ASKED_AT_ONCE)
        for row in bulk.tuples(query.where(ImageStatus.image_id.in_(image_ids[start : start + ASKED_AT_ONCE])))
    ]


def pointing_to(shard: str, image_ids: Sequence[int]) -> set[int]:
    """Return those of the pictures whose rows name this shard."""
    return {row.image_id for row in done_again(image_ids) if shard in (row.raw_shard, row.shard)}


def known(image_ids: Sequence[int]) -> set[int]:
    """Return which of these pictures have a row."""
    query = ImageStatus.select(ImageStatus.image_id)
    return {
        found
        for start in range(0, len(image_ids), ASKED_AT_ONCE)
        for found in bulk.first_column(query.where(ImageStatus.image_id.in_(image_ids[start : start + ASKED_AT_ONCE])))
    }


def known_listings(listing_ids: Sequence[int]) -> set[int]:
    """Return which of these listings have an image row."""
    query = ImageStatus.select(ImageStatus.listing)
    return {
        found
        for start in range(0, len(listing_ids), ASKED_AT_ONCE)
        for found in bulk.first_column(query.where(ImageStatus.listing.in_(listing_ids[start : start + ASKED_AT_ONCE])))
    }
