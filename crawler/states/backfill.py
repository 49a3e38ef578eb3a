"""BACKFILL: fetch what is still due: the rest of the pool, listings no search showed, images, shops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from crawler import changes
from crawler.api.client import PAGE_ROWS, Gone, listings_job, reviews_job, shop_job
from crawler.api.lookahead import Job
from crawler.batch import BatchRead, detailed_shop, give_up, read_batch
from crawler.context import Context
from crawler.freshness import GONE_SHOP_IDLE
from crawler.outcome import Outcome, Position
from crawler.store import index, shops
from crawler.visit import first_visits, since_last_visit
from runtime.errors import ItemTrouble, ServerTrouble


def step(position: Position, context: Context) -> Outcome:
    """Fetch one batch, one listing's images or one shop, whatever is next."""
    size = _batch_size(position.cursor)
    kind, ids = _next(context, position.cursor)
    if not ids:
        return Outcome("filled", {"repairs": position.cursor.get("repairs", 0)})
    if kind == "shops":
        return _outcome(position, read_batch(context, ids[:size], for_shops=True))
    if kind == "listing":
        batch = read_batch(context, ids[:size])
        # What was asked for together with dead listings is alive, or it would have been named: it waits for its like.
        named_dead = any(isinstance(change, changes.ListingsGone) for change in batch.changes)
        return _outcome(position, batch, index.place_of(ids[:size][-1]) if named_dead else None)
    return _outcome(position, SINGLES[kind](context, ids[0]))


def without(position: Position, context: Context, trouble: ServerTrouble, _attempts: int) -> Outcome | None:
    """Go on without what the server cannot answer, though it is alive."""
    size = _batch_size(position.cursor)
    kind, ids = _next(context, position.cursor)
    if not ids:
        return None
    if kind in ("listing", "shops"):
        return _outcome(position, give_up(context, ids[:size], str(trouble)))
    return _outcome(position, _failed(context, kind, ids[0], str(trouble)))


def _next(context: Context, cursor: Mapping[str, Any]) -> tuple[str, list[int]]:
    """Return what is next and its ids, calls that come after it named ahead; for `shops` the ids are of listings."""
    due = context.due()
    ahead = _named(context)
    # The rest of a pool comes in the order in which its first batches are under way already.
    seen = index.due_left(due, ahead) if cursor.get("known_left") else index.due_seen(due, ahead)
    ids = seen or index.due_unseen(due, ahead, _place(cursor))
    if ids:
        if _batch_size(cursor) == PAGE_ROWS:
            context.client.offer(partial(_ahead, ids, context))
        return "listing", ids
    ids = index.missing_images(1)
    if ids:
        return "images", ids
    ids = shops.due_details(due, PAGE_ROWS)
    # A batch of a listing each brings a hundred shops, the call for a shop one.
    standing = index.standing_for(ids, due.cycle)
    if len(standing) > 1:
        return "shops", standing
    if ids:
        context.client.offer(lambda: map(shop_job, ids[: 1 + context.client.reach]))
    return "shop", ids


def _named(context: Context) -> int:
    """Return how many listings are named at most: those of this step's batch and of the ones called ahead."""
    return PAGE_ROWS * (1 + context.client.reach)


def _ahead(listing_ids: list[int], context: Context) -> Iterator[Job]:
    """Name the batches to come and, where these are the last calls of this state, the first visits of REVIEWS."""
    yield from (listings_job(listing_ids[at : at + PAGE_ROWS]) for at in range(0, len(listing_ids), PAGE_ROWS))
    if len(listing_ids) >= _named(context):
        return
    due = context.due()
    if index.are_all_due(due, listing_ids) and not index.missing_images(1) and not shops.due_details(due, 1):
        shop_ids = first_visits(listing_ids, context)
        since = since_last_visit(shop_ids)
        yield from (reviews_job(shop_id, 0, since[shop_id], None) for shop_id in shop_ids)


def _fetch_images(context: Context, listing_id: int) -> BatchRead:
    try:
        images = context.client.fetch_images(listing_id)
    except Gone:
        images = ()
    except ItemTrouble as trouble:
        return _failed(context, "images", listing_id, str(trouble))
    return BatchRead((changes.ImagesSeen(listing_id, images),), PAGE_ROWS, {"updated": 1})


def _fetch_shop(context: Context, shop_id: int) -> BatchRead:
    cycle, at = context.cycle.number, context.now()
    try:
        shop = context.client.fetch_shop(shop_id)
    except Gone:
        next_due = context.freshness.next_due(context.clock.now(), GONE_SHOP_IDLE)
        return BatchRead((changes.ShopGone(shop_id, cycle, next_due),), PAGE_ROWS, {"removed": 1})
    except ItemTrouble as trouble:
        return _failed(context, "shop", shop_id, str(trouble))
    seen = changes.DetailsSeen(cycle, (), (detailed_shop(context, shop, shops.find_one(shop_id)),), at)
    return BatchRead((seen,), PAGE_ROWS, {"updated": 1})


SINGLES: Mapping[str, Callable[[Context, int], BatchRead]] = {"images": _fetch_images, "shop": _fetch_shop}


def _failed(context: Context, kind: str, item_id: int, error: str) -> BatchRead:
    failed = changes.ItemFailed(kind, item_id, error, context.cycle.number, context.now())
    return BatchRead((failed,), PAGE_ROWS, {"failed": 1})


def _outcome(position: Position, batch: BatchRead, place: index.Place | None = None) -> Outcome:
    cursor = {**position.cursor, "batch_size": batch.next_size, "repairs": position.cursor.get("repairs", 0)}
    if place is not None:
        cursor["after"] = [int(place.idle), place.due_at, place.listing_id]
    return Outcome("advanced", cursor, batch.changes, "batch", batch.counts)


def _place(cursor: Mapping[str, Any]) -> index.Place | None:
    """Return behind which place listings were not asked for yet."""
    after = cursor.get("after")
    return index.Place(bool(after[0]), after[1], after[2]) if after else None


def _batch_size(cursor: Mapping[str, Any]) -> int:
    size = cursor.get("batch_size", PAGE_ROWS)
    return size if isinstance(size, int) and 1 <= size <= PAGE_ROWS else PAGE_ROWS
