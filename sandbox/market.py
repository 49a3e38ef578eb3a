"""The living market: what is true now, and the bytes in which the API tells it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from sandbox.fields import Json
from sandbox.render import Picture, Renderer, Review, to_bytes
from sandbox.search_index import SearchIndex
from sandbox.settings import SandboxSettings
from sandbox.world import ACTIVE, REMOVED, Listing, Shop, enlist, grow

KEPT_ROWS = 60_000
WARM_ROWS = 50_000  # two seconds' work
KEPT_REVIEW_LISTS = 500


@dataclass(frozen=True)
class Truth:
    """What is true at one moment, as the API would show it but with texts as their writers meant them.

    `listings`, `shops` and `images` go by listing_id and shop_id, `reviews` by transaction_id;
    what the API no longer knows is not in them.
    """

    listings: dict[int, Json]
    shops: dict[int, Json]
    reviews: dict[int, Json]
    images: dict[int, list[Json]]


class PictureAddress(NamedTuple):
    """What leads to one picture; `image_id` is the one in the address, `rank` the place in the listing, from 1."""

    listing_id: int
    image_id: int
    hex: str
    suffix: str
    rank: int
    shop_id: int


class Market:
    """Listings, shops and reviews by their ids, with every change of them in one place."""

    def __init__(self, settings: SandboxSettings) -> None:
        world = grow(settings)
        self.settings = settings
        self.numbered = world.listings
        """Every listing there ever was, by its number."""
        self.listings = {listing.listing_id: listing for listing in world.listings}
        self.shops = {shop.shop_id: shop for shop in world.shops}
        self.closed_shops: set[int] = set()
        self.next_transaction_id = world.next_transaction_id
        self.render = Renderer(settings)
        self.index = SearchIndex(world.listings, self.listings.__getitem__, settings.index_lag_calls)
        self._rows: dict[int, bytes] = {}
        self._fresh: dict[int, list[Review]] = {}
        self._edits: dict[int, dict[int, Review]] = {}
        self._reviews: OrderedDict[int, list[Review]] = OrderedDict()

    # What there is

    def find_listing(self, listing_id: int) -> Listing | None:
        """Return the listing, or None where the API does not know it (any more)."""
        listing = self.listings.get(listing_id)
        return None if listing is None or listing.state == REMOVED else listing

    def find_shop(self, shop_id: int) -> Shop | None:
        """Return the shop, or None where the API does not know it (any more)."""
        return None if shop_id in self.closed_shops else self.shops.get(shop_id)

    def reviews(self, shop: Shop) -> list[Review]:
        """Return the shop's reviews, newest first; not to be changed."""
        known = self._reviews.get(shop.shop_id)
        if known is None:
            # Born reviews are drawn anew and forgotten again: at full size they would take gigabytes.
            edits = self._edits.get(shop.shop_id, {})
            born = self.render.born_reviews(shop)
            written = [edits.get(row.transaction_id, row) for row in (*born, *self._fresh.get(shop.shop_id, ()))]
            known = self._reviews[shop.shop_id] = sorted(written, reverse=True)
            if len(self._reviews) > KEPT_REVIEW_LISTS:
                self._reviews.popitem(last=False)
        return known

    # As the API tells it

    def search_row(self, listing_id: int) -> bytes:
        """Return one row of a search as JSON; what a lagging index still holds is told as active."""
        row = self._rows.get(listing_id)
        if row is None:
            row = self._render_row(self.listings[listing_id])
        if self.listings[listing_id].state == ACTIVE:
            return row
        return orjson.dumps({**orjson.loads(row), "state": ACTIVE})

    def warm_up(self) -> None:
        """Render rows before anybody asks, as many as are kept and as a start may take; the rest comes when asked."""
        for listing in self.numbered[: min(WARM_ROWS, KEPT_ROWS)]:
            self._render_row(listing)

    def full_row(self, listing: Listing, with_shop: bool, with_images: bool) -> bytes:
        """Return a listing with its associations as JSON."""
        row = self._rows.get(listing.listing_id) or self._render_row(listing)
        shop = self.render.shop(self.shops[listing.shop_id]) if with_shop else None
        images = self.images(listing) if with_images else []
        more = to_bytes(self.render.associations(listing, shop, images))
        return row[:-1] + b"," + more[1:]

    def images(self, listing: Listing) -> list[Json]:
        """Return the listing's images in their order, as plain text."""
        return self.render.images(listing)

    def picture_at(self, picture_number: int, rank: int) -> tuple[Listing, Picture] | None:
        """Return a picture by its listing's number and its rank, or None where there is none."""
        if not 0 <= picture_number < len(self.numbered):
            return None
        listing = self.numbered[picture_number]
        if not 1 <= rank <= self.render.picture_count(listing)[0]:
            return None
        return listing, self.render.picture(picture_number, rank)

    def picture_addresses(self) -> Iterator[PictureAddress]:
        """Return each picture of the market once, by the listings' numbers and the pictures' ranks."""
        for listing in self.numbered:
            if listing.state != REMOVED:
                for rank in range(1, self.render.picture_count(listing)[0] + 1):
                    _, _, image_id, hex_part, suffix = self.render.picture(listing.number, rank)
                    yield PictureAddress(listing.listing_id, image_id, hex_part, suffix, rank, listing.shop_id)

    def truth(self) -> Truth:
        """Return all that is true now, as plain data."""
        listings: dict[int, Json] = {}
        images: dict[int, list[Json]] = {}
        for listing in self.numbered:
            if listing.state != REMOVED:
                row = self.render.listing(listing, self.shops[listing.shop_id])
                listings[listing.listing_id] = {**row, "views": listing.views}
                images[listing.listing_id] = self.images(listing)
        open_shops = [shop for shop in self.shops.values() if shop.shop_id not in self.closed_shops]
        reviews = {
            row.transaction_id: self.render.review(shop, row) for shop in open_shops for row in self.reviews(shop)
        }
        return Truth(listings, {shop.shop_id: self.render.shop(shop) for shop in open_shops}, reviews, images)

    def _render_row(self, listing: Listing) -> bytes:
        if len(self._rows) >= KEPT_ROWS:
            self._rows.clear()
        row = self.render.row(listing, self.shops[listing.shop_id])
        self._rows[listing.listing_id] = row
        return row

    # What can happen to it

    def changed(self, listing: Listing, call: int) -> None:
        """Note that a listing's numbers have changed during this call."""
        self._rows.pop(listing.listing_id, None)
        self.index.changed(listing.listing_id, call)

    def set_state(self, listing: Listing, state: str, now: int) -> None:
        """Change a listing's state and its shop's count of active ones."""
        shop = self.shops[listing.shop_id]
        shop.active += (state == ACTIVE) - (listing.state == ACTIVE)
        shop.updated = now
        listing.state, listing.state_since, listing.updated = state, now, now

    def add_listing(self, listing: Listing) -> None:
        """Take in a new listing of a known shop."""
        self.numbered.append(listing)
        self.listings[listing.listing_id] = listing
        enlist(self.shops[listing.shop_id], listing)

    def add_review(self, shop: Shop, review: Review) -> None:
        """Take in a new review, and move the shop's count and average."""
        self._fresh.setdefault(shop.shop_id, []).append(review)
        self._reviews.pop(shop.shop_id, None)
        # Etsy's two figures cover the past year; none grows old here, since no market moves that long.
        count = shop.review_count or 0
        shop.review_average = round(((shop.review_average or 0.0) * count + review.rating) / (count + 1), 4)
        shop.review_count = count + 1

    def edit_review(self, shop: Shop, review: Review) -> None:
        """Put an edited review in the place of the one with its transaction id."""
        self._edits.setdefault(shop.shop_id, {})[review.transaction_id] = review
        self._reviews.pop(shop.shop_id, None)
