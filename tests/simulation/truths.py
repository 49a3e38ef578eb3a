"""Everything that was ever true in a moving market, and when; rows are held against it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from sandbox import Sandbox
from sandbox.world import REMOVED, Listing, Shop
from tests.truth import DYNAMIC, LISTS, REVIEW, SHOP, SHOP_DYNAMIC, STATIC

Values = tuple[Any, ...]
Rows = Callable[..., list[Values]]
Window = Callable[[str], tuple[float, float]]
PRICE = ("amount", "divisor", "currency_code")
PRICE_COLUMNS = ("price_amount", "price_divisor", "price_currency")
GONE: Values = ("removed", *[None] * (len(DYNAMIC) - 1 + len(PRICE)))


class Told(NamedTuple):
    """What was true of one thing from a moment on."""

    since: float
    values: Values


class Truths:
    """The market's history: of each listing and shop what was true of it from when on, in true time."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._market = sandbox.market
        self._keys: dict[int, Values] = {}
        self._shop_keys: dict[int, Values] = {}
        self.statics: dict[int, list[Told]] = defaultdict(list)
        self.dynamics: dict[int, list[Told]] = defaultdict(list)
        self.shops: dict[int, list[Told]] = defaultdict(list)
        self.shop_dynamics: dict[int, list[Told]] = defaultdict(list)
        self.note(0.0)

    def note(self, at: float) -> None:
        """Take down what has changed since the last time; at a market's pace that is next to nothing."""
        for listing in self._market.numbered:
            key = _key(listing)
            if self._keys.get(listing.listing_id) != key:
                self._keys[listing.listing_id] = key
                self._note_listing(listing, at)
        for shop in self._market.shops.values():
            figures = (shop.updated, shop.sold, shop.favorers, shop.active, shop.review_count, shop.review_average)
            if self._shop_keys.get(shop.shop_id) != figures:
                self._shop_keys[shop.shop_id] = figures
                self._note_shop(shop, at)

    def _note_listing(self, listing: Listing, at: float) -> None:
        if listing.state == REMOVED:
            self.dynamics[listing.listing_id].append(Told(at, GONE))
            return
        row = self._market.render.listing(listing, self._market.shops[listing.shop_id])
        row["views"] = listing.views
        price = tuple(row["price"][name] for name in PRICE)
        lists = tuple(row.get(name, []) for name in LISTS)
        self.statics[listing.listing_id].append(Told(at, (*(_plain(row[name]) for name in STATIC), *price, *lists)))
        self.dynamics[listing.listing_id].append(Told(at, (*(_plain(row[name]) for name in DYNAMIC), *price)))

    def _note_shop(self, shop: Shop, at: float) -> None:
        row = self._market.render.shop(shop)
        self.shops[shop.shop_id].append(Told(at, tuple(_plain(row[name]) for name in SHOP)))
        self.shop_dynamics[shop.shop_id].append(Told(at, tuple(_plain(row[name]) for name in SHOP_DYNAMIC)))

    def review(self, shop_id: int, transaction_id: int) -> tuple[Values, ...]:
        """Return what a review says and, where it was edited, said before; nothing where there never was one."""
        shop = self._market.shops[shop_id]
        for review in self._market.reviews(shop):
            if review.transaction_id == transaction_id:
                versions = (review, review._replace(updated=review.created))
                rows = [self._market.render.review(shop, version) for version in versions]
                return tuple(tuple(row[name] for name in REVIEW) for row in rows)
        return ()

    def reviews_until(self, shop_id: int, moment: int) -> set[int]:
        """Return the transaction ids of a shop's reviews up to that moment, those of before 2000 left out."""
        found = self._market.reviews(self._market.shops[shop_id])
        return {review.transaction_id for review in found if review.created <= moment}


def untrue(rows: Rows, truths: Truths, window: Window, holes: bool = False) -> list[str]:
    """Return the rows that were true at no moment of their window; `window` says which one a row's time stands for.

    With `holes`, a value may be missing: an answer had left it out.
    """
    found = list(_untrue_listings(rows, truths, window, holes))
    dynamic = (*DYNAMIC, *PRICE_COLUMNS)
    for table, key, columns, told in (
        ("listings_dynamic", "listing_id", dynamic, truths.dynamics),
        ("shops_dynamic", "shop_id", tuple(SHOP_DYNAMIC), truths.shop_dynamics),
        ("shops", "shop_id", tuple(SHOP), truths.shops),
    ):
        found += _compared(rows, (table, key, columns), told, window, holes)
    for transaction_id, *values in rows(f"SELECT {', '.join(REVIEW)} FROM reviews"):
        wrong = _wrong((transaction_id, *values), truths.review(values[0], transaction_id), tuple(REVIEW), holes)
        if wrong:
            found.append(f"review {transaction_id} was never so: {wrong}")
    return found


def _untrue_listings(rows: Rows, truths: Truths, window: Window, holes: bool) -> Iterator[str]:
    columns = (*STATIC, *PRICE_COLUMNS, *LISTS)
    for at, *told in rows(f"SELECT snapshot_timestamp, {', '.join(columns)} FROM listings"):
        values = (*told[: -len(LISTS)], *(json.loads(text) for text in told[-len(LISTS) :]))
        wrong = _wrong(values, _true_in(truths.statics[values[0]], *window(at)), columns, holes)
        if wrong:
            yield f"listings {values[0]} at {at} was not so in its cycle: {wrong}"


def _compared(
    rows: Rows, place: tuple[str, str, tuple[str, ...]], truths: dict[int, list[Told]], window: Window, holes: bool
) -> Iterator[str]:
    table, key, columns = place
    query = f"SELECT {key}, snapshot_timestamp, {', '.join(columns)} FROM {table} WHERE snapshot_timestamp IS NOT NULL"
    for number, at, *values in rows(query):
        wrong = _wrong(tuple(values), _true_in(truths[number], *window(at)), columns, holes)
        if wrong:
            yield f"{table} {number} at {at} was not so in its cycle: {wrong}"


def _wrong(told: Values, true: Sequence[Values], columns: Sequence[str], holes: bool) -> dict[str, Any]:
    """Return what is wrong about a row, compared with the truth that is nearest to it; nothing where one fits."""

    def differing(values: Values) -> dict[str, Any]:
        pairs = zip(columns, told, values, strict=True)
        return {name: got for name, got, right in pairs if got != right and not (holes and got in (None, []))}

    return min((differing(values) for values in true), key=len, default={"never there": told[:2]})


def _true_in(told: list[Told], start: float, end: float) -> list[Values]:
    """Return everything that was true at some moment between the two."""
    ends = [*(later.since for later in told[1:]), float("inf")]
    return [one.values for one, until in zip(told, ends, strict=True) if one.since <= end and until >= start]


def _key(listing: Listing) -> Values:
    return (
        listing.state,
        listing.amount,
        listing.quantity,
        listing.created,
        listing.updated,
        listing.revision,
        listing.views,
        listing.favorers,
    )


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value
