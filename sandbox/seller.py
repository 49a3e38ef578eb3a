"""A seller's side of the API: drafts made, changed, shown and given pictures, by the owner of one shop.

createDraftListing, updateListing, uploadListingImage and getListingsByShop, as Etsy's document has them. What is made
here stays apart from the market that a crawl sees.
"""

from __future__ import annotations

import email.parser
import email.policy
import io
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from PIL import Image

from sandbox.answer import Answer, answer_error, answer_json
from sandbox.api import (
    PREFIX,
    BadParameter,
    Params,
    Route,
    bad_request,
    bad_value,
    choice,
    price,
    results,
    whole,
)
from sandbox.fields import Json, tone_of, user_id
from sandbox.market import Market
from sandbox.render import to_bytes
from sandbox.taxonomy import BY_ID
from sandbox.world import COUNTRIES, RENEWAL, divisor_of

FIRST_DRAFT_ID, FIRST_IMAGE_ID = 4_700_000_000, 6_000_000_000
STATES = ("active", "inactive", "sold_out", "draft", "expired")
MAKERS = ("i_did", "someone_else", "collective")
ERAS = (
    *("made_to_order", "2020_2026", "2010_2019", "2007_2009", "before_2007", "2000_2006"),
    *(f"{year}s" for year in range(1990, 1890, -10)),
    *("1800s", "1700s", "before_1700"),
)
REQUIRED = ("quantity", "title", "description", "price", "who_made", "when_made", "taxonomy_id")
TYPES = ("physical", "download", "both")
ONCE = "%:&+"
PATHS = {
    ("POST", ""): "createDraftListing",
    ("GET", ""): "getListingsByShop",
    ("PATCH", "/id"): "updateListing",
    ("POST", "/id/images"): "uploadListingImage",
}
ENDPOINTS = frozenset(PATHS.values())
PATH = re.compile(rf"{PREFIX}/shops/([^/]+)/listings(?:/([^/]+)(/images)?)?")
Headers = Mapping[str, str]


@dataclass
class Draft:
    """A listing that was made here, with its pictures by rank, the first is 1."""

    row: Json
    images: list[Json] = field(default_factory=list)


def seller_route(method: str, path: str, params: Params, headers: Headers, body: bytes) -> Route | None:
    """Return the seller's endpoint of a request; fields of a form are among the parameters, a picture is not."""
    match = PATH.fullmatch(path)
    if match is None:
        return None
    shop_id, listing_id, images = match.groups()
    endpoint = PATHS.get((method, ("/id" if listing_id else "") + (images or "")))
    if endpoint is None:
        return None
    told = {"shop_id": shop_id, **({"listing_id": listing_id} if listing_id else {})}
    return Route(endpoint, {**params, **_form(headers, body), **told})


class Seller:
    """Answers requests of the shop's owner; knows nothing of keys, limits and faults."""

    def __init__(self, market: Market, token: str) -> None:
        self._market = market
        self._token = token
        self.drafts: dict[int, Draft] = {}
        """All listings that were made here, by their ids."""
        self._images = 0
        self._endpoints: dict[str, Callable[[Params, int, bytes | None], Answer]] = {
            "createDraftListing": self._create,
            "getListingsByShop": self._list,
            "updateListing": self._update,
            "uploadListingImage": self._upload,
        }

    @property
    def shop_id(self) -> int:
        """The shop that the token's user owns."""
        return next(shop.shop_id for shop in self._market.shops.values() if self._token.startswith(f"{user_id(shop)}."))

    def answer(self, asked: Route, headers: Headers, body: bytes, now: float) -> Answer:
        """Return what the endpoint has to say."""
        if headers.get("authorization", "") != f"Bearer {self._token}":
            return answer_error(401, "invalid_token")
        try:
            shop_id = whole(asked.params, "shop_id", 0, 1)
            if self._market.find_shop(shop_id) is None:
                return answer_error(404, f"Could not find a Shop with shop_id = {shop_id}")
            if shop_id != self.shop_id:
                return answer_error(403, "The user does not own this shop.")
            return self._endpoints[asked.endpoint](asked.params, int(now), _picture(headers, body))
        except BadParameter as error:
            return error.answer

    def _create(self, params: Params, now: int, picture: bytes | None) -> Answer:
        for name in REQUIRED:
            if not params.get(name, "").strip():
                raise bad_value(name, "required", "is required")
        listing_id = FIRST_DRAFT_ID + len(self.drafts)
        draft = Draft(self._new_row(listing_id, params, now) | _changes(params))
        self.drafts[listing_id] = draft
        return _answer(draft.row, 201)

    def _new_row(self, listing_id: int, params: Params, now: int) -> Json:
        shop = self._market.shops[self.shop_id]
        currency, divisor = COUNTRIES[shop.country][1], divisor_of(COUNTRIES[shop.country][1])
        amount = price(params, "price") or 0.0
        if amount <= 0:
            raise bad_request("Invalid value for parameter price: must be positive.")
        stamps = ("creation", "created", "original_creation", "last_modified", "updated", "state")
        return {
            **BLANK,
            "listing_id": listing_id,
            "user_id": user_id(shop),
            "shop_id": shop.shop_id,
            "state": "draft",
            **{f"{name}_timestamp": now for name in stamps},
            "ending_timestamp": now + RENEWAL,
            "quantity": whole(params, "quantity", 0, 1, 999),
            "url": f"https://www.etsy.com/listing/{listing_id}/draft",
            "listing_type": choice(params, "type", TYPES, "physical"),
            "language": COUNTRIES[shop.country][3],
            "price": {"amount": round(amount * divisor), "divisor": divisor, "currency_code": currency},
        }

    def _update(self, params: Params, now: int, picture: bytes | None) -> Answer:
        draft = self._draft(params)
        changed = _changes(params)
        if "state" in params:
            changed["state"] = choice(params, "state", ("active", "inactive"), "")
            if changed["state"] == "active" and not draft.images:
                raise bad_request("A listing needs an image to be active.")
            changed["state_timestamp"] = now
        draft.row = {**draft.row, **changed, "last_modified_timestamp": now, "updated_timestamp": now}
        return _answer(draft.row, 200)

    def _upload(self, params: Params, now: int, picture: bytes | None) -> Answer:
        draft = self._draft(params)
        rank = whole(params, "rank", 1, 1, 20)
        try:
            with Image.open(io.BytesIO(picture or b"")) as image:
                width, height = image.size
        except OSError:
            raise bad_request("The image cannot be read.") from None
        self._images += 1
        made = _image(draft.row["listing_id"], FIRST_IMAGE_ID + self._images, rank, now)
        made |= {"full_width": width, "full_height": height, "alt_text": params.get("alt_text", "")}
        if params.get("overwrite") == "true":
            draft.images[rank - 1 : rank] = [made]
        else:
            draft.images.insert(rank - 1, made)
        return answer_json(made, 201)

    def _list(self, params: Params, now: int, picture: bytes | None) -> Answer:
        state = choice(params, "state", STATES, "active")
        limit, offset = whole(params, "limit", 25, 1, 100), whole(params, "offset", 0, 0, 12_000)
        own = [to_bytes(draft.row | ASSOCIATIONS | {"images": draft.images}) for draft in self._in_state(state)]
        born = [self._market.listings[number] for number in self._market.shops[self.shop_id].listing_ids]
        rows = [*own, *(self._market.full_row(row, False, False) for row in born if row.state == state)]
        return results(len(rows), rows[offset : offset + limit])

    def _in_state(self, state: str) -> list[Draft]:
        return [draft for draft in reversed(self.drafts.values()) if draft.row["state"] == state]

    def _draft(self, params: Params) -> Draft:
        listing_id = whole(params, "listing_id", 0, 1)
        if listing_id not in self.drafts:
            raise BadParameter(answer_error(404, f"Could not find a Listing with listing_id = {listing_id}"))
        return self.drafts[listing_id]


def _changes(params: Params) -> Json:
    """Return the fields of a listing that a form tells, checked."""
    told: Json = {}
    if "title" in params:
        told["title"] = _title(params["title"])
    if "description" in params:
        told["description"] = params["description"]
    if "tags" in params:
        told["tags"] = [_tag(tag) for tag in params["tags"].split(",") if tag]
    if "who_made" in params:
        told["who_made"] = choice(params, "who_made", MAKERS, "")
    if "when_made" in params:
        told["when_made"] = choice(params, "when_made", ERAS, "")
    if "taxonomy_id" in params:
        told["taxonomy_id"] = whole(params, "taxonomy_id", 0, 1)
        if told["taxonomy_id"] not in BY_ID:
            raise bad_request("Invalid taxonomy_id.")
    if params.get("shipping_profile_id"):
        told["shipping_profile_id"] = whole(params, "shipping_profile_id", 0, 1)
    return told


def _title(text: str) -> str:
    twice = [sign for sign in ONCE if text.count(sign) > 1]
    strange = [sign for sign in text if not _fits(sign, "LP", "™©®", ("Nd", "Sm", "Zs"))]
    if not text.strip() or twice or strange:
        raise bad_value("title", "invalid", f"may not have {(twice + strange)[:3]}")
    return text


def _tag(text: str) -> str:
    if not all(_fits(sign, "L", "-'™©®", ("Nd", "Zs")) for sign in text) or len(text) > 20:
        raise bad_value("tags", "invalid", f"{text[:40]} is no tag")
    return text


def _fits(sign: str, groups: str, signs: str, categories: tuple[str, ...]) -> bool:
    category = unicodedata.category(sign)
    return category[0] in groups or category in categories or sign in signs


def _form(headers: Headers, body: bytes) -> Params:
    kind = headers.get("content-type", "")
    if kind.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    fields = {name: part for name, part in _parts(headers, body).items() if name != "image"}
    return {name: part.decode("utf-8", "replace") for name, part in fields.items()}


def _picture(headers: Headers, body: bytes) -> bytes | None:
    return _parts(headers, body).get("image")


def _parts(headers: Headers, body: bytes) -> dict[str, bytes]:
    """Return the parts of a multipart form by name."""
    kind = headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        return {}
    head = f"content-type: {kind}\r\n\r\n".encode("latin-1")
    message: Any = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    parts = message.iter_parts()
    return {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts}


def _image(listing_id: int, image_id: int, rank: int, now: int) -> Json:
    name = f"https://i.etsystatic.com/1/r/il/000000/{image_id}/il_{{}}.{image_id}_abcd.jpg"
    return {
        "listing_id": listing_id,
        "listing_image_id": image_id,
        **tone_of((128, 128, 128)),
        "creation_tsz": now,
        "created_timestamp": now,
        "rank": rank,
        **{f"url_{size}": name.format(size) for size in ("75x75", "170x135", "570xN", "fullxfull")},
    }


def _answer(row: Json, status: int) -> Answer:
    return Answer(status, {"content-type": "application/json"}, to_bytes(row))


NULLS = (
    *("rich_description", "shop_section_id", "shipping_profile_id", "return_policy_id", "processing_min"),
    *("processing_max", "is_supply", "item_weight", "item_weight_unit", "item_length", "item_width", "item_height"),
    *("item_dimensions_unit", "file_data", "converted_price", "readiness_state_id", "suggested_title"),
)
FALSE = ("non_taxable", "is_customizable", "is_personalizable", "is_private", "has_variations", "should_auto_renew")
BLANK: Json = {
    **dict.fromkeys(NULLS),
    **dict.fromkeys(FALSE, False),
    "is_taxable": True,
    "featured_rank": -1,
    "num_favorers": 0,
    "tags": [],
    "materials": [],
    "style": [],
}
ASSOCIATIONS: Json = {
    **dict.fromkeys(("shipping_profile", "user", "shop", "inventory", "translations", "personalization")),
    "buyer_price": None,
    **{name: [] for name in ("videos", "production_partners", "skus")},
    "views": 0,
}
