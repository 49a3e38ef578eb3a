"""Words and tables for a person, made of what `survey` and the audit tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from crawler import changes
from crawler.outcome import Position
from crawler.store import images
from crawler.survey import working_position
from runtime.clock import iso, parse_iso


def position_in_words(position: Position) -> str:
    """Return the position in one line."""
    place = working_position(position)
    cursor = place.cursor
    where = ""
    if place.state == "TAXONOMY":
        upper = "and up" if cursor.get("max_price") is None else f"to {cursor['max_price']}"
        where = f", category {cursor.get('taxonomy_id')}, price {cursor.get('min_price')} {upper}"
        where += f", offset {cursor.get('offset')}"
    if place.state == "REVIEWS" and cursor.get("shop_id"):
        where = f", shop {cursor['shop_id']}, offset {cursor.get('offset')}"
    if position.state == "SLEEP":
        sleep = f"SLEEP until {position.cursor.get('until')}"
        return sleep if place is position else f"{sleep} for quota, then {place.state}{where} (cycle {position.cycle})"
    return f"{place.state}{where} (cycle {position.cycle})"


def status_table(told: Mapping[str, Any]) -> Table:
    """Return the standing as a table."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for label, value in _status_rows(told):
        table.add_row(label, value)
    return table


def audit_table(report: Mapping[str, Any]) -> Table:
    """Return an audit's report as a table."""
    table = Table.grid(padding=(0, 2))
    looked_at = ", ".join(f"{number:,} {what}" for what, number in report["looked_at"].items())
    table.add_row(
        "audit",
        f"cycle {report['cycle']}, {report['finished_at']}: {'in sync' if report['in_sync'] else 'gaps'}",
    )
    table.add_row("looked at", looked_at or "nothing yet")
    for name, number in {**report["gaps"], **report["orphans"]}.items():
        examples = ", ".join(map(str, report["examples"].get(name, [])[:5]))
        table.add_row(name.replace("_", " "), f"{number:,}" + (f" (such as {examples})" if examples else ""))
    table.add_row("intervals", _numbers(report["intervals"]) or "none walked")
    table.add_row("failed items", str(report["failed_items"]))
    return table


def ids_settled(done: Iterable[changes.Change]) -> set[int]:
    """Return the listings that these changes have read, found gone or put aside."""
    settled: set[int] = set()
    for change in done:
        if isinstance(change, changes.DetailsSeen):
            settled |= {listing.record.listing_id for listing in change.listings}
        elif isinstance(change, changes.ListingsGone):
            settled |= {listing_id for listing_id, _, _ in change.listings}
        elif isinstance(change, changes.ItemFailed):
            settled.add(change.item_id)
    return settled


def _status_rows(told: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    position, quota, rows = told["position"], told["quota"], told["rows"]
    yield "running", "yes" if told["running"] else "no"
    if position is None:
        yield "position", "not started yet: python run.py"
        return
    place = Position(position["state"], position["cursor"], position["cycle"], position["entered_at"])
    yield "position", position_in_words(place)
    yield "cycle", f"{told['cycle']['number']}, since {told['cycle']['started_at']}"
    walked = told["intervals"]
    yield "intervals", f"{walked['done']} of {walked['total']} done" + _after(_numbers(walked["verdicts"]))
    due = told["due"]
    yield "due", f"{due['listings']:,} listings, {due['shops_with_reviews']:,} shops' reviews"
    yield "index", _numbers(told["listings"])
    yield "rows", _numbers({name: rows[name] for name in ("listings", "shops", "reviews", "image_status")})
    yield from _pictures(told["images"], told["downloading"], told["at"])
    yield from _vectors(told["vectors"], told["images"]["done"], told["embedding"], told["at"])
    left = "unknown" if quota["available"] is None else f"{max(0, quota['available']):,}"
    yield "quota", f"{left} of {quota['limit'] or 'unknown'} calls left, {quota['used_24h']:,} made in 24 h"
    if quota["cut_from"]:
        yield "quota cut", f"from {quota['cut_from']:,} to {quota['limit']:,}"
    yield "rate", f"{told['calls_per_second']} calls a second over the last 5 minutes"
    yield "forecast", _forecast(told["forecast"])
    if told["audit"]:
        yield (
            "last audit",
            f"{told['audit']['finished_at']}: {'in sync' if told['audit']['in_sync'] else 'gaps'}",
        )
    yield from _troubles(told)


def plan_table(told: Mapping[str, Any]) -> Table:
    """Return a forecast as a table."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("calls", "searches", "batches", "reviews", "all", "days"):
        table.add_column(name, justify="left" if name == "calls" else "right")
    for name, need in (("to the cycle's end", told["left"]), ("the last whole cycle", told["last_cycle"])):
        if need is not None:
            calls = sum(need.values())
            table.add_row(name, *(f"{number:,}" for number in [*need.values(), calls]), f"{calls / told['limit']:.1f}")
    return table


def plan_words(told: Mapping[str, Any]) -> Iterable[str]:
    """Return what follows from a forecast, in sentences."""
    assumed = ", assumed: no call has told it yet" if told["limit_assumed"] else ""
    yield f"{told['limit']:,} calls a day{assumed}."
    late = "" if told["fits"] else " It does not fit."
    ends = f"are made about {told['ends_at']}" if told["calls_left"] else "are made"
    yield f"The cycle's calls {ends}, the next cycle begins at {told['next_cycle_at']}.{late}"
    if told["last_cycle"] is None:
        yield "What a whole cycle takes is known once one is over; the first reads all reviews that there ever were."
    if told["would_fit_with"]:
        yield "A whole cycle has more calls than its days. What would have to give:"
        yield from (f"  {words}" for words in told["would_fit_with"])


def _forecast(told: Mapping[str, Any]) -> str:
    late = "" if told["fits"] else f", later than the next cycle's start ({told['next_cycle_at']}): see run.py plan"
    return f"about {told['calls_left']:,} calls to go, done about {told['ends_at']}{late}"


def _pictures(told: Mapping[str, Any], downloading: bool, at: str) -> Iterable[tuple[str, str]]:
    yield "pictures", images.in_words(told)
    if told["failed"]:
        yield "failed pictures", _numbers({name.replace("_", " "): number for name, number in told["failed"].items()})
    downloads = told["downloads"]
    if not downloading or not downloads:
        yield "downloads", "not running" if not downloading else "running"
        return
    rate, held = downloads["per_second"], downloads["held"]
    ends = f", done about {iso(parse_iso(at) + told['queued'] / rate)}" if rate and told["queued"] and not held else ""
    yield "downloads", f"{rate} a second{ends}" + _after(f"waiting: {held}" if held else "")


def _vectors(told: Mapping[str, Any], downloaded: int, embedding: bool, at: str) -> Iterable[tuple[str, str]]:
    """Yield how far embedding is; nothing in a home that never embedded anything."""
    made, run, index = told["rows"], told["embedding"], told["index"]
    if made or embedding:
        yield "vectors", f"of {made:,} images; {downloaded:,} are downloaded"
    if embedding and run:
        rate, left = run["per_second"], max(0, downloaded - made)
        yield "embedding", f"{rate} a second" + (f", done about {iso(parse_iso(at) + left / rate)}" if rate else "")
        yield "workers", _numbers_of(run["workers"], " a second")
        yield "models", _numbers_of(run["models"], " a second")
    if index:
        worst = min(index["recall"].values(), default=0.0)
        newer = f", {made - index['rows']:,} images newer" if made > index["rows"] else ""
        yield "search index", f"of {index['rows']:,} images{newer}; recall@10 of its own rows {worst:.3f} or more"


def _numbers_of(told: Mapping[str, Any], unit: str) -> str:
    return ", ".join(f"{name} {number}{unit}" for name, number in told.items())


def _troubles(told: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    if told["trouble"]:
        yield "last trouble", f"{told['trouble']['at']}: {told['trouble']['error']}"
    for item in told["failed_items"][:5]:
        yield "failed", f"{item['kind']} {item['item_id']}: {item['error']}"


def _numbers(values: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in values.items())


def _after(text: str) -> str:
    return f" ({text})" if text else ""
