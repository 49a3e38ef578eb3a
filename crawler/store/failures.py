"""What could not be read: noted with its error, left out for the rest of the cycle, forgotten once it was read.

A person may want it tried again: taken up, it is due once more in the same cycle, and stays noted until it was read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from peewee import EXCLUDED

from crawler.changes import ItemFailed
from models import FailedItem, IndexedListing, IndexedShop
from runtime import bulk

ANY = bulk.Prepared(
    FailedItem, lambda: FailedItem.select(FailedItem.id).where(FailedItem.kind == bulk.slot("kind")).limit(1)
)


def write(change: ItemFailed) -> None:
    """Note the failure and put the thing aside until the next cycle."""
    row = {
        "kind": change.kind,
        "item_id": str(change.item_id),
        "error": change.error,
        "first_failed_at": change.at,
        "last_failed_at": change.at,
    }
    FailedItem.insert(row).on_conflict(
        conflict_target=[FailedItem.kind, FailedItem.item_id],
        update={
            FailedItem.error: EXCLUDED.error,
            FailedItem.last_failed_at: EXCLUDED.last_failed_at,
            FailedItem.attempts: FailedItem.attempts + 1,
        },
    ).execute()
    if change.kind in PUT_ASIDE:
        PUT_ASIDE[change.kind](change.item_id, change.cycle)


def clear(kind: str, item_ids: Sequence[int]) -> None:
    """Forget earlier failures of things that were read now."""
    if not ANY.rows(kind=kind):  # nearly always
        return
    there = bulk.find(FailedItem.item_id, item_ids, [FailedItem.item_id], f"kind = '{kind}'")
    bulk.delete(FailedItem, [{"kind": kind, "item_id": row[0]} for row in there])


def latest(limit: int) -> list[dict[str, Any]]:
    """Return the failed items, the latest first, as plain values."""
    query = FailedItem.select().order_by(FailedItem.last_failed_at.desc(), FailedItem.id)
    return bulk.dicts(query.limit(limit))


def count() -> int:
    """Return how many items are failed now."""
    return int(FailedItem.select().count())


def failed_ids(kind: str) -> set[int]:
    """Return the ids of the failed items of one kind."""
    query = FailedItem.select(FailedItem.item_id).where(FailedItem.kind == kind)
    return set(bulk.first_column(query))


def items() -> list[tuple[str, int]]:
    """Return all failed items, each as kind and id, in that order."""
    return sorted((str(kind), int(item_id)) for kind, item_id in bulk.raw(FailedItem.select(*NAME)))


def ids_query(kind: str) -> Any:
    """Return the query for the same ids, as numbers: a condition can name it, however many they are."""
    return FailedItem.select(FailedItem.item_id.cast("BIGINT")).where(FailedItem.kind == kind)


def indexed_ids(kind: str) -> set[int]:
    """Return those of the failed items of one kind that the index has; the others only `sync` asks for."""
    key: Any = INDEXED[kind]
    return set(bulk.first_column(key.model.select(key).where(key.in_(ids_query(kind)))))


def _aside_listing(listing_id: int, cycle: int) -> None:
    IndexedListing.update(detail_cycle=cycle).where(IndexedListing.listing_id == listing_id).execute()


def _aside_shop(shop_id: int, cycle: int) -> None:
    IndexedShop.update(detail_cycle=cycle).where(IndexedShop.shop_id == shop_id).execute()


def _aside_images(listing_id: int, cycle: int) -> None:
    IndexedListing.update(images_missing=2).where(IndexedListing.listing_id == listing_id).execute()


def _aside_reviews(shop_id: int, cycle: int) -> None:
    IndexedShop.update(review_cycle=cycle).where(IndexedShop.shop_id == shop_id).execute()


PUT_ASIDE: dict[str, Callable[[int, int], None]] = {
    "listing": _aside_listing,
    "shop": _aside_shop,
    "images": _aside_images,
    "reviews": _aside_reviews,
}


def _again_listings(listing_ids: Sequence[int], cycle: int, since: str) -> None:
    _set(IndexedListing.listing_id, listing_ids, detail_due_at=since, detail_cycle=0)


def _again_shops(shop_ids: Sequence[int], cycle: int, since: str) -> None:
    _set(IndexedShop.shop_id, shop_ids, detail_due_at=since, detail_cycle=0, seen_cycle=cycle)


def _again_images(listing_ids: Sequence[int], cycle: int, since: str) -> None:
    _set(IndexedListing.listing_id, listing_ids, images_missing=1)


def _again_reviews(shop_ids: Sequence[int], cycle: int, since: str) -> None:
    _set(IndexedShop.shop_id, shop_ids, review_due=1, review_cycle=0)


def _set(key: Any, ids: Sequence[int], **values: Any) -> None:
    bulk.update(key.model, [{key.name: item_id, **values} for item_id in ids], [key])


TAKEN_UP: dict[str, Callable[[Sequence[int], int, str], None]] = {
    "listing": _again_listings,
    "shop": _again_shops,
    "images": _again_images,
    "reviews": _again_reviews,
}
"""Undoes what was put aside, by kind: the ids, the cycle under way, and since when they are to count as due in it."""
INDEXED = {
    "listing": IndexedListing.listing_id,
    "shop": IndexedShop.shop_id,
    "images": IndexedListing.listing_id,
    "reviews": IndexedShop.shop_id,
}
"""What the ids of each kind are in the index."""
KINDS = (*TAKEN_UP, "interval")
"""All kinds of failed items. An interval that failed is closed, with its certificate: nothing opens it again."""
NAME = (FailedItem.kind, FailedItem.item_id)
