"""What a step wants written: frozen values that `store` turns into rows, in the order given.

`at` is always the moment of the answer, ISO 8601.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crawler.api.records import ImageRecord, ListingRecord, ReviewRecord, SearchRow, ShopRecord
from crawler.freshness import ShopFigures
from crawler.plan import Span


@dataclass(frozen=True, slots=True)
class PlanMade:
    """A new cycle's interval plan, and the price breaks (by category) that it was made from."""

    cycle: int
    spans: tuple[Span, ...]
    breaks: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaxonomyRead:
    """The tree below the configured categories (`roots`): `{id, name, parent_id, children_ids}` each.

    Of all others the ids alone are kept; no nodes where the tree could not be had.
    """

    nodes: tuple[Mapping[str, Any], ...]
    other_ids: tuple[int, ...]
    roots: tuple[int, ...]
    at: str


@dataclass(frozen=True, slots=True)
class PageSeen:
    """One page of an interval's search."""

    interval_id: int
    cycle: int
    count: int
    rows: tuple[SearchRow, ...]
    at: str
    first_of_pass: bool


@dataclass(frozen=True, slots=True)
class CapLearned:
    """The largest offset that this server's searches take, where it is not the usual one."""

    offset: int


@dataclass(frozen=True, slots=True)
class IntervalSplit:
    """An interval that is too large to be walked, and what takes its place."""

    interval_id: int
    cycle: int
    children: tuple[Span, ...]
    note: str
    at: str


@dataclass(frozen=True, slots=True)
class IntervalClosed:
    """The end of an interval's walk, with its certificate."""

    interval_id: int
    verdict: str
    tolerance: int
    note: str | None
    at: str


@dataclass(frozen=True, slots=True)
class DetailedListing:
    """A listing that an answer brought, with what follows for the index."""

    record: ListingRecord
    shop_id: int
    wanted: bool
    detail_due_at: str | None
    idle_count: int
    image_count: int
    images_missing: bool


@dataclass(frozen=True, slots=True)
class DetailedShop:
    """A shop that an answer brought and that is not fresh, with what follows for the index.

    `told_at` is when the server told it, by its own clock (Unix seconds), None where it does not say.
    """

    record: ShopRecord
    detail_due_at: str
    review_due: bool
    told_at: int | None = None


@dataclass(frozen=True, slots=True)
class DetailsSeen:
    """The answer to a batch: listings, and the shops among them that were not fresh."""

    cycle: int
    listings: tuple[DetailedListing, ...]
    shops: tuple[DetailedShop, ...]
    at: str


@dataclass(frozen=True, slots=True)
class ListingsGone:
    """Listings that the API no longer knows, by id with their new idle count and due date (None: never)."""

    cycle: int
    listings: tuple[tuple[int, int, str | None], ...]
    at: str


@dataclass(frozen=True, slots=True)
class ShopGone:
    """A shop that the API no longer knows."""

    shop_id: int
    cycle: int
    detail_due_at: str


@dataclass(frozen=True, slots=True)
class ImagesSeen:
    """All images of one listing, or the knowledge that it has none."""

    listing_id: int
    images: tuple[ImageRecord, ...]


@dataclass(frozen=True, slots=True)
class ReviewsSeen:
    """One page of a shop's reviews."""

    reviews: tuple[ReviewRecord, ...]
    at: str


@dataclass(frozen=True, slots=True)
class VisitDone:
    """The end of a shop's review visit; the watermark is the newest review's time."""

    shop_id: int
    cycle: int
    watermark: int | None
    figures: ShopFigures
    at: str


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """One thing that cannot be read, put aside until the next cycle."""

    kind: str
    item_id: int
    error: str
    cycle: int
    at: str


@dataclass(frozen=True, slots=True)
class PicturesLost:
    """Pictures whose files an audit did not find as their rows say: raw ones by outcome, and background-free ones."""

    raw: Mapping[str, tuple[int, ...]]
    background_free: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RepairsQueued:
    """What an audit found missing: ids to be asked for again."""

    listing_ids: tuple[int, ...]
    shop_ids: tuple[int, ...]
    image_listing_ids: tuple[int, ...]
    cycle: int
    at: str


@dataclass(frozen=True, slots=True)
class AuditDone:
    """An audit's report, as JSON."""

    report: Mapping[str, Any]


Change = (
    PlanMade
    | TaxonomyRead
    | PageSeen
    | CapLearned
    | IntervalSplit
    | IntervalClosed
    | DetailsSeen
    | ListingsGone
    | ShopGone
    | ImagesSeen
    | ReviewsSeen
    | VisitDone
    | ItemFailed
    | RepairsQueued
    | PicturesLost
    | AuditDone
)
