"""What somebody looks for, as the address of a result page tells it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from search.filters import Filters
from web.asked import DIGEST

LONGEST = 200
TEXT = "text"
AMOUNT = re.compile(r"[0-9]{1,9}(?:[.,][0-9]{1,2})?")
CODE = re.compile(r"[A-Za-z]{2}")
ERA = re.compile(r"[a-z0-9_]{1,30}")
NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody looks for: words, a listing to look `like`, a picture by its digest; and bounds (None: any).

    `by` is "text" for words that have to stand in a listing's text. Prices are in the seller's currency.
    """

    words: str = ""
    min_price: float | None = None
    max_price: float | None = None
    era: str | None = None
    country: str | None = None
    category: int | None = None
    like: int | None = None
    picture: str | None = None
    as_it_is: bool = False
    by: str | None = None

    @property
    def address(self) -> str:
        """The address of the page that shows this, to be kept or shared."""
        told = {"q": self.words, "by": self.by, **self.bounds, **self.kept}
        return "/search?" + urlencode({name: value for name, value in told.items() if value})

    @property
    def bounds(self) -> dict[str, str]:
        """The bounds as the address tells them."""
        told = {
            "min": self.min_price,
            "max": self.max_price,
            "era": self.era,
            "country": self.country,
            "category": self.category,
        }
        return {name: str(value) for name, value in told.items() if value is not None}

    @property
    def kept(self) -> dict[str, str]:
        """What the address tells beside words and prices."""
        told = {"like": self.like, "picture": self.picture, "as_it_is": 1 if self.as_it_is else None}
        chosen = {name: value for name, value in self.bounds.items() if name not in ("min", "max")}
        return {**chosen, **{name: str(value) for name, value in told.items() if value is not None}}

    @property
    def without_picture(self) -> str:
        """The address of the same without the picture."""
        return replace(self, picture=None, as_it_is=False).address

    @property
    def without_like(self) -> str:
        """The address of the same without the listing."""
        return replace(self, like=None).address

    @property
    def has_example(self) -> bool:
        """Whether a listing or a picture is named that pieces are to look like."""
        return self.like is not None or self.picture is not None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is looked for."""
        return not self.words and not self.has_example

    @property
    def by_looks(self) -> bool:
        """Whether it is about what pieces look like."""
        return self.has_example or bool(self.words and self.by != TEXT)

    @property
    def filters(self) -> Filters:
        """The bounds as the image search takes them."""
        return Filters(
            min_price=self.min_price,
            max_price=self.max_price,
            era=self.era,
            country=self.country,
            taxonomy_id=self.category,
        )


def read_wanted(told: Mapping[str, str]) -> Wanted:
    """Return what the address of a page asks for; what makes no sense is left out."""
    return Wanted(
        told.get("q", "").strip()[:LONGEST],
        _amount(told.get("min", "")),
        _amount(told.get("max", "")),
        _matching(ERA, told.get("era", "")),
        (_matching(CODE, told.get("country", "")) or "").upper() or None,
        read_number(told.get("category", "")),
        read_number(told.get("like", "")),
        _matching(DIGEST, told.get("picture", "")),
        told.get("as_it_is", "") == "1",
        TEXT if told.get("by", "") == TEXT else None,
    )


def read_number(told: str) -> int | None:
    """Return the number of a listing, a shop or the like, None where the text is none that a database takes."""
    return int(told) if NUMBER.fullmatch(told) else None


def _amount(told: str) -> float | None:
    return float(told.replace(",", ".")) if AMOUNT.fullmatch(told.strip()) else None


def _matching(pattern: re.Pattern[str], told: str) -> str | None:
    return told.strip() if pattern.fullmatch(told.strip()) else None
