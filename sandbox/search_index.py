"""The search index: which listings a search finds, in what order, and how far it lags behind the market."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from sandbox.world import ACTIVE, Listing, usd_cents

KEPT_VIEWS = 24
NO_LIMIT = 10**12
Entry = tuple[int, int, int, int, int]
"""(price in US cents, created, updated, score, taxonomy_id) as the index knows the listing."""
COLUMNS = {"price": 0, "created": 1, "updated": 2, "score": 3}
TAXONOMY = 4


class Query(NamedTuple):
    """What a search asks for; prices in US cents with both ends included, None for every category."""

    categories: frozenset[int] | None
    low: int
    high: int
    column: int

    def matches(self, entry: Entry) -> bool:
        """Tell whether the listing of this entry is found."""
        if not self.low <= entry[0] <= self.high:
            return False
        return self.categories is None or entry[TAXONOMY] in self.categories


def price_bounds(low: float | None, high: float | None) -> tuple[int, int]:
    """Return prices in dollars as whole cents that include both ends."""
    # 19.99 * 100 is 1998.9999…: the small sum keeps an end inside that binary fractions push out.
    return (
        -NO_LIMIT if low is None else math.ceil(low * 100 - 1e-6),
        NO_LIMIT if high is None else math.floor(high * 100 + 1e-6),
    )


def _entry(listing: Listing) -> Entry:
    score = listing.listing_id * 2_654_435_761 & 0xFFFFFFFF
    price = usd_cents(listing.amount, listing.currency)
    return price, listing.created, listing.updated, score, listing.taxonomy_id


class SearchIndex:
    """Active listings by price, and the sorted results of the latest queries, all kept true."""

    def __init__(self, listings: Iterable[Listing], find: Callable[[int], Listing], lag_calls: int) -> None:
        self._find = find
        self._lag = lag_calls
        self._waiting: deque[tuple[int, int]] = deque()
        self._entries = {row.listing_id: _entry(row) for row in listings if row.state == ACTIVE}
        self._by_price = sorted((entry[0], listing_id) for listing_id, entry in self._entries.items())
        self._views: OrderedDict[Query, list[tuple[int, int]]] = OrderedDict()

    def changed(self, listing_id: int, call: int) -> None:
        """Note that a listing has changed during this call; it shows `lag_calls` later."""
        if self._lag:
            self._waiting.append((call + self._lag, listing_id))
        else:
            self._refresh(listing_id)

    def catch_up(self, call: int) -> None:
        """Take in the changes whose time has come at this call."""
        while self._waiting and self._waiting[0][0] <= call:
            self._refresh(self._waiting.popleft()[1])

    def found(self, query: Query) -> list[tuple[int, int]]:
        """Return (sort value, listing_id) of all that the query finds, in rising order; not to be changed."""
        view = self._views.get(query)
        if view is None:
            view = self._views[query] = self._build(query)
            if len(self._views) > KEPT_VIEWS:
                self._views.popitem(last=False)
        self._views.move_to_end(query)
        return view

    def _build(self, query: Query) -> list[tuple[int, int]]:
        first = bisect_left(self._by_price, (query.low, 0))
        last = bisect_right(self._by_price, (query.high, NO_LIMIT))
        entries, categories, column = self._entries, query.categories, query.column
        found = []
        for _, listing_id in self._by_price[first:last]:
            entry = entries[listing_id]
            if categories is None or entry[TAXONOMY] in categories:
                found.append((entry[column], listing_id))
        found.sort()
        return found

    def _refresh(self, listing_id: int) -> None:
        listing = self._find(listing_id)
        old = self._entries.pop(listing_id, None)
        new = _entry(listing) if listing.state == ACTIVE else None
        if new is not None:
            self._entries[listing_id] = new
        _move(self._by_price, _pair(old, 0, listing_id), _pair(new, 0, listing_id))
        # Moving one row within the kept results costs microseconds; sorting one anew, up to seconds.
        for query, view in self._views.items():
            before = old if old is not None and query.matches(old) else None
            after = new if new is not None and query.matches(new) else None
            _move(view, _pair(before, query.column, listing_id), _pair(after, query.column, listing_id))


def _pair(entry: Entry | None, column: int, listing_id: int) -> tuple[int, int] | None:
    return None if entry is None else (entry[column], listing_id)


def _move(rows: list[tuple[int, int]], old: tuple[int, int] | None, new: tuple[int, int] | None) -> None:
    if old == new:
        return
    if old is not None:
        del rows[bisect_left(rows, old)]
    if new is not None:
        insort(rows, new)
