"""Which backups are kept: the newest of each hour, day and month, as far back as the rule says. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Rule:
    """How far back there is a backup for each hour, each day (UTC) and each calendar month."""

    hours: int = 24
    days: int = 30
    months: int = 12


def kept(moments: Iterable[float], now: float, rule: Rule) -> set[float]:
    """Return the moments (Unix seconds) of the backups that are kept.

    The newest of all is among them, and whatever lies in the future: a clock was wrong, the backup is not.
    """
    present = datetime.fromtimestamp(now, UTC)
    month_from = _month(present) - rule.months
    newest: dict[tuple[str, object], float] = {}
    found = set[float]()
    for moment in sorted(moments):
        made = datetime.fromtimestamp(moment, UTC)
        if moment > now:
            found.add(moment)
            continue
        if made > present - timedelta(hours=rule.hours):
            newest["hour", (made.date(), made.hour)] = moment
        if made > present - timedelta(days=rule.days):
            newest["day", made.date()] = moment
        if _month(made) > month_from:
            newest["month", _month(made)] = moment
        newest["all", None] = moment
    return found | set(newest.values())


def _month(moment: datetime) -> int:
    return moment.year * 12 + moment.month
