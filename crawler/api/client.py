"""The API as methods: one per endpoint, from plain values to records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from crawler.api import parsing, reading, records
from crawler.api.lookahead import Job, Lookahead
from crawler.api.refusals import parse_missing_ids
from crawler.api.transport import Answered, Request, Transport
from runtime.errors import ItemTrouble, ServerTrouble

PAGE_ROWS = 100
FIRST_REVIEW = 946_684_800  # 2000-01-01, the earliest the API takes
PAST_CAP = "greater than the maximum offset"
PAST_END = "greater than the total count"
Parsed = TypeVar("Parsed")


class PastEnd(ItemTrouble):
    """The offset lies behind the last row."""


class PastCap(ItemTrouble):
    """The offset lies behind what a search may reach."""


class Gone(ItemTrouble):
    """The API no longer knows this listing or shop."""


class MissingListings(ItemTrouble):
    """Some ids of a batch are gone, and so is the whole answer; `ids` is empty where it names none."""

    def __init__(self, message: str, ids: tuple[int, ...]) -> None:
        super().__init__(message, status=404)
        self.ids = ids


@dataclass(frozen=True, slots=True)
class Search:
    """One page of one interval's search."""

    taxonomy_id: int
    min_price: float
    max_price: float | None
    sort_order: str
    offset: int


class Client:
    """Fetches records. Every method raises what Transport.send raises, and what it names itself."""

    def __init__(self, lookahead: Lookahead, transport: Transport) -> None:
        self._lookahead = lookahead
        self._transport = transport

    @property
    def depth(self) -> int:
        """How many calls it pays to look ahead."""
        return self._lookahead.depth

    @property
    def reach(self) -> int:
        """How many calls are to be named, besides this one."""
        return self._lookahead.reach

    def fetch_search(self, search: Search) -> records.SearchPage:
        """Return one page of active listings; PastEnd, PastCap where the offset is out of reach."""
        try:
            return self._get(search_job(search))
        except ItemTrouble as trouble:
            if trouble.status == 404:  # a search that is not there is a wrong address or an outage
                raise ServerTrouble(str(trouble), endpoint="findAllListingsActive") from trouble
            raise _out_of_reach(trouble) from trouble

    def fetch_listings(self, listing_ids: Sequence[int]) -> records.ListingBatch:
        """Return up to 100 listings with images and shops; MissingListings where some are gone."""
        try:
            answer: Answered[records.ListingBatch] = self._lookahead.get(*listings_job(listing_ids))
        except ItemTrouble as trouble:
            if trouble.status == 404:
                ids = tuple(set(parse_missing_ids(str(trouble))) & set(listing_ids))
                raise MissingListings(str(trouble), ids) from trouble
            raise
        return replace(answer.told, server_time=answer.server_time)

    def fetch_listing(self, listing_id: int) -> records.ListingRecord:
        """Return one listing with images and shop; Gone where the API does not know it."""
        request = Request("getListing", f"/listings/{listing_id}", (("includes", "Images,Shop"),))
        listing = self._get_one((request, reading.untyped(parsing.parse_listing)))
        _refuse_another(request, listing.listing_id, listing_id)
        return listing

    def fetch_images(self, listing_id: int) -> tuple[records.ImageRecord, ...]:
        """Return all images of a listing; Gone where the API does not know it."""
        request = Request("getListingImages", f"/listings/{listing_id}/images")
        return self._get_one((request, reading.untyped(parsing.parse_images)))

    def fetch_shop(self, shop_id: int) -> records.ShopRecord:
        """Return one shop; Gone where the API does not know it."""
        request, read = shop_job(shop_id)
        shop = self._get_one((request, read))
        _refuse_another(request, shop.shop_id, shop_id)
        return shop

    def fetch_reviews(self, shop_id: int, offset: int, since: int, until: int | None) -> records.ReviewPage:
        """Return a page of the shop's reviews, newest first; PastEnd, PastCap, Gone where there is none."""
        try:
            return self._get_one(reviews_job(shop_id, offset, since, until))
        except ItemTrouble as trouble:
            raise _out_of_reach(trouble) from trouble

    def fetch_taxonomy(self) -> dict[int, records.TaxonomyNode]:
        """Return the buyers' category tree, which is what searches filter by."""
        request = Request("getBuyerTaxonomyNodes", "/buyer-taxonomy/nodes")
        return self._get((request, reading.untyped(parsing.parse_taxonomy)))

    def is_alive(self) -> bool:
        """Return whether the server answers at all."""
        return self._transport.is_alive()

    def offer(self, jobs: Callable[[], Iterable[Job]]) -> None:
        """Name calls that are certain to be needed next; asked again while an answer is waited for."""
        self._lookahead.offer(jobs)

    def peek_reviews(self, shop_id: int, since: int) -> records.ReviewPage | None:
        """Return the first page of a shop's reviews where it was called ahead and is there."""
        answer: Answered[records.ReviewPage] | None = self._lookahead.peek(reviews_job(shop_id, 0, since, None)[0])
        return None if answer is None else answer.told

    def peek_search(self, search: Search) -> records.SearchPage | None:
        """Return a page of a search where it was called ahead and is there."""
        answer: Answered[records.SearchPage] | None = self._lookahead.peek(search_job(search)[0])
        return None if answer is None else answer.told

    def forget(self) -> None:
        """Drop what was called ahead."""
        self._lookahead.forget()

    def _get(self, job: tuple[Request, Callable[[bytes], Parsed]]) -> Parsed:
        answer: Answered[Parsed] = self._lookahead.get(*job)
        return answer.told

    def _get_one(self, job: tuple[Request, Callable[[bytes], Parsed]]) -> Parsed:
        try:
            return self._get(job)
        except ItemTrouble as trouble:
            if trouble.status == 404:
                raise Gone(str(trouble), status=404) from trouble
            raise


def search_job(search: Search) -> tuple[Request, Callable[[bytes], records.SearchPage]]:
    """Return the call for a page of a search."""
    query = [
        ("taxonomy_id", str(search.taxonomy_id)),
        ("limit", str(PAGE_ROWS)),
        ("offset", str(search.offset)),
    ]
    query += [("sort_on", "created"), ("sort_order", search.sort_order)]
    if search.min_price > 0:
        query.append(("min_price", _price(search.min_price)))
    if search.max_price is not None:
        query.append(("max_price", _price(search.max_price)))
    return Request("findAllListingsActive", "/listings/active", tuple(query)), reading.read_search_page


def listings_job(listing_ids: Sequence[int]) -> tuple[Request, Callable[[bytes], records.ListingBatch]]:
    """Return the call for a batch of listings."""
    query = (("listing_ids", ",".join(map(str, listing_ids))), ("includes", "Images,Shop"))
    return Request("getListingsByListingIds", "/listings/batch", query), reading.read_listing_batch


def shop_job(shop_id: int) -> tuple[Request, Callable[[bytes], records.ShopRecord]]:
    """Return the call for one shop."""
    return Request("getShop", f"/shops/{shop_id}"), reading.untyped(parsing.parse_shop)


def reviews_job(
    shop_id: int, offset: int, since: int, until: int | None
) -> tuple[Request, Callable[[bytes], records.ReviewPage]]:
    """Return the call for a page of a shop's reviews of the time between the two moments (Unix seconds)."""
    query = [
        ("limit", str(PAGE_ROWS)),
        ("offset", str(offset)),
        ("min_created", str(max(since, FIRST_REVIEW))),
    ]
    if until is not None:
        query.append(("max_created", str(until)))
    request = Request("getReviewsByShop", f"/shops/{shop_id}/reviews", tuple(query))
    return request, partial(reading.read_review_page, shop_id=shop_id)


def _refuse_another(request: Request, told_id: int, asked_id: int) -> None:
    """Raise ItemTrouble where the answer is about another thing: what was asked for would stay due for ever."""
    if told_id != asked_id:
        raise ItemTrouble(f"{request.endpoint}: the answer is about {told_id}, not {asked_id}")


def _out_of_reach(trouble: ItemTrouble) -> ItemTrouble:
    """Return the trouble as PastCap or PastEnd where its words say so."""
    for sign, error in ((PAST_CAP, PastCap), (PAST_END, PastEnd)):
        if trouble.status == 400 and sign in str(trouble):
            return error(str(trouble), status=400)
    return trouble


def _price(price: float) -> str:
    return f"{price:.2f}".removesuffix(".00")
