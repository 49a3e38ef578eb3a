"""What the page Search shows: listings by words, within bounds, the best first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from models import IndexedListing, Listing, Shop
from runtime import bulk
from search.filters import Filters
from web.pages import money
from web.reading import pieces, read_pieces
from web.similar import Similar
from web.text_index import TextIndex

MOST_CANDIDATES, MOST_SHOWN = 2_000, 48
LONGEST = 200
AMOUNT = re.compile(r"[0-9]{1,9}(?:[.,][0-9]{1,2})?")
CODE = re.compile(r"[A-Za-z]{2}")
ERA = re.compile(r"[a-z0-9_]{1,30}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody looks for: words or a listing to look `like`, and bounds (None does not matter).

    Prices are in the seller's currency.
    """

    words: str = ""
    min_price: float | None = None
    max_price: float | None = None
    era: str | None = None
    country: str | None = None
    category: int | None = None
    like: int | None = None

    @property
    def address(self) -> str:
        """The address of the page that shows this, to be kept or shared."""
        told = {
            "q": self.words,
            "min": self.min_price,
            "max": self.max_price,
            "era": self.era,
            "country": self.country,
            "category": self.category,
            "like": self.like,
        }
        return "/search?" + urlencode({name: value for name, value in told.items() if value not in (None, "")})


def read_wanted(told: Mapping[str, str]) -> Wanted:
    """Return what the address of a page asks for; what makes no sense is left out."""
    return Wanted(
        told.get("q", "").strip()[:LONGEST],
        _amount(told.get("min", "")),
        _amount(told.get("max", "")),
        _matching(ERA, told.get("era", "")),
        (_matching(CODE, told.get("country", "")) or "").upper() or None,
        _whole(told.get("category", "")),
        _whole(told.get("like", "")),
    )


def find_context(wanted: Wanted, index: TextIndex, similar: Similar) -> dict[str, Any]:
    """Return what the template says."""
    alike, why = ([], "") if wanted.like is None else similar.find(wanted.like, filters_of(wanted))
    by_id = {one.listing_id: one for one in alike}
    found = find_pieces(wanted, index) if wanted.like is None else pieces_of(list(by_id), wanted)
    return {
        "wanted": wanted,
        "why": why,
        "pieces": [
            {**row, "money": money(row["price"], row["price_currency"]), "alike": by_id.get(row["listing_id"])}
            for row in found
        ],
        "indexed": index.count(),
        "is_all": len(found) < MOST_SHOWN,
    }


def filters_of(wanted: Wanted) -> Filters:
    """Return the bounds as the image search takes them."""
    return Filters(
        min_price=wanted.min_price,
        max_price=wanted.max_price,
        era=wanted.era,
        country=wanted.country,
        taxonomy_id=wanted.category,
    )


def find_pieces(wanted: Wanted, index: TextIndex) -> list[dict[str, Any]]:
    """Return the best listings, at most MOST_SHOWN, by how well the words fit."""
    return pieces_of(index.find(wanted.words, MOST_CANDIDATES), wanted)


def pieces_of(ids: Sequence[int], wanted: Wanted) -> list[dict[str, Any]]:
    """Return what is shown of those of these listings that lie within the bounds, in this order."""
    if not ids:
        return []
    query = pieces(bulk.within(Listing.listing_id, ids), *_conditions(wanted))
    if wanted.country is not None:
        query = query.join(Shop, on=(Shop.shop_id == Listing.shop)).where(
            (Shop.shop_location_country_iso == wanted.country) | (Shop.shipping_from_country_iso == wanted.country)
        )
    rows = {row["listing_id"]: row for row in read_pieces(query)}
    return [rows[listing_id] for listing_id in ids if listing_id in rows][:MOST_SHOWN]


def _conditions(wanted: Wanted) -> list[Any]:
    told: list[Any] = [
        None if wanted.min_price is None else IndexedListing.price >= wanted.min_price,
        None if wanted.max_price is None else IndexedListing.price <= wanted.max_price,
        None if wanted.era is None else IndexedListing.when_made == wanted.era,
        None if wanted.category is None else IndexedListing.taxonomy_id == wanted.category,
    ]
    return [condition for condition in told if condition is not None]


def _whole(told: str) -> int | None:
    return int(told) if re.fullmatch(r"[0-9]{1,18}", told) else None


def _amount(told: str) -> float | None:
    return float(told.replace(",", ".")) if AMOUNT.fullmatch(told.strip()) else None


def _matching(pattern: re.Pattern[str], told: str) -> str | None:
    return told.strip() if pattern.fullmatch(told.strip()) else None
