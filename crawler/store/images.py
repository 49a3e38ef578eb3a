"""How many pictures wait, how many are there, and why the others are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peewee import SQL, fn

from crawler.changes import PicturesLost
from models import ImageStatus, VectorRow
from models.collected import FAILED
from runtime import bulk


def failed_by_reason() -> dict[str, int]:
    """Return how many images failed at their last try, by outcome."""
    query = ImageStatus.select(ImageStatus.outcome, fn.COUNT(SQL("*"))).where(SQL(FAILED))
    return dict(bulk.tuples(query.group_by(ImageStatus.outcome).order_by(ImageStatus.outcome)))


def embedded() -> int:
    """Return how many images have a row in the vector files."""
    last = next(bulk.tuples(VectorRow.select(fn.MAX(VectorRow.row))))[0]
    return 0 if last is None else int(last) + 1


def write_lost(change: PicturesLost) -> None:
    """Queue lost pictures again, and have lost background-free ones made again."""
    for outcome, image_ids in change.raw.items():
        again = {"download_done": 0, "to_download": 1, "outcome": outcome, "retry_at": 0, "raw_shard": None}
        rows = [{"image_id": image_id, **again} for image_id in image_ids]
        bulk.update(ImageStatus, rows, [ImageStatus.image_id], "download_done = 1")
    rows = [
        {"image_id": image_id, "bg_removed": 0, "bg_outcome": None, "shard": None}
        for image_id in change.background_free
    ]
    bulk.update(ImageStatus, rows, [ImageStatus.image_id])


def in_words(told: Mapping[str, Any]) -> str:
    """Return the queue in words."""
    return f"{told['queued']:,} queued, {told['done']:,} done"
