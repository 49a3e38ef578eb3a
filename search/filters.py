"""Which listings may be found: price, era, shop, country, state, taxonomy, when they were seen last."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

from peewee import fn

from models import IndexedListing, ListingDynamic, Shop
from runtime import bulk


@dataclass(frozen=True, slots=True)
class Filters:
    """What a listing must be like; None does not matter. Prices are in the seller's currency, both ends count."""

    min_price: float | None = None
    max_price: float | None = None
    era: str | None = None
    shop_id: int | None = None
    country: str | None = None
    state: str | None = None
    taxonomy_id: int | None = None
    seen_since: str | None = None

    def __bool__(self) -> bool:
        return any(value is not None for value in astuple(self))


def listings_that_fit(filters: Filters) -> list[int]:
    """Return the ids of all listings that fit, by what was last seen of each."""
    query = IndexedListing.select(IndexedListing.listing_id).where(*_conditions(filters))
    if filters.country is not None:
        wanted = filters.country.upper()
        query = query.join(Shop, on=(Shop.shop_id == IndexedListing.shop_id)).where(
            (Shop.shipping_from_country_iso == wanted) | (Shop.shop_location_country_iso == wanted)
        )
    return bulk.first_column(query)


def _conditions(filters: Filters) -> list[Any]:
    told: list[tuple[Any, Any]] = [
        (filters.min_price, lambda value: IndexedListing.price >= value),
        (filters.max_price, lambda value: IndexedListing.price <= value),
        (filters.era, lambda value: IndexedListing.when_made == value),
        (filters.shop_id, lambda value: IndexedListing.shop_id == value),
        (filters.taxonomy_id, lambda value: IndexedListing.taxonomy_id == value),
        (filters.seen_since, lambda value: IndexedListing.last_seen_at >= value),
        (filters.state, lambda value: _latest_state() == value),
    ]
    # Listings of which only the search is known have no vectors.
    return [IndexedListing.known == 1, *(condition(value) for value, condition in told if value is not None)]


def _latest_state() -> Any:
    of_listing = ListingDynamic.listing == IndexedListing.listing_id
    other: Any = ListingDynamic.alias()
    latest = other.select(fn.MAX(other.snapshot_timestamp)).where(other.listing == IndexedListing.listing_id)
    return ListingDynamic.select(ListingDynamic.state).where(of_listing, ListingDynamic.snapshot_timestamp == latest)
