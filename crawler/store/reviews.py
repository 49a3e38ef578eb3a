"""Reviews, append-only."""

from __future__ import annotations

from crawler.changes import ReviewsSeen
from models import Review
from runtime import bulk

NAMES = ("transaction_id", "listing_id", "buyer_user_id", "rating", "review", "language", "create_timestamp")


def write(change: ReviewsSeen) -> None:
    """Insert the reviews that are new; one that is there keeps its first text."""
    rows = [
        {
            **{name: getattr(review, name) for name in NAMES},
            "shop": review.shop_id,
            "snapshot_timestamp": change.at,
        }
        for review in change.reviews
    ]
    bulk.insert_new(Review, rows)
