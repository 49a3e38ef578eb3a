"""What was told of alerts, and what is to be told next: each once, and once more when it is over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from runtime.clock import iso
from runtime.settings import Home
from upkeep.conditions import Alert
from upkeep.notes import load_note, save_note

NAME = "alerts"
DIGEST_HOUR = 7  # UTC


@dataclass(frozen=True, slots=True)
class Told:
    """What was told: each standing alert with its words and since when, and the last digest with its counts."""

    standing: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    digest_day: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class News:
    """What has changed since it was told last: new alerts, and the words of those that are over."""

    new: tuple[Alert, ...]
    over: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return it as lines for a person."""
        found = [f"! {alert.words} {alert.advice}".rstrip() for alert in self.new]
        return found + [f"Over: {words}" for words in self.over]


def news(told: Told, standing: Iterable[Alert], now: float) -> tuple[News, Told]:
    """Return what is to be told now, and what will have been told then."""
    there = {alert.name: alert for alert in standing}
    new = tuple(alert for name, alert in there.items() if name not in told.standing)
    over = tuple(
        f"{before['words']} (since {before['since']})" for name, before in told.standing.items() if name not in there
    )
    kept = {name: before for name, before in told.standing.items() if name in there}
    added = {alert.name: {"words": alert.words, "since": iso(now)} for alert in new}
    return News(new, over), Told({**kept, **added}, told.digest_day, told.counts)


def is_digest_due(told: Told, now: float) -> bool:
    """Return whether today's digest has yet to be told."""
    moment = iso(now)
    return moment[:10] > told.digest_day and int(moment[11:13]) >= DIGEST_HOUR


def digest(told: Told, facts: Mapping[str, Any], standing: Iterable[Alert], now: float) -> tuple[list[str], Told]:
    """Return the day's digest as lines, and what will have been told then."""
    rows: Mapping[str, int] = facts.get("rows") or {}
    lines = list(_standing_in_words(facts))
    for table, number in rows.items():
        more = number - told.counts.get(table, number)
        lines.append(f"{table}: {number:,}" + (f" ({more:+,})" if more else ""))
    lines += [f"! {alert.words}" for alert in standing] or ["Nothing needs you."]
    return lines, Told(told.standing, iso(now)[:10], dict(rows))


def _standing_in_words(facts: Mapping[str, Any]) -> Iterator[str]:
    position, quota, forecast = (facts.get(name) for name in ("position", "quota", "forecast"))
    if position:
        running = "Running" if facts.get("running") else "Not running"
        yield f"{running}: {position['state']}, cycle {position['cycle']}."
    if quota:
        yield f"Calls in 24 hours: {quota.get('used_24h', 0):,} of {quota.get('limit') or '?'}."
    if forecast:
        yield f"{forecast['calls_left']:,} calls are left in this cycle, until about {forecast['ends_at']}."


def load_told(home: Home) -> Told:
    """Return what was told; nothing where nothing was, or what is kept makes no sense."""
    try:
        return Told(**(load_note(home, NAME) or {}))
    except TypeError:
        return Told()


def load_alerts(home: Home) -> list[Mapping[str, str]]:
    """Return the alerts that were told and are not over, each with its words and since when."""
    return list(load_told(home).standing.values())


def save_told(home: Home, told: Told) -> None:
    """Keep what was told; OSError, OperatorNeeded."""
    save_note(home, NAME, asdict(told))
