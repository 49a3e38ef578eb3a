"""The discovery index: every listing ever seen, and which of them are due."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

from peewee import SQL

from crawler.api.records import SearchRow
from crawler.changes import DetailedListing, ListingsGone, PageSeen
from crawler.eras import is_wanted
from crawler.store import intervals
from models import IndexedListing, IndexedShop
from models.crawl import IMAGES_MISSING
from runtime import bulk

SEEN_COLUMNS = (
    IndexedListing.shop_id,
    IndexedListing.when_made,
    IndexedListing.wanted,
    IndexedListing.taxonomy_id,
    IndexedListing.price,
    IndexedListing.price_currency,
    IndexedListing.last_seen_at,
    IndexedListing.last_seen_cycle,
    IndexedListing.last_interval_id,
    IndexedListing.detail_due_at,
)
DETAIL_COLUMNS = (
    IndexedListing.shop_id,
    IndexedListing.when_made,
    IndexedListing.wanted,
    IndexedListing.taxonomy_id,
    IndexedListing.detail_due_at,
    IndexedListing.detail_cycle,
    IndexedListing.idle_count,
    IndexedListing.known,
    IndexedListing.image_count,
    IndexedListing.images_missing,
    IndexedListing.images_digest,
)
SEEN_ROW = (IndexedListing.listing_id, *SEEN_COLUMNS, IndexedListing.first_seen_at)
DETAIL_ROW = (
    IndexedListing.listing_id,
    *DETAIL_COLUMNS,
    IndexedListing.first_seen_at,
    IndexedListing.last_seen_at,
    IndexedListing.last_seen_cycle,
)
"""What a search and an answer in detail tell of a listing: the columns that they change, and those of a new row."""


KINDS = (IndexedListing.idle_count == 0, IndexedListing.idle_count > 0)
"""What was active when last read, and the rest: each a range of an index."""


class IndexRow(NamedTuple):
    """What is known about asking for a listing; the fields are columns of the index."""

    listing_id: int
    shop_id: int | None
    when_made: str | None
    wanted: int
    taxonomy_id: int | None
    price: float | None
    price_currency: str | None
    last_seen_at: str
    last_seen_cycle: int
    last_interval_id: int | None
    detail_due_at: str | None
    detail_cycle: int
    idle_count: int
    known: int
    image_count: int


FOUND_COLUMNS = tuple(getattr(IndexedListing, name) for name in IndexRow._fields)
seen_columns_of = attrgetter(*(field.name for field in SEEN_COLUMNS))


@dataclass(frozen=True, slots=True)
class Due:
    """Which rows count as due: those of an earlier cycle's details, due before the horizon.

    Nothing can be due after `latest`, unless the clock was ahead when it was written down. Where the cycle is
    `overdue`, what was found gone is left to the next one, unless a search has shown it.
    """

    cycle: int
    horizon: str
    latest: str = "9999"
    overdue: bool = False


def write_page(change: PageSeen) -> None:
    """Take one page of a search into the index and into the interval's record."""
    rows = {row.listing_id: row for row in change.rows}
    known = find(rows)
    repeats = sum(
        1
        for old in known.values()
        if old.last_interval_id == change.interval_id and old.last_seen_cycle == change.cycle
    )
    if rows:
        there = {listing_id: seen_columns_of(old) for listing_id, old in known.items()}
        told = [_seen_row(row, known.get(row.listing_id), change) for row in rows.values()]
        bulk.upsert_differing(SEEN_ROW, told, SEEN_COLUMNS, there)
        shown = {row.shop_id: row.listing_id for row in rows.values() if row.shop_id is not None}
        seen = [
            {"shop_id": shop_id, "seen_cycle": change.cycle, "seen_listing_id": listing_id}
            for shop_id, listing_id in shown.items()
        ]
        bulk.update(IndexedShop, seen, [IndexedShop.shop_id], f'"seen_cycle" < {change.cycle}')
    repeats += len(change.rows) - len(rows)
    distinct = len(change.rows) - repeats
    intervals.note_page(change.interval_id, change.count, distinct, repeats, change.at, change.first_of_pass)


def find_details(listing_ids: Iterable[int]) -> dict[int, tuple[Any, ...]]:
    """Return DETAIL_COLUMNS of these listings, of which the last is the digest of their images."""
    rows = bulk.find(IndexedListing.listing_id, listing_ids, (IndexedListing.listing_id, *DETAIL_COLUMNS))
    return {row[0]: row[1:] for row in rows}


def write_details(
    cycle: int,
    listings: Sequence[DetailedListing],
    digests: Mapping[int, int | None],
    at: str,
    there: Mapping[int, tuple[Any, ...]],
) -> None:
    """Note that these listings' details were read, and the digests of their images; `there` is what was known."""
    rows = [_detail_row(listing, cycle, at, digests.get(listing.record.listing_id)) for listing in listings]
    bulk.upsert_differing(DETAIL_ROW, rows, DETAIL_COLUMNS, there)


def write_gone(change: ListingsGone) -> None:
    """Note that the API no longer knows these listings."""
    names = ("listing_id", "idle_count", "detail_due_at", "detail_cycle")
    rows = [dict(zip(names, (*listing, change.cycle), strict=True)) for listing in change.listings]
    bulk.update(IndexedListing, rows, [IndexedListing.listing_id])


def due_in_order(due: Due, limit: int, new_only: bool = False) -> list[tuple[int, str]]:
    """Return listings that this cycle's search showed and whose details are due, and when it did, in that order.

    It makes the next batches known ahead: what a later page shows comes behind what was seen before the second in
    which it is stored. `new_only` leaves out those whose details were read before.
    """
    query = IN_ORDER[due.overdue, new_only]
    return [(int(i), str(at)) for i, at in query.rows(cycle=due.cycle, horizon=due.horizon, limit=limit)]


def due_seen(due: Due, limit: int, new_only: bool = False) -> list[int]:
    """Return the same without the moments."""
    return [listing_id for listing_id, _ in due_in_order(due, limit, new_only)]


def due_left(due: Due, limit: int) -> list[int]:
    """Return listings that this cycle's searches showed and that are still due once these are over, new ones first.

    Those may be all that a market has, so they come in the order of the index.
    """
    order = (IndexedListing.detail_due_at, IndexedListing.listing_id)
    found: list[int] = []
    for known in (0, 1):
        kind = (*_is_unread(due), IndexedListing.known == known)
        found += _ids(due, *kind, order=order, limit=limit - len(found))
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a listing among those that no search showed: `idle` tells the two kinds apart."""

    idle: bool
    due_at: str
    listing_id: int


def due_unseen(due: Due, limit: int, after: Place | None = None) -> list[int]:
    """Return known listings that no search showed, those that were active when last read first.

    The two kinds never share a call: among those that were gone before, dead ids are more frequent. With `after`,
    those behind that place come first: what lies before it has survived a call that named the dead, and a call
    for survivors alone has none.
    """
    order = (IndexedListing.detail_due_at, IndexedListing.listing_id)
    for idle in (False,) if due.overdue else (False, True):
        kind = (IndexedListing.idle_count > 0) if idle else (IndexedListing.idle_count == 0)
        if after is not None and after.idle == idle:
            further = (IndexedListing.detail_due_at > after.due_at) | (
                (IndexedListing.detail_due_at == after.due_at) & (IndexedListing.listing_id > after.listing_id)
            )
            found = _ids(due, kind, further, order=order, limit=limit)
            if found:
                return found
        found = _ids(due, kind, order=order, limit=limit)
        if found:
            return found
    return []


def place_of(listing_id: int) -> Place | None:
    """Return the place of a listing that is due, None where it never is."""
    row = IndexedListing.get_or_none(IndexedListing.listing_id == listing_id)
    return (
        None if row is None or row.detail_due_at is None else Place(row.idle_count > 0, row.detail_due_at, listing_id)
    )


def standing_for(shop_ids: Iterable[int], cycle: int) -> list[int]:
    """Return a listing each of these shops that a search showed in this cycle and that was not asked for since.

    A shop of which only unwanted listings are left has one here as well. One that was found gone stands for nobody.
    """
    fields = (IndexedShop.seen_listing_id,)
    listing_ids = [row[0] for row in bulk.find(IndexedShop.shop_id, shop_ids, fields) if row[0] is not None]
    return [
        row.listing_id
        for row in find(listing_ids).values()
        if row.last_seen_cycle == cycle and row.detail_cycle < cycle and not row.idle_count
    ]


def due_count(due: Due) -> int:
    """Return how many listings are due now."""
    return sum(int(IndexedListing.select().where(kind, *is_due(due)).count()) for kind in KINDS)


def are_all_due(due: Due, listing_ids: Collection[int]) -> bool:
    """Return whether no others than these listings are due."""
    limit = len(listing_ids) + 1
    return all(set(_ids(due, kind, order=(), limit=limit)) <= set(listing_ids) for kind in KINDS)


def missing_images(limit: int) -> list[int]:
    """Return listings whose images an answer left out."""
    query = (
        IndexedListing.select(IndexedListing.listing_id).where(SQL(IMAGES_MISSING)).order_by(IndexedListing.listing_id)
    )
    return bulk.first_column(query.limit(limit))


def find(listing_ids: Iterable[int]) -> Mapping[int, IndexRow]:
    """Return the index rows of these listings, those that are not there left out."""
    rows = bulk.find(IndexedListing.listing_id, listing_ids, FOUND_COLUMNS)
    return {row[0]: IndexRow(*row) for row in rows}


def known_prices(taxonomy_ids: Sequence[int], low: float, high: float | None) -> list[float]:
    """Return the known prices in a range, of sellers who price in USD: what the search's filter compares.

    `taxonomy_ids` empty means all. At most 20,000 prices, evenly spread over the range.
    """
    within = [IndexedListing.price_currency == "USD", IndexedListing.price >= low]
    if high is not None:
        within.append(IndexedListing.price <= high)
    if taxonomy_ids:
        within.append(IndexedListing.taxonomy_id.in_(taxonomy_ids))
    query = IndexedListing.select(IndexedListing.price).where(*within).order_by(IndexedListing.price)
    prices = [row[0] for row in bulk.tuples(query)]
    return prices[:: max(1, len(prices) // 20_000)]


def _seen_row(row: SearchRow, old: IndexRow | None, change: PageSeen) -> tuple[Any, ...]:
    """Return a row of SEEN_ROW."""
    # A key may be missing from one answer: what an earlier one told still holds.
    when_made = row.when_made if row.when_made is not None else (old.when_made if old else None)
    wanted = is_wanted(when_made)
    return (
        row.listing_id,
        row.shop_id if row.shop_id is not None else (old.shop_id if old else None),
        when_made,
        int(wanted),
        row.taxonomy_id,
        row.price.major,
        row.price.currency,
        # Seen again in the same cycle it keeps its place in the order of batches, of which some may be under way.
        old.last_seen_at if old is not None and old.last_seen_cycle == change.cycle else change.at,
        change.cycle,
        change.interval_id,
        _due_once_seen(wanted, when_made, old, change.at),
        change.at,
    )


def _due_once_seen(wanted: bool, when_made: str | None, old: IndexRow | None, at: str) -> str | None:
    """Return when a listing that a search just showed is due; None for never."""
    if not wanted and (when_made is not None or (old is not None and old.detail_cycle)):
        return None
    if old is None or old.detail_due_at is None:
        return at  # new, or not wanted until now, or of an unknown age that only the details can tell
    return min(old.detail_due_at, at) if old.idle_count else old.detail_due_at


def _detail_row(listing: DetailedListing, cycle: int, at: str, digest: int | None) -> tuple[Any, ...]:
    """Return a row of DETAIL_ROW; one that no search showed was last seen in no cycle."""
    record = listing.record
    return (
        record.listing_id,
        listing.shop_id,
        record.when_made,
        int(listing.wanted),
        record.taxonomy_id,
        listing.detail_due_at,
        cycle,
        listing.idle_count,
        int(listing.wanted),
        listing.image_count,
        int(listing.images_missing),
        digest,
        at,
        at,
        0,
    )


def is_due(due: Due) -> tuple[Any, ...]:
    """Return the conditions that a listing is due."""
    conditions = (IndexedListing.detail_due_at < due.horizon, IndexedListing.detail_cycle < due.cycle)
    if not due.overdue:
        return conditions
    # Not as an OR, for which SQLite would leave the index that the rest of a query needs.
    return *conditions, ~((IndexedListing.idle_count > 0) & (IndexedListing.last_seen_cycle != due.cycle))


def _in_order(overdue: bool, new_only: bool) -> Any:
    due = Due(bulk.slot("cycle"), bulk.slot("horizon"), overdue=overdue)
    query = IndexedListing.select(IndexedListing.listing_id, IndexedListing.last_seen_at)
    # Named one by one, since the index has it between the other two.
    kinds = IndexedListing.known.in_((0,) if new_only else (0, 1))
    query = query.where(*_is_unread(due), kinds, *is_due(due))
    return query.order_by(IndexedListing.last_seen_at, IndexedListing.listing_id).limit(bulk.slot("limit"))


IN_ORDER = {
    (overdue, new_only): bulk.Prepared(IndexedListing, partial(_in_order, overdue, new_only))
    for overdue in (False, True)
    for new_only in (False, True)
}


def _is_unread(due: Due) -> tuple[Any, ...]:
    """Return the conditions that a search showed it in this cycle and no batch has read it since: those of an index."""
    return IndexedListing.last_seen_cycle == due.cycle, IndexedListing.detail_cycle < IndexedListing.last_seen_cycle


def _ids(due: Due, *conditions: Any, order: Sequence[Any], limit: int) -> list[int]:
    query = (
        IndexedListing.select(IndexedListing.listing_id).where(*conditions, *is_due(due)).order_by(*order).limit(limit)
    )
    return bulk.first_column(query)
