"""What TAXONOMY needs around the walk itself: making the plan, finding the interval, splitting, incidents."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from crawler import changes, plan
from crawler.api.records import SearchPage, TaxonomyNode
from crawler.context import Context
from crawler.forecast import foresee, load_quota
from crawler.outcome import Outcome, Position
from crawler.plan import Span
from crawler.store import index, intervals, state
from crawler.walk import Walk, has_collapsed
from models import Interval
from runtime.clock import DAY_SECONDS, iso, parse_iso
from runtime.errors import CrawlError, ItemTrouble, ServerTrouble, UserMistake

TREE_DAYS = 28.0
ADVICE = "Put an earlier position back with `python run.py restore checkpoints/state-….json`; nothing was changed."
MOST_STRAY_SHARE = 0.5
log = logging.getLogger(__name__)


class Collapsed(ServerTrouble):
    """A search suddenly lists next to nothing."""


def first_cursor(taxonomy_ids: Sequence[int]) -> dict[str, Any]:
    """Return the cursor that a cycle begins with: the whole price range of the first category."""
    return Walk(taxonomy_ids[0], 0.0, None).cursor()


def load_walk(position: Position) -> Walk:
    """Return the walk that the position holds; UserMistake where it does not fit the plan."""
    try:
        here = Walk.of_cursor(position.cursor)
    except (TypeError, ValueError) as error:
        raise UserMistake(f"The position's cursor cannot be used: {error}.", advice=ADVICE) from error
    if here.interval_id is not None:
        interval = intervals.find(here.interval_id)
        bounds = (here.taxonomy_id, here.min_price, here.max_price)
        if interval is None or (interval.taxonomy_id, interval.min_price, interval.max_price) != bounds:
            raise UserMistake(
                f"The position names the interval {here.interval_id} from {here.min_price} to {here.max_price}, "
                "which is not in the plan.",
                advice=ADVICE,
            )
    return here


def located(here: Walk, context: Context) -> Walk | None:
    """Return the walk with its interval known: the plan's next one where the cursor names none; None at the end."""
    if here.interval_id is not None:
        return here
    interval = intervals.find_next(context.cycle.number)
    return None if interval is None else walk_of(interval, here)


def walk_of(interval: Interval, here: Walk) -> Walk:
    """Return the beginning of an interval's walk."""
    return Walk(
        interval.taxonomy_id,
        interval.min_price,
        interval.max_price,
        interval_id=interval.id,
        sort_order=interval.sort_order,
        forced=bool(interval.forced),
        batch_size=here.batch_size,
        new_only=here.new_only,
    )


def interval_of(here: Walk) -> Interval:
    """Return the interval that is walked."""
    interval = intervals.find(here.interval_id or 0)
    if interval is None:
        raise UserMistake(f"The interval {here.interval_id} is not in the plan.", advice=ADVICE)
    return interval


def cursor_after(interval: Interval, here: Walk, context: Context) -> dict[str, Any]:
    """Return the cursor of the interval behind this one; of this one's end where it was the last."""
    following = intervals.find_next(context.cycle.number, interval.id)
    if following is None:
        return replace(here, interval_id=None, count=None, first_count=None).cursor()
    return walk_of(following, here).cursor()


def step(here: Walk, context: Context) -> Outcome:
    """Read the category tree where it is old or missing, then make the cycle's plan."""
    if not _is_recent(state.load_tree(), context):
        try:
            nodes = context.client.fetch_taxonomy()
        except ItemTrouble as trouble:
            return without_tree(here, context, trouble)
        read = _read_tree(nodes, context)
        return Outcome("advanced", here.cursor(), (read,), "categories")
    breaks = _breaks_now(context)
    spans = _planned_spans(context, breaks)
    # The ids of the rows are not known before they are stored: the next step asks the plan which is first.
    begun = replace(
        here,
        taxonomy_id=spans[0].taxonomy_id,
        min_price=spans[0].min_price,
        max_price=spans[0].max_price,
        new_only=not _fits(here, context),
    )
    made = changes.PlanMade(context.cycle.number, tuple(spans), _as_json(breaks))
    return Outcome("advanced", begun.cursor(), (made,), "plan")


def _fits(here: Walk, context: Context) -> bool:
    """Return whether the cycle that begins will end before the next one is to; say so where it will not."""
    place = Position("TAXONOMY", here.cursor(), context.cycle.number, context.now())
    now = context.clock.now()
    told = foresee(place, context.cycle, context.freshness, index.due_count(context.due()), load_quota(), now)
    if not told.fits:
        log.warning(
            "This cycle needs about %s calls and will end about %s, after the next one is to begin (%s). New listings "
            "come first, then those that are due, then shops with new reviews; what was found gone before and shops "
            "without news wait where the time is over. `python run.py plan` says what would make it fit.",
            f"{told.left.calls:,}",
            iso(told.ends_at),
            iso(told.due_at),
        )
    return told.fits


def without_tree(here: Walk, context: Context, trouble: CrawlError) -> Outcome:
    """Plan without the category tree where only that cannot be had."""
    log.warning("The category tree cannot be read (%s); going on without it.", trouble)
    return Outcome("advanced", here.cursor(), (_tree_read((), (), context),), "no categories")


def finish(here: Walk, context: Context) -> Outcome:
    """Write the breaks that the cycle ended with and go over to BACKFILL."""
    walked = intervals.walked_spans(context.cycle.number, context.taxonomy_ids)
    breaks = {
        taxonomy_id: plan.breaks_of_spans(span for span, _ in walked if span.taxonomy_id == taxonomy_id)
        for taxonomy_id in context.taxonomy_ids
    }
    breaks = {taxonomy_id: found for taxonomy_id, found in breaks.items() if found}
    try:
        planned_from, now = state.load_known("breaks"), _as_json(context.files.load_breaks())
        if planned_from is None or not now or now == planned_from:
            context.files.write_breaks(breaks, {node["id"]: node["name"] for node in _nodes()})
        elif now != _as_json(breaks):  # which a life before this one wrote, and died before this step's commit
            log.info("The price breaks were edited during the cycle: they stay, and the next cycle starts from them.")
    except UserMistake as mistake:  # somebody is at work on the file: leave it alone
        log.warning("%s", mistake.words())
    return Outcome("exhausted", {"batch_size": plan.PAGE_ROWS, "repairs": 0, "known_left": here.new_only})


def split(
    here: Walk, context: Context, count: int, before: tuple[changes.Change, ...], cap: int | None = None
) -> Outcome:
    """Put pieces in the place of an interval that is too large; what its first page showed is kept."""
    cap = cap_offset() if cap is None else cap
    span = Span(here.taxonomy_id, here.min_price, here.max_price)
    shown = [
        row.price.major
        for change in before
        if isinstance(change, changes.PageSeen)
        for row in change.rows
        if row.price.currency == "USD" and row.price.major is not None
    ]
    prices = _known_prices(span) + shown
    pieces = plan.cut(span, prices, plan.piece_count(count, len(prices), cap))
    note = f"{count} rows, cut into {len(pieces)}"
    # No cut is left: one price, or so narrow a range that it is as good as one.
    if len(pieces) == 1:
        children = [node for node in _nodes() if node["id"] == here.taxonomy_id]
        below = children[0]["children_ids"] if children else ()
        pieces = plan.one_price_spans(span, here.interval_id or 0, below, count, cap)
        note = f"one price with {count} rows, reached through both orders" + (
            " and child categories" if len(pieces) > 2 else ""
        )
    made = changes.IntervalSplit(here.interval_id or 0, context.cycle.number, tuple(pieces), note, context.now())
    first = pieces[0]
    begun = Walk(
        first.taxonomy_id, first.min_price, first.max_price, batch_size=here.batch_size, new_only=here.new_only
    )
    return Outcome("advanced", begun.cursor(), (*before, made), "split")


def is_too_large(here: Walk, count: int) -> bool:
    """Return whether an interval has to be split before it is walked."""
    return not here.forced and count > plan.cap_rows(cap_offset())


def cap_offset() -> int:
    """Return the largest offset that searches take."""
    learned = state.load_known("search_cap")
    return plan.DEFAULT_CAP_OFFSET if learned is None else int(learned)


def new_rows(interval: Interval, before: Sequence[changes.Change]) -> int:
    """Return how many rows of a page that is not stored yet this interval had not shown before."""
    rows = {row.listing_id for change in before if isinstance(change, changes.PageSeen) for row in change.rows}
    known = index.find(list(rows))
    seen = {
        i for i, old in known.items() if old.last_interval_id == interval.id and old.last_seen_cycle == interval.cycle
    }
    return len(rows - seen)


def raise_if_collapsed(here: Walk, count: int, context: Context) -> None:
    """Raise Collapsed where a search suddenly lists (almost) nothing: an incident, not an empty market."""
    before = here.count
    if before is None:
        span = Span(here.taxonomy_id, here.min_price, here.max_price)
        before = intervals.last_count(span, context.cycle.number)
    if has_collapsed(before, count):
        raise Collapsed(f"the search reports {count} rows where {before} were", endpoint="findAllListingsActive")


def raise_if_unfiltered(here: Walk, page: SearchPage, context: Context) -> None:
    """Raise ItemTrouble where most rows are of other categories: the filter did not take the id."""
    told = [row.taxonomy_id for row in page.rows if row.taxonomy_id is not None]
    nodes = _nodes()
    inside = set(_descend(here.taxonomy_id, nodes))
    outside = [taxonomy_id for taxonomy_id in told if taxonomy_id not in inside]
    if len(told) < 20 or not inside or len(outside) <= len(told) * MOST_STRAY_SHARE:
        return
    # An id that the tree does not know proves nothing: sellers have categories that buyers' searches lack.
    elsewhere = {*state.load_tree().get("other_ids", ()), *(node["id"] for node in nodes)}
    strays = [taxonomy_id for taxonomy_id in outside if taxonomy_id in elsewhere]
    if len(strays) > len(told) * MOST_STRAY_SHARE:
        raise ItemTrouble(f"findAllListingsActive: category {here.taxonomy_id} brought {len(strays)} rows of others")


def _is_recent(tree: Mapping[str, Any], context: Context) -> bool:
    """Return whether the tree need not be read; one that could not be had is tried again in the next cycle."""
    if tree.get("roots") != list(context.taxonomy_ids):
        return False
    read_at = parse_iso(tree["at"])
    if not tree["nodes"]:
        return read_at >= int(context.cycle.started_at)
    return context.clock.now() - read_at < TREE_DAYS * DAY_SECONDS


def _read_tree(nodes: dict[int, TaxonomyNode], context: Context) -> changes.TaxonomyRead:
    """Keep the configured part of the tree, and write it for people.

    UserMistake for an id that it does not have, ServerTrouble where the tree before had it.
    """
    unknown = [taxonomy_id for taxonomy_id in context.taxonomy_ids if taxonomy_id not in nodes]
    if unknown and {node["id"] for node in _nodes()}.issuperset(unknown):
        raise ServerTrouble(f"the tree has lost {', '.join(map(str, unknown))}", endpoint="getBuyerTaxonomyNodes")
    if nodes and unknown:
        raise UserMistake(
            f"TAXONOMY_IDS names {', '.join(map(str, unknown))}, which Etsy's category tree does not have.",
            advice="Correct it; a search for an unknown category brings a mix of everything.",
        )
    rows = tuple(
        {
            "id": node.id,
            "name": node.name,
            "parent_id": node.parent_id,
            "children_ids": list(node.children_ids),
        }
        for node in nodes.values()
    )
    below = list(dict.fromkeys(i for taxonomy_id in context.taxonomy_ids for i in _descend(taxonomy_id, rows)))
    leaves = {row["id"] for row in rows if not row["children_ids"]}
    if rows:
        context.files.write_ids(below, [i for i in below if i in leaves])
    kept = tuple(row for row in rows if row["id"] in set(below))
    return _tree_read(kept, tuple(sorted(set(nodes) - set(below))), context)


def _tree_read(nodes: tuple[dict[str, Any], ...], other_ids: tuple[int, ...], context: Context) -> changes.TaxonomyRead:
    return changes.TaxonomyRead(nodes, other_ids, context.taxonomy_ids, context.now())


def _breaks_now(context: Context) -> dict[int, list[float]]:
    """Return the file's breaks; those of the last cycle's intervals where it is damaged."""
    try:
        return context.files.load_breaks()
    except UserMistake as mistake:
        log.warning("%s The last cycle's intervals are used.", mistake)
        walked = intervals.walked_spans(context.cycle.number - 1, context.taxonomy_ids)
        return {i: plan.breaks_of_spans(s for s, _ in walked if s.taxonomy_id == i) for i in context.taxonomy_ids}


def _as_json(breaks: Mapping[int, Sequence[float]]) -> dict[str, list[float]]:
    return {str(taxonomy_id): list(found) for taxonomy_id, found in breaks.items()}


def _planned_spans(context: Context, breaks: Mapping[int, Sequence[float]]) -> list[Span]:
    """Return the cycle's intervals: the breaks, revised by what the last cycle counted."""
    walked = intervals.walked_spans(context.cycle.number - 1, context.taxonomy_ids)
    counts = {(s.taxonomy_id, s.min_price, s.max_price): count for s, count in walked if count is not None}
    spans: list[Span] = []
    for taxonomy_id in context.taxonomy_ids:
        spans += plan.spans_of_breaks(taxonomy_id, breaks.get(taxonomy_id) or [0.0])
    return plan.revise(spans, counts, _known_prices, cap_offset())


def _known_prices(span: Span) -> list[float]:
    return index.known_prices(_subtree(span.taxonomy_id), span.min_price, span.max_price)


def _nodes() -> list[dict[str, Any]]:
    return list(state.load_tree().get("nodes", ()))


def _subtree(taxonomy_id: int) -> list[int]:
    return _descend(taxonomy_id, tuple(_nodes()))


def _descend(taxonomy_id: int, nodes: Sequence[Any]) -> list[int]:
    """Return the id and all below it, parents first; empty where the tree does not have it."""
    children = {node["id"]: list(node["children_ids"]) for node in nodes}
    found: list[int] = []
    waiting = [taxonomy_id] if taxonomy_id in children else []
    while waiting:
        here = waiting.pop(0)
        found.append(here)
        waiting = [i for i in children.get(here, []) if i not in found] + waiting
    return found
