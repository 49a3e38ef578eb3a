"""From a step's changes to rows: one function a kind of change, in the order given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from crawler import changes
from crawler.store import audit, details, failures, images, index, intervals, reviews, shops, state


def write(wanted: Iterable[changes.Change]) -> None:
    """Write all changes; the caller holds the transaction."""
    for change in wanted:
        WRITERS[type(change)](change)


def _write_plan(change: changes.PlanMade) -> None:
    intervals.write_plan(change)
    failures.clear("interval", sorted(failures.failed_ids("interval")))  # the plan's intervals walk their prices anew
    state.save("breaks", dict(change.breaks))


def _write_taxonomy(change: changes.TaxonomyRead) -> None:
    state.save("taxonomy", asdict(change))


def _write_cap(change: changes.CapLearned) -> None:
    state.save("search_cap", change.offset)


def _write_shop(change: changes.DetailsSeen) -> None:
    details.write_details(change)
    failures.clear("shop", [shop.record.shop_id for shop in change.shops])


def _write_shop_gone(change: changes.ShopGone) -> None:
    shops.write_gone(change)
    failures.clear("shop", [change.shop_id])


def _write_visit(change: changes.VisitDone) -> None:
    shops.write_visit(change)
    failures.clear("reviews", [change.shop_id])


def _write_audit(change: changes.AuditDone) -> None:
    state.save("audit", dict(change.report))


WRITERS: dict[type[Any], Callable[[Any], None]] = {
    changes.PlanMade: _write_plan,
    changes.TaxonomyRead: _write_taxonomy,
    changes.PageSeen: index.write_page,
    changes.CapLearned: _write_cap,
    changes.IntervalSplit: intervals.write_split,
    changes.IntervalClosed: intervals.write_closed,
    changes.DetailsSeen: _write_shop,
    changes.ListingsGone: details.write_gone,
    changes.ShopGone: _write_shop_gone,
    changes.ImagesSeen: details.write_images,
    changes.ReviewsSeen: reviews.write,
    changes.VisitDone: _write_visit,
    changes.ItemFailed: failures.write,
    changes.RepairsQueued: audit.write_repairs,
    changes.PicturesLost: images.write_lost,
    changes.AuditDone: _write_audit,
}
