"""What the page Now shows: the machine with its present state lit, where it is in it, and what comes next."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from crawler.machine import STATES
from crawler.outcome import Position
from crawler.report import position_in_words
from runtime.clock import DAY_SECONDS, iso
from web.charts import Series, bar_chart, line_chart
from web.pages import number
from web.standing import Standing

STEP_SECONDS = 1800.0
MOST_ERRORS = 3


def now_context(standing: Standing) -> dict[str, Any]:
    """Return what the template says."""
    told = standing.told
    position = told.get("position")
    return {
        "at": iso(standing.at),
        "trouble": standing.trouble,
        "told": told,
        "running": bool(told.get("running")),
        "states": [
            (state.name, state.does, position is not None and position["state"] == state.name) for state in STATES
        ],
        "place": _place(position),
        "interval": _interval(told),
        "curves": _curves(standing),
        "rows": list(_rows(told)) if told else [],
    }


def count_calls(standing: Standing) -> tuple[list[float], list[float], list[int]]:
    """Return the half hours of the last day: when each ends, its calls a second, the calls of the day before that end.

    Moments are Unix seconds.
    """
    steps = int(DAY_SECONDS // STEP_SECONDS)
    moments = [standing.at - DAY_SECONDS + STEP_SECONDS * (step + 1) for step in range(steps)]
    minutes = [minute for minute, _ in standing.calls]
    sums = [0, *accumulate(count for _, count in standing.calls)]

    def made(seconds: float) -> list[int]:
        return [sums[bisect_left(minutes, at)] - sums[bisect_left(minutes, at - seconds)] for at in moments]

    return moments, [calls / STEP_SECONDS for calls in made(STEP_SECONDS)], made(DAY_SECONDS)


def _curves(standing: Standing) -> list[tuple[str, str]]:
    """Return the charts of a day's calls, with their titles."""
    moments, rate, used = count_calls(standing)
    if not any(used):
        return []
    labels = [iso(moment)[11:16] for moment in moments]
    limit = (standing.told.get("quota") or {}).get("limit")
    lines = [Series("calls of 24 hours", used), *([Series("limit", [limit] * len(used))] if limit else [])]
    quota = line_chart("Calls of the 24 hours before", labels, lines, with_legend=True)
    charts = {"Calls a second": bar_chart("Calls a second", labels, Series("calls", rate)), "The quota": quota}
    return [(title, chart) for title, chart in charts.items() if chart]


def _next(told: Mapping[str, Any]) -> list[str]:
    """Return what comes next, the soonest first."""
    position, forecast, quota = told.get("position") or {}, told.get("forecast") or {}, told["quota"]
    asleep = position.get("state") == "SLEEP"
    events = {
        "the crawl wakes": (position.get("cursor") or {}).get("until") if asleep else None,
        "a call is free again": quota["next_call_at"] if quota["available"] == 0 else None,
        "the cycle's calls are made": forecast.get("ends_at") if forecast.get("calls_left") else None,
        "the next cycle begins": forecast.get("next_cycle_at"),
    }
    return [f"{what} at {at}" for what, at in sorted(events.items(), key=lambda one: one[1] or "") if at]


def _place(position: Mapping[str, Any] | None) -> str:
    if position is None:
        return "not started yet"
    return position_in_words(Position(position["state"], position["cursor"], position["cycle"], position["entered_at"]))


def _interval(told: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the interval that is walked, its number among them and how much of it was seen."""
    position, intervals = told.get("position"), told.get("intervals")
    if not position or not intervals:
        return None
    current = position["cursor"].get("interval_id")
    plan = [row for row in intervals["plan"] if row["status"] != "split"]
    for place, row in enumerate(plan, 1):
        if row["id"] == current:
            reported = row["reported_count"] or 0
            seen = min(1.0, row["distinct_rows"] / reported) if reported else 0.0
            return {**row, "place": place, "of": len(plan), "seen": round(seen * 100)}
    return None


def _rows(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    quota, due, images = told["quota"], told.get("due"), told["images"]
    left = "unknown" if quota["available"] is None else f"{max(0, quota['available']):,}"
    yield "Calls left today", f"{left} of {number(quota['limit'])}; {quota['used_24h']:,} made in 24 hours"
    yield "Rate", f"{told['calls_per_second']} calls a second over five minutes; the last at {told['last_call_at']}"
    if due:
        yield "Due", f"{due['listings']:,} listings, {due['shops_with_reviews']:,} shops' reviews"
    if told.get("intervals"):
        yield "Intervals", f"{told['intervals']['done']:,} of {told['intervals']['total']:,} walked"
    forecast = told.get("forecast")
    if forecast:
        fits = "" if forecast["fits"] else f", later than the next cycle's start ({forecast['next_cycle_at']})"
        yield "Forecast", f"{forecast['calls_left']:,} calls to go, until about {forecast['ends_at']}{fits}"
    if coming := _next(told):
        yield "Next", "; ".join(coming)
    held = (images["downloads"] or {}).get("held")
    state = held or ("downloading" if told.get("downloading") else "nobody downloads")
    yield "Pictures", f"{images['queued']:,} queued, {images['done']:,} done; {state}"
    yield "Seen", f"{told['listings']['seen']:,} listings, {told['listings']['known']:,} in detail"
    yield "Rows", ", ".join(f"{told['rows'][name]:,} {name}" for name in ("shops", "reviews", "listings_dynamic"))
    if told["trouble"]:
        yield "Last trouble", f"{told['trouble'].get('at', '')}: {told['trouble'].get('error', '')}"
    for item in told.get("failed_items", [])[:MOST_ERRORS]:
        yield f"Failed {item['kind']}", f"{item['item_id']}, at {item['last_failed_at']}: {item['error']}"
