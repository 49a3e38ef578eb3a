"""What goes on in the market while somebody crawls it: one named move after another, as the seed says."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from sandbox.market import Market
from sandbox.world import (
    ACTIVE,
    COUNTRIES,
    FIRST_FRESH_LISTING_ID,
    FIRST_FRESH_SHOP_ID,
    REMOVED,
    Listing,
    ListingMaker,
    Shop,
    make_shop,
    price_amount,
)

NEW_SHOP_SHARE = 0.1
LARGEST_CLOSING_SHOP = 25
TRIES = 200


class Move(NamedTuple):
    """One thing that happened; the id is a listing's, a shop's (shop_closed) or a transaction's (reviews)."""

    kind: str
    id: int


class Drift:
    """Moves a market; a move depends on the seed, the number of moves before it, and nothing else."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._done = 0
        self._actions = {
            "new": (16, self._new),
            "removed": (6, self._removed),
            "sold": (9, self._sold),
            "restocked": (3, self._restocked),
            "expired": (3, self._expired),
            "repriced": (14, self._repriced),
            "renewed": (14, self._renewed),
            "retitled": (6, self._retitled),
            "viewed": (6, self._viewed),
            "reviewed": (20, self._reviewed),
            "review_edited": (2, self._review_edited),
            "shop_closed": (1, self._shop_closed),
        }

    def move(self, call: int) -> Move:
        """Let one thing happen during this call and say what it was."""
        self._done += 1
        # A source of its own for each move, or a move that draws more would change all that come after it.
        rng = Random(f"{self._market.settings.seed}:move:{self._done}")
        now = self._market.settings.epoch + self._done * self._market.settings.move_seconds
        kinds = list(self._actions)
        kind = rng.choices(kinds, [weight for weight, _ in self._actions.values()])[0]
        return self._actions[kind][1](rng, now, call)

    def _some_listing(self, rng: Random, state: str) -> Listing | None:
        for _ in range(TRIES):
            listing = rng.choice(self._market.numbered)
            if listing.state == state:
                return listing
        return None

    def _some_active(self, rng: Random, now: int, call: int) -> Listing:
        # A market that is sold out to the last piece gets a new one, so that no move finds nothing to do.
        found = self._some_listing(rng, ACTIVE)
        return found or self._market.listings[self._new(rng, now, call).id]

    def _change_state(self, kind: str, listing: Listing, state: str, now: int, call: int) -> Move:
        self._market.set_state(listing, state, now)
        self._market.changed(listing, call)
        return Move(kind, listing.listing_id)

    def _new(self, rng: Random, now: int, call: int) -> Move:
        market = self._market
        number = len(market.numbered)
        neighbour = None if rng.random() < NEW_SHOP_SHARE else self._some_listing(rng, ACTIVE)
        shop = self._new_shop(rng, now) if neighbour is None else market.shops[neighbour.shop_id]
        maker = ListingMaker(market.settings, rng)
        listing = maker.make(number, FIRST_FRESH_LISTING_ID + number, shop, ACTIVE, None, now)
        listing.views = listing.favorers = 0
        market.add_listing(listing)
        market.changed(listing, call)
        return Move("new", listing.listing_id)

    def _new_shop(self, rng: Random, now: int) -> Shop:
        number = len(self._market.shops)
        country = rng.choice(list(COUNTRIES))
        shop = make_shop(rng, number, FIRST_FRESH_SHOP_ID + number, country, now, 0, 0)
        shop.created = shop.updated = now
        self._market.shops[shop.shop_id] = shop
        return shop

    def _some_shop(self, rng: Random, now: int, call: int) -> Shop:
        return self._market.shops[self._some_active(rng, now, call).shop_id]

    def _removed(self, rng: Random, now: int, call: int) -> Move:
        return self._change_state("removed", self._some_active(rng, now, call), REMOVED, now, call)

    def _sold(self, rng: Random, now: int, call: int) -> Move:
        listing = self._some_active(rng, now, call)
        listing.quantity = max(0, listing.quantity - 1)
        self._market.shops[listing.shop_id].sold += 1
        state = ACTIVE if listing.quantity else "sold_out"
        return self._change_state("sold", listing, state, now, call)

    def _restocked(self, rng: Random, now: int, call: int) -> Move:
        listing = self._some_listing(rng, "sold_out")
        if listing is None:
            return self._repriced(rng, now, call)
        listing.quantity, listing.created = 3, now
        return self._change_state("restocked", listing, ACTIVE, now, call)

    def _expired(self, rng: Random, now: int, call: int) -> Move:
        return self._change_state("expired", self._some_active(rng, now, call), "expired", now, call)

    def _repriced(self, rng: Random, now: int, call: int) -> Move:
        listing = self._some_active(rng, now, call)
        listing.amount = price_amount(rng, listing.currency)
        listing.updated = now
        self._market.changed(listing, call)
        return Move("repriced", listing.listing_id)

    def _renewed(self, rng: Random, now: int, call: int) -> Move:
        listing = self._some_active(rng, now, call)
        listing.created = listing.updated = now
        self._market.changed(listing, call)
        return Move("renewed", listing.listing_id)

    def _retitled(self, rng: Random, now: int, call: int) -> Move:
        listing = self._some_active(rng, now, call)
        listing.revision += 1
        listing.updated = now
        self._market.changed(listing, call)
        return Move("retitled", listing.listing_id)

    def _viewed(self, rng: Random, now: int, call: int) -> Move:
        listing = self._some_active(rng, now, call)
        listing.views += rng.randint(1, 40)
        listing.favorers += rng.randint(0, 3)
        self._market.changed(listing, call)
        return Move("viewed", listing.listing_id)

    def _reviewed(self, rng: Random, now: int, call: int) -> Move:
        market, shop = self._market, self._some_shop(rng, now, call)
        review = market.render.fresh_review(rng, shop, market.next_transaction_id, now)
        market.next_transaction_id += 1
        shop.sold += 1
        market.add_review(shop, review)
        return Move("reviewed", review.transaction_id)

    def _review_edited(self, rng: Random, now: int, call: int) -> Move:
        shop = self._some_shop(rng, now, call)
        reviews = self._market.reviews(shop)
        if not reviews:
            return self._reviewed(rng, now, call)
        review = rng.choice(reviews)._replace(updated=now)
        self._market.edit_review(shop, review)
        return Move("review_edited", review.transaction_id)

    def _shop_closed(self, rng: Random, now: int, call: int) -> Move:
        market, shop = self._market, self._some_shop(rng, now, call)
        if len(shop.listing_ids) > LARGEST_CLOSING_SHOP or len(market.shops) - len(market.closed_shops) < 4:
            return self._removed(rng, now, call)
        for listing_id in shop.listing_ids:
            listing = market.listings[listing_id]
            if listing.state != REMOVED:
                self._change_state("removed", listing, REMOVED, now, call)
        market.closed_shops.add(shop.shop_id)
        return Move("shop_closed", shop.shop_id)
