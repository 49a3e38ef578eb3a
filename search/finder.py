"""Finding similar listings: the query's vectors, the ensemble over the served indexes, and what to show.

query → vectors (from the store for what is embedded, from the models for the rest) → search.scoring → listings
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from runtime.errors import OperatorNeeded, UserMistake
from search.catalogue import TEXT, Vectors
from search.encode import Encoded, Wanted
from search.filters import Filters, listings_that_fit
from search.index.exact import Source
from search.index.library import Rows
from search.index.served import Served
from search.query import Looked
from search.scoring import NO_ROWS, Match, Question, search
from search.store.rows import primary_images
from search.store.shown import Shown, load_shown

Encode = Callable[[Wanted], Encoded]


@dataclass(frozen=True, slots=True)
class Found:
    """A listing that was found, with what to show of it; `images` are by vector file those that its shares are of."""

    match: Match
    shown: Shown
    images: Mapping[str, int]


class Finder:
    """Answers queries from one generation of indexes; the database is open. `encode` asks the models."""

    def __init__(self, served: Served, sources: Mapping[str, Source], encode: Encode) -> None:
        self._served, self._sources, self._encode = served, sources, encode
        self.missing = served.missing

    def find(self, looked: Looked, filters: Filters, top: int, keep_background: bool = False) -> list[Found]:
        """Return the best listings; UserMistake, OperatorNeeded."""
        return self.answer(looked, self.encode(looked, keep_background), filters, top)

    def encode(self, looked: Looked, keep_background: bool = False) -> Mapping[str, Vectors]:
        """Return by vector file what the models make of the query's pictures and words; UserMistake, OperatorNeeded."""
        if not looked.bodies and not looked.texts:
            return {}
        models = tuple(name for name in self._served.names if not name.endswith(TEXT))
        encoded = self._encode(Wanted(tuple(looked.bodies), tuple(looked.texts), models, keep_background))
        for name, make_id in encoded.makes.items():
            if make_id != self._sources[name].make:
                raise OperatorNeeded(
                    f"{name} has other weights now than those that the stored vectors were made with.",
                    advice=f"Put those back, or make its vectors anew: `python run.py embed --renew {name}`.",
                )
        if not encoded.vectors:
            raise UserMistake(
                "None of the models that are indexed reads words.", advice="Look by a picture or a listing's number."
            )
        return encoded.vectors

    def answer(self, looked: Looked, asked: Mapping[str, Vectors], filters: Filters, top: int) -> list[Found]:
        """Return the best listings where `asked` is what `encode` returned; UserMistake."""
        own = self._rows(looked)
        parts: dict[str, list[Vectors]] = {}
        for name in self._served.names:
            if len(own) and not name.endswith(TEXT):
                parts.setdefault(name, []).append(self._sources[name].file.gather(own).astype(np.float32))
            if name in asked:
                parts.setdefault(name, []).append(asked[name])
        vectors = {name: np.concatenate(found) for name, found in parts.items()}
        book = self._served.book
        allowed = book.rows_of(np.array(listings_that_fit(filters), np.int64)) if filters else None
        without = book.rows_of(book.listings_of(own)) if len(own) else NO_ROWS
        return self._shown(search(self._served, Question(vectors, top, allowed, without)))

    def _rows(self, looked: Looked) -> Rows:
        """Return the rows of the listings (by their first picture) and images that are named; UserMistake."""
        found: list[int] = []
        book, first = self._served.book, primary_images(looked.listing_ids)
        for listing_id in looked.listing_ids:
            rows = book.rows_of(np.array([listing_id], np.int64))
            if not len(rows):
                raise UserMistake(
                    f"The listing {listing_id} has no vectors.",
                    advice="Was it crawled, and `python run.py embed` run? An image is named as image:NUMBER.",
                )
            primary = [row for row in rows if book.images_of(np.array([row]))[0] == first.get(listing_id)]
            found.append(int((primary or list(rows))[0]))
        for image_id in looked.image_ids:
            row = book.row_of_image(image_id)
            if row is None:
                raise UserMistake(f"The image {image_id} has no vectors.", advice="Was `python run.py embed` run?")
            found.append(row)
        return np.array(found, np.int64)

    def _shown(self, matches: Sequence[Match]) -> list[Found]:
        shown = load_shown([match.listing_id for match in matches])
        found = []
        for match in matches:
            images = self._served.book.images_of(np.array(list(match.rows.values()), np.int64)).tolist()
            told = shown.get(match.listing_id, Shown("", "", None, None, None))
            found.append(Found(match, told, dict(zip(match.rows, images, strict=True))))
        return found
