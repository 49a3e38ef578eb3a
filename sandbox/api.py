"""The nine endpoints of Etsy's Open API that the sandbox serves: a request in, an answer out, no sockets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from sandbox.answer import Answer, answer_bytes, answer_error, answer_json
from sandbox.market import Market
from sandbox.render import to_bytes
from sandbox.search_index import COLUMNS, Query, price_bounds
from sandbox.taxonomy import SELLER_ONLY, filter_ids, tree

PREFIX = "/v3/application"
APPLICATION_ID = 123456789
EARLIEST = 946_684_800
MAX_BATCH = 100
SORT_COLUMNS = tuple(COLUMNS)
RISING = frozenset({"asc", "ascending", "up"})
SORT_ORDERS = ("asc", "ascending", "desc", "descending", "up", "down")
INCLUDES = ("Images", "Shop", "User", "Translations", "Videos", "Personalization", "BuyerPrice")

Params = dict[str, str]


class Route(NamedTuple):
    """Which endpoint a path leads to; the parameters that stand in the path are among `params`."""

    endpoint: str
    params: Params


class BadParameter(Exception):
    """A parameter's value cannot be; `answer` is the 400 that says so."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True)
class Page:
    """Which rows of a result are asked for."""

    limit: int
    offset: int


FIXED = {
    "/listings/active": "findAllListingsActive",
    "/listings/batch": "getListingsByListingIds",
    "/seller-taxonomy/nodes": "getSellerTaxonomyNodes",
    "/buyer-taxonomy/nodes": "getBuyerTaxonomyNodes",
    "/openapi-ping": "ping",
}
BY_ID = {
    ("listings", ""): ("getListing", "listing_id"),
    ("listings", "images"): ("getListingImages", "listing_id"),
    ("shops", ""): ("getShop", "shop_id"),
    ("shops", "reviews"): ("getReviewsByShop", "shop_id"),
}


def route(path: str, params: Params) -> Route | None:
    """Return the endpoint of a path, or None where Etsy has none (here)."""
    if not path.startswith(PREFIX):
        return None
    rest = path[len(PREFIX) :]
    if rest in FIXED:
        return Route(FIXED[rest], dict(params))
    parts = [*rest.strip("/").split("/"), "", ""][:3]
    found = BY_ID.get((parts[0], parts[2])) if rest.count("/") <= 3 and parts[1] else None
    return None if found is None else Route(found[0], {**params, found[1]: parts[1]})


def bad_value(name: str, kind: str, message: str) -> BadParameter:
    """Return a 400 in the form of a JSON array, which is how Etsy tells failed validations."""
    return BadParameter(answer_json([{"path": f"/{name}", "type": kind, "message": message}], 400))


def bad_request(text: str) -> BadParameter:
    """Return a 400 in the common form."""
    return BadParameter(answer_error(400, text))


def whole(params: Params, name: str, default: int, low: int, high: int | None = None) -> int:
    """Return a whole number within its bounds, both included."""
    text = params.get(name, "")
    if text == "":
        return default
    try:
        value = int(text)
    except ValueError:
        raise bad_value(name, "invalid_type", f"must be an integer, got {text[:40]}") from None
    if value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise bad_request(f"Invalid value for parameter {name}: must be {bounds}.")
    return value


def price(params: Params, name: str) -> float | None:
    """Return a price in major units, or None where none is given."""
    text = params.get(name, "")
    if text == "":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise bad_value(name, "invalid_type", f"must be a number of at least 0, got {text[:40]}")
    return value


def choice(params: Params, name: str, allowed: tuple[str, ...], default: str) -> str:
    """Return one of the allowed words."""
    value = params.get(name) or default
    if value not in allowed:
        raise bad_request(f"Invalid value ({value}) for enum({', '.join(allowed)})")
    return value


def ids_of(params: Params) -> list[int]:
    """Return the listing ids of a batch, each once, in the order asked."""
    texts = [text for text in params.get("listing_ids", "").split(",") if text.strip()]
    if not texts:
        raise bad_value("listing_ids", "required", "is required")
    if not all(text.strip().isdecimal() and int(text) > 0 for text in texts):
        raise bad_value("listing_ids", "invalid_type", "must be a list of positive integers")
    if len(texts) > MAX_BATCH:
        raise bad_request(f"The maximum number of listing_ids is {MAX_BATCH}.")
    return list(dict.fromkeys(int(text) for text in texts))


def includes_of(params: Params) -> frozenset[str]:
    """Return the associations that are asked for."""
    names = [name for name in params.get("includes", "").split(",") if name]
    return frozenset(choice({"includes": name}, "includes", INCLUDES, "") for name in names)


def results(count: int, rows: list[bytes]) -> Answer:
    """Return rows that are JSON already in the frame that every list comes in."""
    return answer_bytes(b'{"count":%d,"results":[%b]}' % (count, b",".join(rows)))


class Api:
    """Answers requests from the market; knows nothing of keys, limits and faults."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._settings = market.settings
        self._jitter = Random(f"{market.settings.seed}:count")
        self._trees = {
            "getSellerTaxonomyNodes": self._taxonomy(frozenset()),
            "getBuyerTaxonomyNodes": self._taxonomy(SELLER_ONLY),
        }
        self._endpoints: dict[str, Callable[[Params], Answer]] = {
            "findAllListingsActive": self._search,
            "getListingsByListingIds": self._batch,
            "getListing": self._listing,
            "getListingImages": self._images,
            "getShop": self._shop,
            "getReviewsByShop": self._reviews,
            "getSellerTaxonomyNodes": lambda _: self._trees["getSellerTaxonomyNodes"],
            "getBuyerTaxonomyNodes": lambda _: self._trees["getBuyerTaxonomyNodes"],
            "ping": lambda _: answer_json({"application_id": APPLICATION_ID}),
        }

    def answer(self, asked: Route) -> Answer:
        """Return what the endpoint has to say."""
        try:
            return self._endpoints[asked.endpoint](asked.params)
        except BadParameter as error:
            return error.answer

    def _taxonomy(self, hidden: frozenset[int]) -> Answer:
        roots = tree(hidden)
        return answer_json({"count": len(roots), "results": roots})

    def _search(self, params: Params) -> Answer:
        page = Page(whole(params, "limit", 25, 1, 100), whole(params, "offset", 0, 0))
        order = choice(params, "sort_order", SORT_ORDERS, "desc")
        column = choice(params, "sort_on", SORT_COLUMNS, "created")
        low, high = price_bounds(price(params, "min_price"), price(params, "max_price"))
        taxonomy_id = whole(params, "taxonomy_id", 0, 1)
        if page.offset > self._settings.cap:
            return answer_error(400, "Offset provided is greater than the maximum offset allowed.")
        query = Query(filter_ids(taxonomy_id), low, high, COLUMNS[column])
        found = self._market.index.found(query)
        if page.offset and page.offset >= len(found):
            return answer_error(400, "Offset provided is greater than the total count of search results.")
        rows = _cut(found, page, rising=order in RISING and column != "score")
        return results(self._told(len(found)), [self._market.search_row(row[1]) for row in rows])

    def _told(self, count: int) -> int:
        share = self._settings.count_jitter
        return count if not share else max(0, round(count * (1 + share * self._jitter.uniform(-1, 1))))

    def _batch(self, params: Params) -> Answer:
        ids, includes = ids_of(params), includes_of(params)
        listings = [self._market.find_listing(listing_id) for listing_id in ids]
        missing = [str(listing_id) for listing_id, row in zip(ids, listings, strict=True) if row is None]
        if missing:
            text = f"Not all requested listings exist. Missing listing_ids: {','.join(missing)}."
            return answer_error(404, text)
        rows = [
            self._market.full_row(row, "Shop" in includes, "Images" in includes) for row in listings if row is not None
        ]
        # The order of a batch is not promised, so none may find it kept; the same ids come in the same order.
        Random(f"{self._settings.seed}:{ids}").shuffle(rows)
        return results(len(rows), rows)

    def _listing(self, params: Params) -> Answer:
        listing_id, includes = whole(params, "listing_id", 0, 1), includes_of(params)
        listing = self._market.find_listing(listing_id)
        if listing is None:
            return _no_listing(listing_id)
        return answer_bytes(self._market.full_row(listing, "Shop" in includes, "Images" in includes))

    def _images(self, params: Params) -> Answer:
        listing_id = whole(params, "listing_id", 0, 1)
        listing = self._market.find_listing(listing_id)
        if listing is None:
            return _no_listing(listing_id)
        rows = [to_bytes(image) for image in self._market.images(listing)]
        return results(len(rows), rows)

    def _shop(self, params: Params) -> Answer:
        shop_id = whole(params, "shop_id", 0, 1)
        shop = self._market.find_shop(shop_id)
        if shop is None:
            return _no_shop(shop_id)
        return answer_bytes(to_bytes(self._market.render.shop(shop)))

    def _reviews(self, params: Params) -> Answer:
        shop_id = whole(params, "shop_id", 0, 1)
        page = Page(whole(params, "limit", 25, 1, 100), whole(params, "offset", 0, 0))
        first = whole(params, "min_created", 0, EARLIEST)
        last = whole(params, "max_created", 1 << 62, EARLIEST)
        shop = self._market.find_shop(shop_id)
        if shop is None:
            return _no_shop(shop_id)
        found = [row for row in self._market.reviews(shop) if first <= row.created <= last]
        rows = found[page.offset : page.offset + page.limit]
        return results(len(found), [to_bytes(self._market.render.review(shop, row)) for row in rows])


def _cut(found: list[tuple[int, int]], page: Page, rising: bool) -> list[tuple[int, int]]:
    if rising:
        return found[page.offset : page.offset + page.limit]
    end = len(found) - page.offset
    return found[max(0, end - page.limit) : end][::-1]


def _no_listing(listing_id: int) -> Answer:
    return answer_error(404, f"Could not find a Listing with listing_id = {listing_id}")


def _no_shop(shop_id: int) -> Answer:
    return answer_error(404, f"Could not find a Shop with shop_id = {shop_id}")
