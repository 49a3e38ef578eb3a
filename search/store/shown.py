"""What is shown of a listing that was found."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from models import IndexedListing, Listing
from runtime import bulk
from search.store.rows import primary_images


@dataclass(frozen=True, slots=True)
class Shown:
    """A listing as a result shows it: `price` as last seen, in `currency`; `image_id` of its first picture."""

    title: str
    url: str
    price: float | None
    currency: str | None
    image_id: int | None


def load_shown(listing_ids: Collection[int]) -> dict[int, Shown]:
    """Return what to show of these listings."""
    primary = primary_images(listing_ids)
    query = (
        Listing.select(
            Listing.listing_id, Listing.title, Listing.url, IndexedListing.price, IndexedListing.price_currency
        )
        .join(IndexedListing, on=(IndexedListing.listing_id == Listing.listing_id))
        .where(bulk.within(Listing.listing_id, listing_ids))
    )
    return {
        listing_id: Shown(title or "", url or "", price, currency, primary.get(listing_id))
        for listing_id, title, url, price, currency in bulk.raw(query)
    }
