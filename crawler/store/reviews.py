"""Reviews, append-only."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from crawler.api.records import ReviewRecord
from crawler.changes import ReviewsSeen
from models import Review
from runtime import bulk

TOLD = ("transaction_id", "shop_id", "listing_id", "buyer_user_id", "rating", "review", "language", "create_timestamp")
told_of = attrgetter(*TOLD)
ROW = (*(Review.shop if name == "shop_id" else getattr(Review, name) for name in TOLD), Review.snapshot_timestamp)


def ratings(shop_id: int, after: int, until: int) -> list[int | None]:
    """Return the ratings of the shop's reviews that were written after one moment, until the other."""
    query = Review.select(Review.rating).where(*_written(shop_id, after, until))
    return [row[0] for row in bulk.raw(query)]


def count(shop_id: int, after: int | None = None, until: int | None = None) -> int:
    """Return how many reviews of the shop there are, or were written after one moment, until the other."""
    written = () if after is None or until is None else _written(shop_id, after, until)
    return int(Review.select().where(Review.shop == shop_id, *written).count())


def not_stored(read: Iterable[ReviewRecord]) -> list[ReviewRecord]:
    """Return those of the reviews that are not in the database yet, each once."""
    once = {review.transaction_id: review for review in read}
    stored = {row[0] for row in bulk.find(Review.transaction_id, once, [Review.transaction_id])}
    return [review for transaction_id, review in once.items() if transaction_id not in stored]


def write(change: ReviewsSeen) -> None:
    """Insert the reviews that are new; one that is there keeps its first text."""
    bulk.insert_new_tuples(ROW, [(*told_of(review), change.at) for review in change.reviews])


def _written(shop_id: int, after: int, until: int) -> tuple[Any, ...]:
    return Review.shop == shop_id, Review.create_timestamp > after, Review.create_timestamp <= until
