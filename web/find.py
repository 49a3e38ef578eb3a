"""What the page Search shows: listings by words or by what they look like, within bounds, the best first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from crawler.store.state import category_names
from models import IndexedListing, Listing, Shop
from runtime import bulk
from search.query import Looked
from web import reading
from web.pages import era_in_words
from web.pieces import pieces
from web.similar import Alike, Answer, Similar
from web.text_index import TextIndex
from web.wanted import Wanted

MOST_CANDIDATES, MOST_SHOWN, MOST_VALUES, MOST_BESIDE = 2_000, 48, 8, 8
FACETS = {"era": "Made", "country": "Country", "category": "Category"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listing within the bounds, as the filters at the side see it."""

    listing_id: int
    era: str | None
    country: str | None
    category: int | None


@dataclass(frozen=True, slots=True)
class Facet:
    """A filter at the side: what is chosen of it (the address `without` it), or the choices.

    A choice has its words, how many listings are left by it, and its address.
    """

    title: str
    chosen: str | None
    without: str
    choices: Sequence[tuple[str, int, str]]


@dataclass(frozen=True, slots=True)
class Results:
    """The candidates, the best first; `answer` is what the image search said, where it was asked.

    `is_cut` says that more listings have the words than were looked through.
    """

    candidates: Sequence[Candidate]
    is_cut: bool = False
    answer: Answer | None = None
    alike: Mapping[int, Alike] = field(default_factory=dict)


class Searching:
    """Finds listings; the database is open and bound. `read_picture` gives a picture that is looked for."""

    def __init__(self, words: TextIndex, similar: Similar, read_picture: Callable[[str], bytes | None]) -> None:
        self._words = words
        self._similar = similar
        self._read_picture = read_picture

    def context(self, wanted: Wanted) -> dict[str, Any]:
        """Return what the template says."""
        results = self.find(wanted)
        return {
            "wanted": wanted,
            "answer": results.answer,
            "by_looks": bool(results.alike),
            "can_look": self._similar.can_search(),
            "pieces": _shown(results, MOST_SHOWN),
            "number": len(results.candidates),
            "is_cut": results.is_cut,
            "facets": facets(wanted, results.candidates),
            "indexed": self._words.count(),
        }

    def beside(self, listing_id: int) -> dict[str, Any]:
        """Return what the page of a listing shows of pieces that look like it."""
        results = self.find(Wanted(like=listing_id))
        return {"answer": results.answer, "pieces": _shown(results, MOST_BESIDE)}

    def find(self, wanted: Wanted) -> Results:
        """Return what fits: by what pieces look like where that can be asked, else, of words, by what has them."""
        named = wanted.has_example
        answer = self._look(wanted) if named or (wanted.by_looks and self._similar.can_search()) else None
        if answer is not None and answer.found:
            by_id = {one.listing_id: one for one in answer.found}
            return Results(within_bounds(list(by_id), wanted), answer=answer, alike=by_id)
        found = [] if named else self._words.find(wanted.words, MOST_CANDIDATES)
        return Results(within_bounds(found, wanted), len(found) == MOST_CANDIDATES, answer)

    def _look(self, wanted: Wanted) -> Answer:
        looked = Looked()
        if wanted.picture is not None:
            body = self._read_picture(wanted.picture)
            if body is None:
                return Answer(why="This picture is not kept here any more: choose it again.")
            looked.bodies.append(body)
        if wanted.words:
            looked.texts.append(wanted.words)
        if wanted.like is not None:
            looked.listing_ids.append(wanted.like)
        return self._similar.find(looked, wanted.filters, wanted.as_it_is)


def within_bounds(ids: Sequence[int], wanted: Wanted) -> list[Candidate]:
    """Return those of these listings that lie within the bounds, in this order."""
    if not ids:
        return []
    told = (IndexedListing.listing_id, IndexedListing.shop_id, IndexedListing.when_made, IndexedListing.taxonomy_id)
    query = IndexedListing.select(*told).where(bulk.within(IndexedListing.listing_id, ids), *_conditions(wanted))
    rows = {row[0]: row for row in bulk.raw(query)}
    countries = _countries({row[1] for row in rows.values() if row[1] is not None})
    found = []
    for listing_id in ids:
        if listing_id in rows:
            _, shop_id, era, category = rows[listing_id]
            places = countries.get(shop_id, (None, None))
            if wanted.country is None or wanted.country in places:
                found.append(Candidate(listing_id, era, places[0] or places[1], category))
    return found


def facets(wanted: Wanted, candidates: Sequence[Candidate]) -> list[Facet]:
    """Return the filters at the side, those left out by which nothing can be told apart."""
    found = []
    names = category_names()
    said: Mapping[str, Callable[[Any], str]] = {
        "era": era_in_words,
        "country": str,
        "category": lambda number: names.get(number, str(number)),
    }
    for name, title in FACETS.items():
        counted = Counter(value for one in candidates if (value := getattr(one, name)) is not None)
        most = sorted(counted.items(), key=lambda one: (-one[1], str(one[0])))[:MOST_VALUES]
        chosen = getattr(wanted, name)
        choices = [(said[name](value), count, _bounded(wanted, name, value)) for value, count in most]
        words = None if chosen is None else said[name](chosen)
        found.append(Facet(title, words, _bounded(wanted, name, None), choices))
    return [one for one in found if one.choices or one.chosen is not None]


def _shown(results: Results, most: int) -> list[dict[str, Any]]:
    ids = [one.listing_id for one in results.candidates[:most]]
    known = reading.read_pieces(reading.pieces(bulk.within(Listing.listing_id, ids)))
    rows = {row["listing_id"]: row for row in known}
    return pieces([rows[i] for i in ids if i in rows], results.alike)


def _bounded(wanted: Wanted, name: str, value: Any) -> str:
    """Return the address of the same with another bound."""
    told: Any = {name: value}
    return replace(wanted, **told).address


def _countries(shop_ids: set[int]) -> dict[int, tuple[str | None, str | None]]:
    told = Shop.select(Shop.shop_id, Shop.shop_location_country_iso, Shop.shipping_from_country_iso)
    return {row[0]: (row[1], row[2]) for row in bulk.raw(told.where(bulk.within(Shop.shop_id, shop_ids)))}


def _conditions(wanted: Wanted) -> list[Any]:
    told: list[Any] = [
        None if wanted.min_price is None else IndexedListing.price >= wanted.min_price,
        None if wanted.max_price is None else IndexedListing.price <= wanted.max_price,
        None if wanted.era is None else IndexedListing.when_made == wanted.era,
        None if wanted.category is None else IndexedListing.taxonomy_id == wanted.category,
    ]
    return [condition for condition in told if condition is not None]
