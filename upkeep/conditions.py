"""What a person should hear of, decided from what is known of the home. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.clock import iso, parse_iso
from upkeep.ends import AT_WORK, End
from upkeep.records import Record

HOUR_SECONDS = 3600.0
STALLED_HOURS = 6.0
BEHIND_HOURS = {"backup": 24.0, "mirror": 6.0, "mirror-tars": 72.0}
RELIEF = 1.2  # of MIN_FREE_GB, until a disk that was low counts as free again
GB = 1e9


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that needs a person: its name (the same as long as it lasts), what is wrong, and what to do."""

    name: str
    words: str
    advice: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a home at `now` (Unix seconds).

    `told` is what `status --json` tells, empty where the database cannot be read, which `trouble` says; `end` is how
    the crawl ended last; `free` the bytes free on each disk by a folder on it; `records` what became of backups and
    mirrors, by work and folder; `standing` the names of the alerts that were told and are not over.
    """

    now: float
    told: Mapping[str, Any]
    trouble: str = ""
    end: End | None = None
    free: Mapping[str, int] = field(default_factory=dict)
    min_free_gb: float = 5.0
    records: Mapping[str, Mapping[str, Record]] = field(default_factory=dict)
    standing: Collection[str] = ()


def alerts(facts: Facts) -> list[Alert]:
    """Return everything that needs a person now."""
    return [alert for condition in CONDITIONS for alert in condition(facts)]


def _database(facts: Facts) -> Iterator[Alert]:
    if facts.trouble:
        yield Alert("database", facts.trouble, "")


def _ended(facts: Facts) -> Iterator[Alert]:
    end = facts.end
    if end is not None and end.status > 0 and not facts.told.get("running"):
        name = "key-refused" if end.status == 3 else "crashed" if end.status == 1 else "ended"
        yield Alert(name, f"The crawl ended by itself at {end.at}: {end.words}", "Then start it: python run.py")


def _died(facts: Facts) -> Iterator[Alert]:
    """Tell of a crawl that is gone and left no word: killed, or the computer went down."""
    if facts.end is not None and facts.end.status == AT_WORK and facts.told.get("running") is False:
        yield Alert(
            "gone",
            f"The crawl that was started at {facts.end.at} is not running any more, and nobody stopped it.",
            "Start it: python run.py",
        )


def _stalled(facts: Facts) -> Iterator[Alert]:
    position, last = facts.told.get("position"), _moment(facts.told.get("last_call_at"))
    if not facts.told.get("running") or position is None or last is None:
        return
    asleep_until = _moment(position["cursor"].get("until")) if position["state"] == "SLEEP" else None
    since = max(last, asleep_until or 0.0, _moment(position.get("entered_at")) or 0.0)
    if facts.now - since < STALLED_HOURS * HOUR_SECONDS:
        return
    trouble = facts.told.get("trouble") or {}
    words = f" The last error: {trouble['error']}" if trouble.get("error") else ""
    yield Alert(
        "stalled",
        f"The crawl runs, and has made no call since {iso(last)} ({position['state']}).{words}",
        "Look at `python run.py doctor` and logs/crawler.log.",
    )


def _quota(facts: Facts) -> Iterator[Alert]:
    quota = facts.told.get("quota") or {}
    limit, before = quota.get("limit"), quota.get("cut_from")
    if limit and before and limit < before:
        yield Alert(
            "quota-cut",
            f"Etsy has cut the day's calls from {before:,} to {limit:,} at {iso(quota.get('cut_at') or 0)}.",
            "Look at your app's page at Etsy; `python run.py plan` says what still fits.",
        )


def _late(facts: Facts) -> Iterator[Alert]:
    forecast, position = facts.told.get("forecast") or {}, facts.told.get("position") or {}
    at_work = position.get("state") != "SLEEP" or position["cursor"].get("reason") == "quota"
    if at_work and forecast and not forecast["fits"] and not forecast["limit_assumed"]:
        yield Alert(
            f"cycle-late-{position.get('cycle')}",
            f"Cycle {position.get('cycle')} ends about {forecast['ends_at']}, "
            f"after the next one should begin ({forecast['next_cycle_at']}).",
            " ".join(forecast["would_fit_with"]) or "`python run.py plan` says what it needs.",
        )


def _disks(facts: Facts) -> Iterator[Alert]:
    for folder, free in facts.free.items():
        name = f"disk:{folder}"
        needed = facts.min_free_gb * (RELIEF if name in facts.standing else 1.0)
        if free < needed * GB:
            yield Alert(
                name,
                f"{free / GB:.1f} GB are free on the disk of {folder}; MIN_FREE_GB is {facts.min_free_gb:g}.",
                "Free some space there.",
            )
    held = ((facts.told.get("images") or {}).get("downloads") or {}).get("held")
    if held:
        yield Alert("downloads-held", f"The downloads wait: {held}.", "They go on by themselves once that is mended.")


def _copies(facts: Facts) -> Iterator[Alert]:
    for work, records in facts.records.items():
        command = {"mirror-tars": "mirror --tars"}.get(work, work)
        for folder, record in records.items():
            good = _moment(record.good_at)
            if record.trouble:
                yield Alert(f"{work}:{folder}", f"`{command}` failed at {record.tried_at}: {record.trouble}", "")
            elif good is not None and facts.now - good > BEHIND_HOURS[work] * HOUR_SECONDS:
                yield Alert(
                    f"{work}-behind:{folder}",
                    f"The last {work} in {folder} is of {record.good_at}.",
                    f"Is it still scheduled (`python run.py schedule`)? By hand: python run.py {command}",
                )


def _audit(facts: Facts) -> Iterator[Alert]:
    audit = facts.told.get("audit") or {}
    gaps = {name: number for name, number in (audit.get("gaps") or {}).items() if number}
    if gaps and not audit.get("repairs_queued"):
        told = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in gaps.items())
        yield Alert(
            f"audit-{audit.get('cycle')}",
            f"The audit of cycle {audit.get('cycle')} found gaps that two rounds of repairs left: {told}.",
            "`python run.py verify` shows examples.",
        )


def _moment(text: Any) -> float | None:
    return parse_iso(text) if text else None


CONDITIONS: tuple[Callable[[Facts], Iterator[Alert]], ...] = (
    *(_database, _ended, _died, _stalled, _quota, _late, _disks, _copies, _audit),
)
