"""A market grown from a seed: shops, listings and the sizes of everything, but no text yet.

A listing is kept as a few numbers, so that 600,000 of them fit into memory; titles, pictures and
reviews are drawn again from the seed whenever somebody asks for them (see `render.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from sandbox.settings import SandboxSettings
from sandbox.taxonomy import FURNITURE_NODES, OTHER_NODES

T = TypeVar("T")

DAY = 86_400
YEAR = 365 * DAY
RENEWAL = 120 * DAY
FIRST_LISTING_ID = 500_000_000
FIRST_FRESH_LISTING_ID = 4_600_000_000
FIRST_SHOP_ID = 5_000_000
FIRST_FRESH_SHOP_ID = 70_000_000
FIRST_TRANSACTION_ID = 1_200_000_000
ETSY_OPENED = 1_118_880_000
MAX_REVIEWS = 2500

WANTED_ERAS = {"made_to_order": 48, "2020_2026": 34, "2010_2019": 8, "2007_2009": 5, "2000_2006": 5}
OTHER_ERAS: dict[str | None, int] = {
    "before_2007": 14,
    "1990s": 10,
    "1980s": 12,
    "1970s": 14,
    "1960s": 16,
    "1950s": 9,
    "1940s": 4,
    "1930s": 4,
    "1920s": 3,
    "1910s": 2,
    "1900s": 4,
    "1800s": 5,
    "1700s": 1,
    "before_1700": 1,
    None: 1,
}
USD_PER_UNIT = {
    "USD": 1.0,
    "EUR": 1.08,
    "GBP": 1.27,
    "MAD": 0.1,
    "CAD": 0.73,
    "AUD": 0.66,
    "PLN": 0.25,
    "JPY": 0.0066,
}
DIVISORS = {"JPY": 1}
COUNTRIES: dict[str, tuple[int, str, str, str]] = {
    # country: share of shops, currency, language of the texts, language tag
    "US": (74, "USD", "en", "en-US"),
    "MA": (9, "MAD", "en", "en-US"),
    "GB": (5, "GBP", "en", "en-GB"),
    "DE": (3, "EUR", "de", "de"),
    "FR": (2, "EUR", "fr", "fr"),
    "CA": (2, "CAD", "en", "en-US"),
    "IT": (1, "EUR", "it", "it"),
    "ES": (1, "EUR", "es", "es"),
    "PL": (1, "PLN", "pl", "pl"),
    "AU": (1, "AUD", "en", "en-GB"),
    "JP": (1, "JPY", "ja", "ja"),
    "AE": (1, "USD", "ar", "en-US"),
}
RETIRED_STATES = ("sold_out", "expired", "inactive")
RETIRED_SHARE = 0.03
OTHER_TRADES_SHARE = 0.005
ACTIVE = "active"
REMOVED = "removed"


@dataclass(slots=True)
class Listing:
    """One listing's numbers; `state` is Etsy's, or `removed` where the API no longer knows it."""

    number: int
    listing_id: int
    shop_id: int
    taxonomy_id: int
    when_made: str | None
    amount: int
    currency: str
    state: str
    created: int
    original: int
    updated: int
    state_since: int
    quantity: int
    favorers: int
    views: int
    revision: int = 0


@dataclass(slots=True)
class Shop:
    """One shop's numbers; its reviews at birth are counted here and drawn when asked for."""

    number: int
    shop_id: int
    country: str
    created: int
    updated: int
    sold: int
    favorers: int
    born_reviews: int
    recent_reviews: int
    first_transaction_id: int
    quality: float
    review_count: int | None
    review_average: float | None
    active: int = 0
    born_listings: int = 0
    listing_ids: list[int] = field(default_factory=list)


@dataclass
class World:
    """The market at birth."""

    listings: list[Listing]
    shops: list[Shop]
    next_transaction_id: int


def divisor_of(currency: str) -> int:
    """Return by what an amount of this currency is divided to get its price."""
    return DIVISORS.get(currency, 100)


def usd_cents(amount: int, currency: str) -> int:
    """Return the price in cents of a US dollar, which is what searches compare."""
    return round(amount / divisor_of(currency) * USD_PER_UNIT[currency] * 100)


def price_amount(rng: Random, currency: str) -> int:
    """Draw a log-normal price and round it as sellers do; the amount is in the smallest unit."""
    # Fits what is known of the real market: 6 % cost less than 32 dollars, 1 % more than 8,756.
    units = min(60_000.0, max(0.5, rng.lognormvariate(5.7, 1.4))) / USD_PER_UNIT[currency]
    return max(1, round(_psychological(rng.random(), units) * divisor_of(currency)))


def _psychological(chance: float, units: float) -> float:
    magnitude = 10.0 ** max(0, math.floor(math.log10(units)) - 1)
    if chance < 0.30:
        return math.ceil(units / magnitude) * magnitude
    if chance < 0.55:
        return math.ceil(units) - 0.01
    if chance < 0.75:
        return max(1, math.ceil(units / 10) * 10 - 1)
    if chance < 0.90:
        return float(max(1, round(units)))
    return round(units, 2)


def grow(settings: SandboxSettings) -> World:
    """Grow the market of these settings: the same seed always gives the same one."""
    rng = Random(f"{settings.seed}:world")
    shops = _grow_shops(settings, rng)
    listings: list[Listing] = []
    extra = max(5, int(settings.listings * OTHER_TRADES_SHARE)) if settings.listings else 0
    retired = int(settings.listings * RETIRED_SHARE)
    total = settings.listings + extra + retired
    # Ids say nothing of order or shop, so that no client can lean on either.
    ids = rng.sample(range(FIRST_LISTING_ID, FIRST_FRESH_LISTING_ID), total)
    maker = ListingMaker(settings, rng)
    owners = _owners(rng, shops, total)
    for number, (listing_id, shop) in enumerate(zip(ids, owners, strict=True)):
        state = ACTIVE if number < settings.listings + extra else RETIRED_STATES[number % 3]
        node = OTHER_NODES[number % len(OTHER_NODES)].id if number < extra else None
        listings.append(maker.make(number, listing_id, shop, state, node))
    for listing in listings:
        enlist(owners[listing.number], listing)
    for shop in shops:
        shop.born_listings = len(shop.listing_ids)
    return World(listings, shops, shops[-1].first_transaction_id + shops[-1].born_reviews)


def enlist(shop: Shop, listing: Listing) -> None:
    """Add a listing to its shop."""
    shop.listing_ids.append(listing.listing_id)
    shop.active += listing.state == ACTIVE


def _owners(rng: Random, shops: list[Shop], count: int) -> list[Shop]:
    # Every shop gets one listing first, so that no shop is unknown to the market.
    weights = [rng.lognormvariate(0.0, 1.0) for _ in shops]
    owners = shops[:count] + rng.choices(shops, weights, k=max(0, count - len(shops)))
    rng.shuffle(owners)
    return owners


class ListingMaker:
    """Draws the numbers of new listings from one random source."""

    def __init__(self, settings: SandboxSettings, rng: Random) -> None:
        self._rng = rng
        self._now = settings.epoch
        self._wanted_share = settings.wanted_share
        self._nodes = _endless(rng, {node.id: node.weight for node in FURNITURE_NODES})
        self._wanted = _endless(rng, WANTED_ERAS)
        self._others = _endless(rng, OTHER_ERAS)

    def make(
        self,
        number: int,
        listing_id: int,
        shop: Shop,
        state: str,
        taxonomy_id: int | None,
        now: int | None = None,
    ) -> Listing:
        """Return a listing of this shop; created at `now` where given, else some time in the last months."""
        rng = self._rng
        currency = COUNTRIES[shop.country][1]
        if now is None:
            created = self._now - int(rng.random() * RENEWAL)
            original = max(shop.created, created - RENEWAL * int(rng.expovariate(0.5)))
            created = max(created, original)
            updated = created + int((self._now - created) * rng.random() ** 3)
        else:
            created = original = updated = now
        era = next(self._wanted) if rng.random() < self._wanted_share else next(self._others)
        return Listing(
            number=number,
            listing_id=listing_id,
            shop_id=shop.shop_id,
            taxonomy_id=taxonomy_id or next(self._nodes),
            when_made=era,
            amount=price_amount(rng, currency),
            currency=currency,
            state=state,
            created=created,
            original=original,
            updated=updated,
            state_since=created if state == ACTIVE else updated,
            quantity=0 if state == "sold_out" else 1 + int(rng.expovariate(0.3)),
            favorers=int(rng.expovariate(0.08)),
            views=int(rng.expovariate(0.01)),
        )


def _endless(rng: Random, weights: Mapping[T, int]) -> Iterator[T]:
    values, shares = list(weights), list(weights.values())
    while True:
        # Drawn by the thousand: one weighted draw at a time costs five times as much.
        yield from rng.choices(values, shares, k=1000)


def _grow_shops(settings: SandboxSettings, rng: Random) -> list[Shop]:
    count = settings.shop_count()
    ids = rng.sample(range(FIRST_SHOP_ID, FIRST_FRESH_SHOP_ID), count)
    countries = rng.choices(list(COUNTRIES), [row[0] for row in COUNTRIES.values()], k=count)
    shops: list[Shop] = []
    transaction_id = FIRST_TRANSACTION_ID
    for number, (shop_id, country) in enumerate(zip(ids, countries, strict=True)):
        reviews = _born_reviews(settings, rng, number)
        shops.append(make_shop(rng, number, shop_id, country, settings.epoch, reviews, transaction_id))
        transaction_id += reviews
    return shops


def _born_reviews(settings: SandboxSettings, rng: Random, number: int) -> int:
    mean = settings.reviews_per_shop
    drawn = 0 if rng.random() < 0.15 else int(rng.lognormvariate(math.log(mean + 1) - 0.5, 1.15))
    # The ends of pages are where walks go wrong, so two shops stand exactly on them; two are sure extremes.
    edges = {1: 100, 2: 200, 3: 0, 4: 437} if mean >= 20 else {3: 0}
    return edges.get(number, min(drawn, MAX_REVIEWS))


def make_shop(
    rng: Random, number: int, shop_id: int, country: str, epoch: int, reviews: int, transaction_id: int
) -> Shop:
    """Return a shop with that many reviews in its past, whose listings are still to come."""
    created = epoch - int(rng.random() ** 0.7 * (epoch - ETSY_OPENED))
    recent = min(reviews, round(reviews * min(1.0, YEAR / (epoch - created + 1)) * (0.4 + 1.2 * rng.random())))
    if epoch - created < YEAR:
        recent = reviews
    quality = 5 - min(3.5, rng.expovariate(4.0))
    return Shop(
        number=number,
        shop_id=shop_id,
        country=country,
        created=created,
        updated=epoch - int(rng.random() * 60 * DAY),
        sold=reviews + int(reviews * rng.expovariate(1.5)),
        favorers=int(rng.lognormvariate(4.0, 1.5)),
        born_reviews=reviews,
        recent_reviews=recent,
        first_transaction_id=transaction_id,
        quality=quality,
        review_count=recent if recent or rng.random() < 0.5 else None,
        review_average=round(quality, 4) if recent else None,
    )
