"""When something is to be asked for again. Pure: values and moments in, moments out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runtime.clock import DAY_SECONDS, iso

REVIEW_DOUBT_DAYS = 28.0
REVIEW_REVISIT_DAYS = 100.0
MOST_DOUBLINGS = 6
CLOCK_SPARE_SECONDS = 3600.0  # computers set their clocks right by seconds now and then
TELLING_SALES = 8
HALF_A_STAR = 0.5
YOUNG_DAYS = 360.0  # a year, with room for clocks that differ
GONE_SHOP_IDLE = 2  # a shop that is gone is asked for again after four times the age limit


@dataclass(frozen=True, slots=True)
class Cycle:
    """One round of the machine: its number and when it began (Unix seconds)."""

    number: int
    started_at: float


@dataclass(frozen=True, slots=True)
class ShopFigures:
    """The figures of a shop that move when there is a new review."""

    review_count: int | None
    review_average: float | None
    sold_count: int | None


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old rows may grow, and how long a cycle is (days)."""

    max_age_days: float
    cycle_days: float

    def next_due(self, now: float, idle_count: int) -> str:
        """Return when a listing or shop fetched now is due again.

        What was found not active `idle_count` times in a row is asked for less and less often: after one,
        two, four … times the age limit.
        """
        return iso(now + self.max_age_days * DAY_SECONDS * 2 ** min(idle_count, MOST_DOUBLINGS))

    def horizon(self, cycle: Cycle, now: float) -> str:
        """Return the moment before which a due date counts as due in this cycle.

        What would grow too old before the next cycle begins is due already: a listing fetched three hours
        into one weekly cycle is fetched again in the next, even where that one reaches it an hour sooner.
        """
        return iso(max(now, cycle.started_at + self.cycle_days * DAY_SECONDS))

    def latest_due(self, now: float) -> str:
        """Return the latest moment at which what was found active can be due."""
        return iso(now + self.max_age_days * DAY_SECONDS + CLOCK_SPARE_SECONDS)

    def next_cycle_at(self, cycle: Cycle, now: float) -> float:
        """Return when the next cycle begins."""
        return max(now, cycle.started_at + self.cycle_days * DAY_SECONDS)


def review_visit_due(
    now_figures: ShopFigures,
    visited: ShopFigures | None,
    met_before: bool,
    is_young: bool = False,
    visited_days: float = 0.0,
) -> bool:
    """Return whether a shop's reviews are worth a call, by its figures now and at the last visit, so many days ago.

    The number covers the past year. What is older was read at the first visit, or cannot be: a shop that was met
    before and not visited had no sale then, and one that `is_young` was not there. Most sales bring no review, so
    where the number is not told some have to be made. Where number and average stand still, one review may have come
    as another left the year: after some weeks sales are a reason, too.
    """
    count, sold = now_figures.review_count, now_figures.sold_count
    if visited is not None:
        moved = count != visited.review_count or _average_moved(now_figures, visited)
        return moved or (visited_days >= REVIEW_DOUBT_DAYS and (sold is None or sold != visited.sold_count))
    if not (met_before or is_young):
        return bool(count) or sold != 0
    return count > 0 if count is not None else sold is None or sold >= TELLING_SALES


def _average_moved(now: ShopFigures, before: ShopFigures) -> bool:
    """Return whether the average of as many reviews is another one: one that differs moves their sum by a whole star.

    What is below half of one is the rounding of those who tell it and of `counted_in`.
    """
    if now.review_average is None or before.review_average is None:
        return now.review_average is not before.review_average
    return abs(now.review_average - before.review_average) * (now.review_count or 1) >= HALF_A_STAR


def counted_in(figures: ShopFigures, ratings: Sequence[int | None]) -> ShopFigures:
    """Return the figures as they are once these reviews have come; the average is unknown where one has no rating.

    A number that is not told counts as none: where it was another one, the next figures have moved.
    """
    if not ratings:
        return figures
    count, average = figures.review_count or 0, figures.review_average
    told = [rating for rating in ratings if rating is not None]
    if len(told) < len(ratings) or (count and average is None):
        average = None
    else:
        average = (count * (average or 0.0) + sum(told)) / (count + len(told))
    return replace(figures, review_count=count + len(ratings), review_average=average)


def is_young(created: int | None, now: float) -> bool:
    """Return whether a shop, opened then, is so new that the past year holds all its reviews."""
    return created is not None and now - created < YOUNG_DAYS * DAY_SECONDS


def revisit_before(now: float) -> str:
    """Return the moment before which a visit is so old that the shop is visited whatever its figures say."""
    return iso(now - REVIEW_REVISIT_DAYS * DAY_SECONDS)
