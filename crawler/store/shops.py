"""Shops: static rows, dynamic rows, and what the crawler knows about asking for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from peewee import SQL

from crawler.changes import DetailedShop, ShopGone, VisitDone
from crawler.freshness import ShopFigures
from crawler.store import failures, reviews
from crawler.store.index import Due
from models import IndexedShop, Shop, ShopDynamic
from models.crawl import REVIEW_DUE
from runtime import bulk


class ShopRow(NamedTuple):
    """What is known about asking for a shop; the fields are columns of the index."""

    shop_id: int
    known: int
    detail_due_at: str | None
    detail_cycle: int
    watermark: int | None
    visited_at: str | None
    visited_review_count: int | None
    visited_review_average: float | None
    visited_sold_count: int | None
    told_at: int | None
    visited_known: int | None


FOUND_COLUMNS = tuple(getattr(IndexedShop, name) for name in ShopRow._fields)
STATIC = ("create_date", "url", "is_shop_us_based", "shipping_from_country_iso", "shop_location_country_iso")
FIGURES = (
    "update_date",
    "listing_active_count",
    "accepts_custom_requests",
    "num_favorers",
    "transaction_sold_count",
    "review_average",
    "review_count",
)
DYNAMIC_ROW = (ShopDynamic.shop, ShopDynamic.snapshot_timestamp, *(getattr(ShopDynamic, name) for name in FIGURES))
figures_of = attrgetter(*FIGURES)


def write_named(shop_ids: Iterable[int], cycle: int, at: str) -> None:
    """Make room for shops that listings name: an id alone where nothing is known yet, due at once."""
    ids = sorted(set(shop_ids))
    if not ids:
        return
    bulk.insert_new_tuples([Shop.shop_id], [(shop_id,) for shop_id in ids])
    fields = (IndexedShop.shop_id, IndexedShop.seen_cycle, IndexedShop.detail_due_at)
    bulk.upsert_differing(fields, [(shop_id, cycle, at) for shop_id in ids], [IndexedShop.seen_cycle])


def write_details(shops: Sequence[DetailedShop], cycle: int, at: str) -> None:
    """Write shops that an answer brought and that are named already: static data once, a dynamic row each."""
    if not shops:
        return
    ids = [shop.record.shop_id for shop in shops]
    named = {row[0] for row in bulk.find(Shop.shop_id, ids, (Shop.shop_id, Shop.snapshot_timestamp)) if row[1] is None}
    static = [
        {
            "shop_id": shop.record.shop_id,
            "snapshot_timestamp": at,
            **{name: getattr(shop.record, name) for name in STATIC},
        }
        for shop in shops
        if shop.record.shop_id in named
    ]
    bulk.update(Shop, static, [Shop.shop_id])
    bulk.insert_new_tuples(DYNAMIC_ROW, [(shop.record.shop_id, at, *figures_of(shop.record)) for shop in shops])
    read = {"known": 1, "gone": 0, "detail_cycle": cycle}
    # A visit that is due already stays due, whatever the figures say now.
    for due, more in ((True, {"review_due": 1}), (False, {})):
        rows = [
            {
                "shop_id": shop.record.shop_id,
                **read,
                **more,
                "detail_due_at": shop.detail_due_at,
                "told_at": shop.told_at,
            }
            for shop in shops
            if shop.review_due == due
        ]
        bulk.update(IndexedShop, rows, [IndexedShop.shop_id])


def write_gone(change: ShopGone) -> None:
    """Note that the API no longer knows the shop."""
    IndexedShop.update(gone=1, detail_cycle=change.cycle, detail_due_at=change.detail_due_at).where(
        IndexedShop.shop_id == change.shop_id
    ).execute()


def write_visit(change: VisitDone) -> None:
    """Note that all of a shop's reviews up to the watermark are in."""
    IndexedShop.update(
        watermark=change.watermark,
        visited_at=change.at,
        visited_review_count=change.figures.review_count,
        visited_review_average=change.figures.review_average,
        visited_sold_count=change.figures.sold_count,
        visited_known=reviews.count(change.shop_id),
        review_due=0,
        review_cycle=change.cycle,
    ).where(IndexedShop.shop_id == change.shop_id).execute()


def find(shop_ids: Iterable[int]) -> Mapping[int, ShopRow]:
    """Return what is known about asking for these shops, those never met left out."""
    return {row[0]: ShopRow(*row) for row in bulk.find(IndexedShop.shop_id, shop_ids, FOUND_COLUMNS)}


def find_one(shop_id: int) -> ShopRow | None:
    """Return what is known about asking for this shop, None where it was never met."""
    return find([shop_id]).get(shop_id)


def visited_figures(shop: ShopRow | None) -> ShopFigures | None:
    """Return the shop's figures at the last review visit, None before the first."""
    if shop is None or shop.visited_at is None:
        return None
    return ShopFigures(shop.visited_review_count, shop.visited_review_average, shop.visited_sold_count)


def latest_figures(shop_id: int) -> ShopFigures:
    """Return the shop's figures by its latest dynamic row, all None where there is none."""
    row = (
        ShopDynamic.select().where(ShopDynamic.shop == shop_id).order_by(ShopDynamic.snapshot_timestamp.desc()).first()
    )
    if row is None:
        return ShopFigures(None, None, None)
    return ShopFigures(row.review_count, row.review_average, row.transaction_sold_count)


def due_details(due: Due, limit: int) -> list[int]:
    """Return shops with listings in this cycle that no batch has brought and that are due."""
    query = IndexedShop.select(IndexedShop.shop_id).where(*is_due(due))
    return bulk.first_column(query.order_by(IndexedShop.detail_due_at, IndexedShop.shop_id).limit(limit))


def is_due(due: Due) -> tuple[Any, ...]:
    """Return the conditions that a shop is to be asked for by itself."""
    return (
        IndexedShop.seen_cycle == due.cycle,
        IndexedShop.detail_due_at < due.horizon,
        IndexedShop.detail_cycle < IndexedShop.seen_cycle,  # as the index says it
    )


def is_review_due(cycle: int) -> tuple[Any, ...]:
    """Return the conditions that a shop's figures moved, or a person wants it, and its reviews are not read yet."""
    return SQL(REVIEW_DUE), IndexedShop.review_cycle < cycle


def moved(cycle: int, limit: int) -> list[int]:
    """Return shops whose figures moved and whose reviews are not read yet, by ascending id."""
    query = IndexedShop.select(IndexedShop.shop_id).where(*is_review_due(cycle))
    return bulk.first_column(query.order_by(IndexedShop.shop_id).limit(limit))


def due_reviews(cycle: int, revisit_before: str, limit: int) -> list[int]:
    """Return shops whose reviews are due: those whose figures moved first, then those not visited for long."""
    found = moved(cycle, limit)
    if len(found) < limit:
        old = IndexedShop.select(IndexedShop.shop_id).where(
            IndexedShop.visited_at < revisit_before,
            IndexedShop.review_due == 0,
            IndexedShop.review_cycle < cycle,
            IndexedShop.gone == 0,
        )
        rest = old.order_by(IndexedShop.visited_at, IndexedShop.shop_id).limit(limit - len(found))
        found += bulk.first_column(rest)
    return found


def failed_reviews(cycle: int, after_id: int, limit: int) -> list[int]:
    """Return shops behind `after_id` whose reviews could not be read in this cycle, by ascending id.

    One that was taken up again just as the last of the others was read is among them.
    """
    query = IndexedShop.select(IndexedShop.shop_id).where(
        IndexedShop.shop_id.in_(list(failures.failed_ids("reviews"))),
        IndexedShop.shop_id > after_id,
        (IndexedShop.review_cycle == cycle) | (IndexedShop.review_due == 1),
    )
    return bulk.first_column(query.order_by(IndexedShop.shop_id).limit(limit))


def due_review_count(cycle: int) -> int:
    """Return how many shops' figures moved and whose reviews are not read yet."""
    return int(IndexedShop.select().where(*is_review_due(cycle)).count())


def visit_count(since: str) -> int:
    """Return how many shops' reviews were read since that moment."""
    return int(IndexedShop.select().where(IndexedShop.visited_at >= since).count())
