"""Turns a market's numbers into the objects of the API, as plain text: nothing here is escaped.

Texts and pictures are drawn again at every call from the seed and the object's id, so they need no memory.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any, NamedTuple

import orjson

from sandbox.fields import MASK, Json, features, mixed, policies, standings, tone_of, user_id
from sandbox.settings import SandboxSettings
from sandbox.taxonomy import BY_ID
from sandbox.words import (
    COLOURS,
    Body,
    Piece,
    body_end,
    body_of,
    escape_json,
    pick,
    piece_of,
    review_of,
    shop_name_of,
    title_of,
)
from sandbox.world import COUNTRIES, DAY, ETSY_OPENED, REMOVED, RENEWAL, YEAR, Listing, Shop, divisor_of

FIRST_PICTURE_ID = 2_100_000_000
PICTURE_STEP = 7
MAX_PICTURES = 10
BODIES = 48
FEATURE_SETS = 128
PICTURE_COUNTS = (1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 10, 10)
ODD_SMALL_FORMS = (*["r"] * 12, "c/1000/794/0/196", "c/1000/794/0/196", "d", "d")
FULL_SIZES = ((3000, 2000), (2000, 2000), (2250, 3000), (2000, 1600))
SUFFIX_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


PIECE, TEXT, BODY, PICTURES, PICTURE, PLACE, SHOP, REVIEWS = range(8)


class Picture(NamedTuple):
    """Where one picture lies on the CDN; `number` is its listing's, `rank` its place there, from 1."""

    number: int
    rank: int
    picture_id: int
    hex: str
    suffix: str


class Review(NamedTuple):
    """One review's numbers; its text follows from the transaction id."""

    created: int
    transaction_id: int
    listing_id: int
    buyer_user_id: int | None
    rating: int
    updated: int


class FeatureSet(NamedTuple):
    """Those fields of a listing that many have alike, as plain data and as escaped JSON."""

    plain: Json
    encoded: bytes


class Parts(NamedTuple):
    """What a listing's fields are put together from: its own numbers, its description, and its features.

    The description is the lead and the body up to `end`.
    """

    numbers: Json
    lead: str
    body: Body
    end: int
    features: FeatureSet


class Renderer:
    """Draws everything about a market that is not kept; not safe for use by two threads at once."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._rng = Random()
        self._bodies: dict[tuple[str, int], Body] = {}
        self._feature_sets: dict[tuple[str, int], FeatureSet] = {}
        self._encoded_bodies: dict[tuple[int, int], bytes] = {}
        self._salt = mixed(settings.seed & MASK)

    def _code(self, purpose: int, thing_id: int) -> int:
        return mixed(self._salt ^ (thing_id << 3 | purpose))

    def _random(self, purpose: int, thing_id: int) -> Random:
        # Seeding one generator anew is half the price of making one.
        self._rng.seed(self._code(purpose, thing_id))
        return self._rng

    def _body(self, code: int, language: str) -> Body:
        # A market's descriptions are cut from a few hundred, or every page would take ten times as long.
        key = (language, code % BODIES)
        if key not in self._bodies:
            self._bodies[key] = body_of(Random(f"{self._settings.seed}:{key}"), language)
        return self._bodies[key]

    def _feature_set(self, code: int, material: str) -> FeatureSet:
        key = (material, code % FEATURE_SETS)
        if key not in self._feature_sets:
            plain = features(Random(f"{self._settings.seed}:{key}"), material)
            self._feature_sets[key] = FeatureSet(plain, to_bytes(plain))
        return self._feature_sets[key]

    def piece(self, listing: Listing) -> Piece:
        """Return what the listing sells."""
        return piece_of(self._code(PIECE, listing.listing_id), BY_ID[listing.taxonomy_id].kind)

    def listing(self, listing: Listing, shop: Shop) -> Json:
        """Return every field of a search row."""
        parts = self._parts(listing, shop)
        description = parts.lead + parts.body.text[: parts.end]
        return {**parts.numbers, "description": description, **parts.features.plain}

    def row(self, listing: Listing, shop: Shop) -> bytes:
        """Return the same as JSON with its texts escaped, from pieces made ready."""
        # A market's first walk renders every row, and this is most of what it costs.
        parts = self._parts(listing, shop)
        key = (id(parts.body), parts.end)
        body = self._encoded_bodies.get(key)
        if body is None:
            body = self._encoded_bodies[key] = to_bytes(parts.body.text[: parts.end])[1:]
        head, lead = to_bytes(parts.numbers)[:-1], to_bytes(parts.lead)[:-1]
        return b"".join((head, b',"description":', lead, body, b",", parts.features.encoded[1:]))

    def _parts(self, listing: Listing, shop: Shop) -> Parts:
        piece = self.piece(listing)
        language = COUNTRIES[shop.country][2]
        code = self._code(TEXT, listing.listing_id + (listing.revision << 40))
        title = title_of(code, piece, language, listing.revision)
        code = self._code(BODY, listing.listing_id)
        body = self._body(code, language)
        return Parts(
            numbers=_numbers(listing, shop, title, piece, code >> 32),
            lead=title.upper() if code >> 24 & 3 == 0 else title,
            body=body,
            end=body_end(code >> 8, body),
            features=self._feature_set(code >> 40, piece.material),
        )

    def associations(self, listing: Listing, shop: Json | None, images: list[Json]) -> Json:
        """Return the fields that a batch row has beyond a search row."""
        return {
            "shipping_profile": None,
            "user": None,
            "shop": shop,
            "images": images,
            "videos": [],
            "inventory": None,
            "production_partners": [],
            "skus": [],
            "translations": None,
            "views": listing.views,
            "personalization": None,
            "buyer_price": None,
        }

    def shop(self, shop: Shop) -> Json:
        """Return every field of a shop."""
        rng = self._random(SHOP, shop.shop_id)
        _, currency, _, tag = COUNTRIES[shop.country]
        name = shop_name_of(rng, shop.number)
        hidden_location = shop.country == "US" and rng.random() < 0.5
        return {
            "shop_id": shop.shop_id,
            "user_id": user_id(shop),
            "shop_name": name,
            "create_date": shop.created,
            "created_timestamp": shop.created,
            "title": None if rng.random() < 0.3 else f"{name} - Furniture & Home's Best",
            "announcement": None if rng.random() < 0.5 else 'Welcome! Orders over "$500" ship free.',
            "currency_code": currency,
            "is_vacation": rng.random() < 0.03,
            **dict.fromkeys(("vacation_message", "sale_message", "digital_sale_message")),
            "update_date": shop.updated,
            "updated_timestamp": shop.updated,
            "listing_active_count": shop.active,
            "digital_listing_count": 0,
            "login_name": "",
            "accepts_custom_requests": rng.random() < 0.6,
            **policies(rng),
            "url": f"https://www.etsy.com/shop/{name}",
            "image_url_760x100": None,
            "num_favorers": shop.favorers,
            "languages": [tag],
            "icon_url_fullxfull": None,
            **standings(rng),
            "is_shop_us_based": shop.country == "US",
            "transaction_sold_count": shop.sold,
            "shipping_from_country_iso": None if rng.random() < 0.05 else shop.country,
            "shop_location_country_iso": None if hidden_location else shop.country,
            "review_count": shop.review_count,
            "review_average": shop.review_average,
        }

    def pictures(self, listing: Listing) -> list[Picture]:
        """Return the listing's pictures in their order; now and then the last is a neighbour's first."""
        count, shared = self.picture_count(listing)
        own = [self.picture(listing.number, rank) for rank in range(1, count + 1)]
        return [*own, self.picture(listing.number - 1, 1)] if shared else own

    def picture_count(self, listing: Listing) -> tuple[int, bool]:
        """Return how many pictures are the listing's own, and whether a neighbour's comes after them."""
        code = self._code(PICTURES, listing.listing_id)
        count = PICTURE_COUNTS[code & 15]
        shared = listing.number > 0 and code >> 4 & 63 == 0
        return (min(count, MAX_PICTURES - 1) if shared else count), shared

    def picture(self, number: int, rank: int) -> Picture:
        """Return the picture at this rank (from 1) of the listing with this number."""
        picture_id = FIRST_PICTURE_ID + (number * MAX_PICTURES + rank - 1) * PICTURE_STEP
        code = self._code(PLACE, picture_id)
        first, second, third, fourth = code >> 24 & 31, code >> 29 & 31, code >> 34 & 31, code >> 39 & 31
        suffix = SUFFIX_LETTERS[first] + SUFFIX_LETTERS[second] + SUFFIX_LETTERS[third] + SUFFIX_LETTERS[fourth]
        return Picture(number, rank, picture_id, f"{code & 0xFFFFFF:06x}", suffix)

    def images(self, listing: Listing) -> list[Json]:
        """Return every field of the listing's images, in their order."""
        tone = tone_of(COLOURS[self.piece(listing).colour])
        pictures = enumerate(self.pictures(listing), start=1)
        return [self._image(listing, picture, rank, tone) for rank, picture in pictures]

    def _image(self, listing: Listing, picture: Picture, rank: int, tone: Json) -> Json:
        code = self._code(PICTURE, picture.picture_id)
        known = code % 10 != 0
        small = ODD_SMALL_FORMS[code >> 8 & 15]
        width, height = FULL_SIZES[code >> 16 & 3]
        return {
            "listing_id": listing.listing_id,
            # Etsy's own id and the one in the address part ways now and then; the address is right.
            "listing_image_id": picture.picture_id + (0 if code >> 20 & 63 else 3),
            **(tone if known else dict.fromkeys(tone)),
            "creation_tsz": listing.original,
            "created_timestamp": listing.original,
            "rank": rank,
            "url_75x75": _address(picture, "75x75", small),
            "url_170x135": _address(picture, "170x135", small),
            "url_570xN": _address(picture, "570xN", "r"),
            "url_fullxfull": _address(picture, "fullxfull", "r"),
            "full_height": height if known else None,
            "full_width": width if known else None,
            "alt_text": None if code >> 26 & 3 else 'Front view, 54" wide',
        }

    def born_reviews(self, shop: Shop) -> list[Review]:
        """Return the reviews that the shop was born with, in no order."""
        rng = self._random(REVIEWS, shop.shop_id)
        epoch = self._settings.epoch
        # Drawn apart, so that `recent_reviews` counts exactly those of the past year.
        start, border = max(shop.created, ETSY_OPENED), epoch - YEAR
        reviews: list[Review] = []
        for index in range(shop.born_reviews):
            recent = index < shop.recent_reviews
            low, high = (max(start, border), epoch) if recent else (start, max(start + 1, border))
            created = low + int((high - low) * rng.random())
            if reviews and recent and rng.random() < 0.03:
                created = reviews[-1].created
            reviews.append(self._review(rng, shop, shop.first_transaction_id + index, created))
        return reviews

    def fresh_review(self, rng: Random, shop: Shop, transaction_id: int, created: int) -> Review:
        """Draw one review written at `created`."""
        return self._review(rng, shop, transaction_id, created)

    def _review(self, rng: Random, shop: Shop, transaction_id: int, created: int) -> Review:
        buyer = 10_000_000 + int(890_000_000 * rng.random()) if rng.random() > 0.08 else None
        rating = 5 if rng.random() < 0.25 * shop.quality - 0.35 else 1 + int(5 * rng.random())
        updated = created + int(30 * DAY * rng.random()) if rng.random() < 0.05 else created
        return Review(
            created,
            transaction_id,
            pick(rng, shop.listing_ids[: shop.born_listings or None]),
            buyer,
            rating,
            min(updated, max(created, self._settings.epoch)),
        )

    def review(self, shop: Shop, review: Review) -> Json:
        """Return every field of a review; an edited one keeps its transaction id."""
        rng = self._random(TEXT, review.transaction_id)
        language = COUNTRIES[shop.country][2] if rng.random() < 0.5 else "en"
        null = rng.random() < self._settings.null_reviews
        text = review_of(rng, language)
        edited = review.updated != review.created
        photo = f"https://i.etsystatic.com/iap/{rng.getrandbits(24):06x}/{review.transaction_id}/iap_fullxfull.jpg"
        return {
            "shop_id": shop.shop_id,
            "listing_id": review.listing_id,
            "transaction_id": review.transaction_id,
            "buyer_user_id": review.buyer_user_id,
            "rating": review.rating,
            "review": None if null else f"{text} (edited)" if edited else text,
            "language": language,
            "image_url_fullxfull": photo if rng.random() < 0.1 else None,
            "create_timestamp": review.created,
            "created_timestamp": review.created,
            "update_timestamp": review.updated,
            "updated_timestamp": review.updated,
        }


def to_bytes(value: Any) -> bytes:
    """Return plain JSON data as the API sends it, its texts escaped for HTML."""
    return escape_json(orjson.dumps(value))


def _numbers(listing: Listing, shop: Shop, title: str, piece: Piece, code: int) -> Json:
    return {
        "listing_id": listing.listing_id,
        "user_id": user_id(shop),
        "shop_id": listing.shop_id,
        "title": title,
        "state": "inactive" if listing.state == REMOVED else listing.state,
        "creation_timestamp": listing.created,
        "created_timestamp": listing.created,
        "ending_timestamp": listing.created + RENEWAL,
        "original_creation_timestamp": listing.original,
        "last_modified_timestamp": listing.updated,
        "updated_timestamp": listing.updated,
        "state_timestamp": listing.state_since,
        "quantity": listing.quantity,
        "shop_section_id": 10**7 + code % 4 * 10**7 if code & 1 else None,
        "featured_rank": -1 if code >> 1 & 15 else 1 + code % 4,
        "url": f"https://www.etsy.com/listing/{listing.listing_id}/{_slug(piece)}",
        "num_favorers": listing.favorers,
        "when_made": listing.when_made,
        "language": COUNTRIES[shop.country][3],
        "price": {
            "amount": listing.amount,
            "divisor": divisor_of(listing.currency),
            "currency_code": listing.currency,
        },
        "taxonomy_id": listing.taxonomy_id,
    }


@cache
def _slug(piece: Piece) -> str:
    return f"{piece.style}-{piece.colour}-{piece.kind}".lower().replace(" ", "-")


def _address(picture: Picture, size: str, form: str) -> str:
    name = f"il_{size}.{picture.picture_id}_{picture.suffix}.jpg"
    version = "?version=0" if form == "d" else ""
    owner = 5_000_000 + picture.number
    return f"https://i.etsystatic.com/{owner}/{form}/il/{picture.hex}/{picture.picture_id}/{name}{version}"
