"""How many pictures wait, how many are there, and why the others are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peewee import SQL, fn

from models import ImageStatus
from models.collected import FAILED, QUEUED
from runtime import bulk


def queue() -> dict[str, int]:
    """Return how many images are queued for download and how many are done."""
    queued = ImageStatus.select().where(SQL(QUEUED))
    done = ImageStatus.select().where(ImageStatus.download_done == 1)
    return {"queued": int(queued.count()), "done": int(done.count())}


def failed_by_reason() -> dict[str, int]:
    """Return how many images failed at their last try, by outcome."""
    query = ImageStatus.select(ImageStatus.outcome, fn.COUNT(SQL("*"))).where(SQL(FAILED))
    return dict(bulk.tuples(query.group_by(ImageStatus.outcome).order_by(ImageStatus.outcome)))


def in_words(told: Mapping[str, Any]) -> str:
    """Return the queue in words."""
    return f"{told['queued']:,} queued, {told['done']:,} done"
