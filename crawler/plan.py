"""The interval plan: how a market that no single search can reach is cut into price intervals. Pure.

The API reaches `cap_rows` rows of one search. An interval that reports more is cut at quantiles of the prices
that are already known; neighbours that are far below are merged when the next cycle is planned.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

PAGE_ROWS = 100
DEFAULT_CAP_OFFSET = 12_000
MOST_PIECES = 8
NARROWEST = 0.07  # an interval no wider than this holds one price point
MERGE_SHARE, SPLIT_SHARE = 0.90, 0.97


@dataclass(frozen=True, slots=True)
class Span:
    """One interval to walk: prices in major units (USD), both ends inclusive, None for no upper end.

    `forced` is a walk as far as the cap allows, of something that cannot be cut any further.
    """

    taxonomy_id: int
    min_price: float
    max_price: float | None
    sort_order: str = "desc"
    parent_id: int | None = None
    forced: bool = False


def cap_rows(cap_offset: int) -> int:
    """Return how many rows of one search can be reached."""
    return cap_offset + PAGE_ROWS


def spans_of_breaks(taxonomy_id: int, breaks: Sequence[float]) -> list[Span]:
    """Return the intervals between the breaks; neighbours share their end, the last one is open."""
    uppers: list[float | None] = [*breaks[1:], None]
    return [Span(taxonomy_id, low, high) for low, high in zip(breaks, uppers, strict=True)]


def breaks_of_spans(spans: Iterable[Span]) -> list[float]:
    """Return the breaks that give these intervals again."""
    return sorted({span.min_price for span in spans})


def piece_count(count: int, sample_size: int, cap_offset: int) -> int:
    """Return into how many pieces to cut `count` rows, by quantiles of a sample of that size.

    A piece must hold no more than the cap even where the sample is two standard errors off; few pieces are
    better than many, since each costs a page that is not full.
    """
    reach = cap_rows(cap_offset)
    for pieces in range(2, MOST_PIECES):
        share = 1 / pieces
        # The standard error of a quantile of a sample of this size.
        error = math.sqrt(share * (1 - share) / max(sample_size, 1))
        if count * (share + 2 * error) <= reach:
            return pieces
    return MOST_PIECES


def cut(span: Span, prices: Sequence[float], pieces: int) -> list[Span]:
    """Return the pieces of an interval, cut at quantiles of the known prices; one piece where no cut is left."""
    inside = sorted(price for price in prices if _within(price, span))
    wanted = [inside[len(inside) * part // pieces] for part in range(1, pieces)] if inside else []
    breaks = _usable(span, (_unpopular(price) for price in wanted))
    # All known prices are one: cut around it, so that the next look has it alone.
    if not breaks and inside:
        breaks = _usable(span, (_unpopular(inside[-1]), round(inside[len(inside) // 2] + 0.03, 2)))
    if not breaks:
        breaks = _usable(span, (_middle(span),))
    ends = [span.min_price, *breaks, span.max_price]
    return [replace(span, min_price=low or 0.0, max_price=high) for low, high in itertools.pairwise(ends)]


def one_price_spans(
    span: Span, interval_id: int, children_ids: Sequence[int], count: int, cap_offset: int
) -> list[Span]:
    """Return how one price with more listings than the cap is reached.

    Both orders reach twice as many. Where that is not enough, the child categories come first, and both orders
    bring what lies in none of them, as far as they go.
    """
    base = replace(span, parent_id=interval_id)
    orders = [replace(base, sort_order=order, forced=True) for order in ("desc", "asc")]
    if count <= 2 * cap_rows(cap_offset):
        return orders
    return [*(replace(base, taxonomy_id=child_id) for child_id in children_ids), *orders]


def revise(
    spans: Sequence[Span],
    counts: Mapping[tuple[int, float, float | None], int],
    prices_within: Callable[[Span], Sequence[float]],
    cap_offset: int,
) -> list[Span]:
    """Return the next cycle's plan: small neighbours merged, large intervals cut before they pass the cap.

    `counts` holds what each interval reported last time, by (taxonomy_id, min_price, max_price); intervals
    without a count (a person edited the file) stay as they are. `prices_within` is asked for the known prices of an
    interval that has to be cut.
    """
    reach = cap_rows(cap_offset)
    revised: list[tuple[Span, int | None]] = []
    for span in spans:
        count = counts.get((span.taxonomy_id, span.min_price, span.max_price))
        last, last_count = revised[-1] if revised else (None, None)
        together = (last_count or 0) + (count or 0)
        told = last_count is not None and count is not None
        if last is not None and told and _adjoin(last, span) and together <= reach * MERGE_SHARE:
            revised[-1] = (replace(last, max_price=span.max_price), together)
        else:
            revised.append((span, count))
    pieces: list[Span] = []
    for span, count in revised:
        large = count is not None and count > reach * SPLIT_SHARE
        pieces += cut(span, prices_within(span), 2) if large else [span]
    return pieces


def _adjoin(last: Span, span: Span) -> bool:
    return last.taxonomy_id == span.taxonomy_id and last.max_price == span.min_price


def _within(price: float, span: Span) -> bool:
    return price >= span.min_price and (span.max_price is None or price <= span.max_price)


def _unpopular(price: float) -> float:
    """Return a cut just below the price that few sellers ask: x.97, not x.99 or x.00.

    Neighbours share their end, so whatever costs exactly that much is seen twice.
    """
    return round(price - 0.03, 2)


def _usable(span: Span, breaks: Iterable[float]) -> list[float]:
    """Return the breaks that lie inside the interval and apart from its ends and each other."""
    if span.max_price is not None and span.max_price - span.min_price <= NARROWEST:
        return []
    kept: list[float] = []
    for price in sorted(set(breaks)):
        low = kept[-1] if kept else span.min_price
        if price - low >= 0.02 and (span.max_price is None or span.max_price - price >= 0.02):
            kept.append(price)
    return kept


def _middle(span: Span) -> float:
    """Return a cut for an interval of which no price is known: the middle of the logarithms."""
    low = max(span.min_price, 1.0)
    high = span.max_price if span.max_price is not None else low * 100
    return round(math.sqrt(low * high), 2) if high > 2 * low else round((span.min_price + high) / 2, 2)
