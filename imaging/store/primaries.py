"""Which picture each listing shows, and which it should: rows of `image_status`, by listing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peewee import Database, fn

from imaging.store.archiving import look
from models import ImageStatus
from runtime import bulk
from runtime.database import transaction
from runtime.stop import Stop


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture that its listing shows (`in_primary`) or should show (`is_primary`), and where its file lies."""

    listing_id: int
    image_id: int
    is_primary: int
    in_primary: int
    to_download: int
    download_done: int
    format: str
    digest: str | None
    raw_shard: str | None


def count(database: Database, stop: Stop) -> tuple[int, int]:
    """Return how many primary pictures there are and how many pictures are shown."""
    query = ImageStatus.select(fn.SUM(ImageStatus.is_primary), fn.SUM(ImageStatus.in_primary))
    primary, shown = look(database, stop, query)[0]
    return int(primary or 0), int(shown or 0)


def page(database: Database, stop: Stop, after_id: int, limit: int) -> dict[int, list[Candidate]]:
    """Return the candidates of up to `limit` listings behind `after_id`, by listing_id."""
    concerned = (ImageStatus.is_primary == 1) | (ImageStatus.in_primary == 1)
    ids = (
        ImageStatus.select(ImageStatus.listing)
        .where(ImageStatus.listing > after_id, concerned)
        .distinct()
        .order_by(ImageStatus.listing)
        .limit(limit)
    )
    found: dict[int, list[Candidate]] = {row[0]: [] for row in look(database, stop, ids)}
    columns = (
        ImageStatus.listing,
        ImageStatus.image_id,
        ImageStatus.is_primary,
        ImageStatus.in_primary,
        ImageStatus.to_download,
        ImageStatus.download_done,
        ImageStatus.format,
        ImageStatus.digest,
        ImageStatus.raw_shard,
    )
    rows = ImageStatus.select(*columns).where(ImageStatus.listing.in_(list(found)), concerned)
    for row in bulk.tuples(rows.order_by(ImageStatus.listing, ImageStatus.image_id)):
        found[row[0]].append(Candidate(*row))
    return found


def mark(database: Database, stop: Stop, shown: Sequence[tuple[int, int]]) -> None:
    """Say that these listings show these pictures, by listing_id and image_id, and no others."""
    if not shown:
        return
    no_more = [{"listing": listing_id, "in_primary": 0} for listing_id, _ in shown]
    now = [{"listing": listing_id, "image_id": image_id, "in_primary": 1} for listing_id, image_id in shown]
    with transaction(database, stop):
        bulk.update(ImageStatus, no_more, [ImageStatus.listing], "in_primary = 1")
        bulk.update(ImageStatus, now, [ImageStatus.listing, ImageStatus.image_id])
