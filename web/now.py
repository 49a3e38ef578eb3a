"""What the page Now shows: the machine with its present state lit, where it is in it, and what comes next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crawler.machine import STATES
from crawler.outcome import Position
from crawler.report import position_in_words
from runtime.clock import iso
from web.charts import Series, bar_chart
from web.standing import Standing

HOURS = 24


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
        "curve": bar_chart(
            "Calls in each of the last 24 hours",
            [f"-{HOURS - hour} h" for hour in range(HOURS)],
            Series("calls", standing.calls_by_hour),
        ),
        "rows": list(_rows(told)) if told else [],
    }


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
    yield "Calls left today", f"{left} of {quota['limit'] or 'unknown'}; {quota['used_24h']:,} made in 24 hours"
    yield "Rate", f"{told['calls_per_second']} calls a second over five minutes; the last at {told['last_call_at']}"
    if due:
        yield "Due", f"{due['listings']:,} listings, {due['shops_with_reviews']:,} shops' reviews"
    if told.get("intervals"):
        yield "Intervals", f"{told['intervals']['done']:,} of {told['intervals']['total']:,} walked"
    forecast = told.get("forecast")
    if forecast:
        fits = "" if forecast["fits"] else f", later than the next cycle's start ({forecast['next_cycle_at']})"
        yield "Forecast", f"{forecast['calls_left']:,} calls to go, until about {forecast['ends_at']}{fits}"
    held = (images["downloads"] or {}).get("held")
    state = held or ("downloading" if told.get("downloading") else "nobody downloads")
    yield "Pictures", f"{images['queued']:,} queued, {images['done']:,} done; {state}"
    yield "Seen", f"{told['listings']['seen']:,} listings, {told['listings']['known']:,} in detail"
    yield "Rows", ", ".join(f"{told['rows'][name]:,} {name}" for name in ("shops", "reviews", "listings_dynamic"))
    if told["trouble"]:
        yield "Last error", f"{told['trouble'].get('at', '')}: {told['trouble'].get('error', '')}"
