"""One call for up to 100 listings, and what follows from each way it can end.

One call is one step: a 404 that names dead ids is written down, and the rest is still due for the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crawler import changes
from crawler.api.client import PAGE_ROWS, Gone, MissingListings
from crawler.api.records import ListingBatch, ListingRecord, ShopRecord, completed
from crawler.context import Context
from crawler.eras import is_wanted
from crawler.freshness import ShopFigures, is_young, review_visit_due
from crawler.store import index, shops
from crawler.store.index import IndexRow
from crawler.store.shops import ShopRow
from runtime.clock import DAY_SECONDS, parse_iso
from runtime.errors import ItemTrouble

ACTIVE = ("active", None)
BATCH_ENDPOINTS = ("getListingsByListingIds", "getListing")


@dataclass(frozen=True, slots=True)
class BatchRead:
    """What to write down after a batch, and how many ids the next one may have."""

    changes: tuple[changes.Change, ...]
    next_size: int
    counts: Mapping[str, int]


def read_batch(
    context: Context, listing_ids: Sequence[int], wanted_anyway: bool = False, for_shops: bool = False
) -> BatchRead:
    """Make the call for these listings (at most 100) and say what to write down.

    What was not wanted by its age is kept where it is `wanted_anyway`; shops of what is not wanted are kept where the
    call is `for_shops`.
    """
    try:
        batch = context.client.fetch_listings(listing_ids)
    except MissingListings as missing:
        if missing.ids or len(listing_ids) == 1:
            return _gone(context, missing.ids or tuple(listing_ids))
        # A 404 that names nobody: halves find the one.
        return halved(listing_ids)
    except ItemTrouble as trouble:
        return give_up(context, listing_ids, str(trouble))
    # An answer may hold what nobody asked for; with nothing of what was, the same batch would be asked for ever.
    asked = set(listing_ids)
    batch = ListingBatch(
        tuple(record for record in batch.listings if record.listing_id in asked),
        {listing_id: why for listing_id, why in batch.unreadable.items() if listing_id in asked},
        batch.server_time,
    )
    if not batch.listings and not batch.unreadable:
        return _left_out(context, listing_ids, wanted_anyway)
    return _details(context, batch, wanted_anyway, for_shops)


def _left_out(context: Context, listing_ids: Sequence[int], wanted_anyway: bool) -> BatchRead:
    """An answer without any of the listings: smaller batches, at last one listing by its own address."""
    if len(listing_ids) > 1:
        return halved(listing_ids)
    try:
        record = context.client.fetch_listing(listing_ids[0])
    except Gone:
        return _gone(context, tuple(listing_ids))
    except ItemTrouble as trouble:
        return give_up(context, listing_ids, str(trouble))
    return _details(context, ListingBatch((record,), {}), wanted_anyway)


def halved(listing_ids: Sequence[int]) -> BatchRead:
    """Return that nothing was read and the next batch is to be half as large, to find the bad one."""
    return BatchRead((), max(1, len(listing_ids) // 2), {})


def give_up(context: Context, listing_ids: Sequence[int], error: str) -> BatchRead:
    """Return what to write where these ids cannot be answered for: a smaller batch, at last a failed item."""
    if len(listing_ids) > 1:
        return halved(listing_ids)
    failed = changes.ItemFailed("listing", listing_ids[0], error, context.cycle.number, context.now())
    return BatchRead((failed,), PAGE_ROWS, {"failed": 1})


def _gone(context: Context, listing_ids: Sequence[int]) -> BatchRead:
    now = context.clock.now()
    rows = index.find(listing_ids)
    listings: list[tuple[int, int, str | None]] = []
    for listing_id in listing_ids:
        row = rows.get(listing_id)
        idle_count = (row.idle_count if row else 0) + 1
        # One that stood for its shop and is not wanted itself is never due.
        is_due = row is None or row.detail_due_at is not None
        listings.append((listing_id, idle_count, context.freshness.next_due(now, idle_count) if is_due else None))
    gone = changes.ListingsGone(context.cycle.number, tuple(listings), context.now())
    return BatchRead((gone,), PAGE_ROWS, {"removed": len(listings)})


def _details(context: Context, batch: ListingBatch, wanted_anyway: bool, for_shops: bool = False) -> BatchRead:
    once = {record.listing_id: record for record in batch.listings}
    rows = index.find(once)
    listings, failures = [], dict(batch.unreadable)
    for record in once.values():
        row = rows.get(record.listing_id)
        record = _completed(record, row)
        if record.shop_id is None:
            failures[record.listing_id] = "the answer does not say whose listing it is"
            continue
        listings.append(_detailed(context, record, record.shop_id, row, wanted_anyway))
    at, cycle = context.now(), context.cycle.number
    failed = [changes.ItemFailed("listing", listing_id, why, cycle, at) for listing_id, why in failures.items()]
    came = [listing.record.shop for listing in listings if listing.wanted or for_shops]
    seen = changes.DetailsSeen(cycle, tuple(listings), _unfresh_shops(context, came, batch.server_time), at)
    new = sum(1 for listing in listings if listing.wanted and not _is_known(rows.get(listing.record.listing_id)))
    counts = {"new": new, "updated": len(listings) - new, "failed": len(failed)}
    return BatchRead((seen, *failed), PAGE_ROWS, counts)


def _completed(record: ListingRecord, row: IndexRow | None) -> ListingRecord:
    """Return the record with what only the search told: keys may be missing from any answer."""
    if row is None or None not in (record.when_made, record.shop_id, record.taxonomy_id):
        return record
    return completed(record, row.when_made, row.shop_id, row.taxonomy_id)


def _detailed(
    context: Context, record: ListingRecord, shop_id: int, row: IndexRow | None, wanted_anyway: bool
) -> changes.DetailedListing:
    wanted = wanted_anyway or is_wanted(record.when_made)
    # A missing state is no sign of being gone, so it counts as active.
    idle_count = 0 if record.state in ACTIVE else (row.idle_count if row else 0) + 1
    had_images = row.image_count if row else 0
    return changes.DetailedListing(
        record=record,
        shop_id=shop_id,
        wanted=wanted,
        detail_due_at=context.freshness.next_due(context.clock.now(), idle_count) if wanted else None,
        idle_count=idle_count,
        image_count=had_images if record.images is None else len(record.images),
        images_missing=wanted and record.images is None and had_images == 0,
    )


def _unfresh_shops(
    context: Context, records: Iterable[ShopRecord | None], server_time: float | None
) -> tuple[changes.DetailedShop, ...]:
    """Return each shop that came along once, those left out that are fresh already."""
    came = {record.shop_id: record for record in records if record is not None}
    known, due = shops.find(came), context.due()
    unfresh = []
    for shop_id, record in came.items():
        row = known.get(shop_id)
        is_fresh = (
            row is not None
            and row.known
            and row.detail_due_at is not None
            and (row.detail_cycle >= due.cycle or row.detail_due_at >= due.horizon)
            and row.detail_due_at <= due.latest
        )
        if not is_fresh:
            unfresh.append(detailed_shop(context, record, row, server_time))
    return tuple(unfresh)


def detailed_shop(
    context: Context, record: ShopRecord, row: ShopRow | None, server_time: float | None = None
) -> changes.DetailedShop:
    """Return a shop that an answer brought, with when it is due again and whether its reviews are worth a call.

    `row` is what was known about asking for it.
    """
    met_before = row is not None and bool(row.known)
    figures = ShopFigures(record.review_count, record.review_average, record.transaction_sold_count)
    now = context.clock.now()
    young = is_young(record.create_date, now)
    review_due = review_visit_due(figures, shops.visited_figures(row), met_before, young, _days_since_visit(row, now))
    told_at = None if server_time is None else int(server_time)
    return changes.DetailedShop(record, context.freshness.next_due(now, 0), review_due, told_at)


def _days_since_visit(row: ShopRow | None, now: float) -> float:
    return 0.0 if row is None or not row.visited_at else (now - parse_iso(row.visited_at)) / DAY_SECONDS


def _is_known(row: IndexRow | None) -> bool:
    return row is not None and bool(row.known)
