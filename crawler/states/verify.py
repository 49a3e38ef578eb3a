"""VERIFY: hold the data set against itself, without a call; queue repairs at most twice a cycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from crawler import changes
from crawler.api.client import PAGE_ROWS
from crawler.context import Context
from crawler.outcome import Outcome, Position
from crawler.store import audit, failures, intervals
from crawler.store.index import Due
from runtime.findings import BACKGROUND_FREE_GAPS, RAW_GAPS, FileChecks, Findings

STRETCH = 5_000
MOST_REPAIRS = 2
EXAMPLES = 20
Check = Callable[[int], Findings]
OF_BACKFILL = ("listing", "images", "shop")
"""The kinds of failed items that BACKFILL reads where a person has taken them up again."""
IMAGE_GAPS = ("images_missing", "primary_not_one", "images_failed")


def step(position: Position, context: Context) -> Outcome:
    """Audit one stretch, or as many small ones as make one, or finish with the report."""
    audited = dict(position.cursor)
    rounds = audited.get("repairs", 0)
    checks = _checks(context.due(), context.file_checks)
    if audited.get("check", next(iter(checks))) not in checks:
        return _finish(audited, context)
    wanted: list[changes.Change | None] = []
    left = STRETCH
    while left > 0 and (check := audited.get("check", next(iter(checks)))) in checks:
        found = checks[check](audited.get("after", 0))
        left -= found.looked_at
        _note(audited, check, found)
        # After two rounds the rest is told in the report: what two rounds could not mend, a third will not.
        repairs = _repairs(check, found, context, rounds) if rounds < MOST_REPAIRS else None
        audited["queued"] = audited.get("queued", False) or repairs is not None
        following = [*list(checks)[list(checks).index(check) + 1 :], "report"]
        audited["check"], audited["after"] = (following[0], 0) if found.last_id is None else (check, found.last_id)
        wanted += [repairs, _lost(found)]
    return Outcome("advanced", audited, tuple(change for change in wanted if change), "audit")


def audit_all(due: Due, file_checks: FileChecks, at: str) -> dict[str, Any]:
    """Return the report of an audit made at once, that queues nothing."""
    audited: dict[str, Any] = {}
    for name, check in _checks(due, file_checks).items():
        last_id: int | None = 0
        while last_id is not None:
            found = check(last_id)
            _note(audited, name, found)
            last_id = found.last_id
    return report(audited, due.cycle, at)


def report(audited: Mapping[str, Any], cycle: int, at: str) -> dict[str, Any]:
    """Return the report of an audit that looked at everything."""
    told = audited.get("gaps", {})
    orphans = {name: number for name, number in told.items() if name in audit.ORPHANS}
    gaps = {name: number for name, number in told.items() if name not in audit.ORPHANS}
    return {
        "cycle": cycle,
        "finished_at": at,
        "looked_at": audited.get("looked_at", {}),
        "gaps": gaps,
        "examples": audited.get("examples", {}),
        "orphans": orphans,
        "intervals": intervals.verdicts(cycle),
        "failed_items": failures.count(),
        "repairs_queued": bool(audited.get("queued")),
        "in_sync": not told,
    }


def _checks(due: Due, file_checks: FileChecks) -> dict[str, Check]:
    """Return the checks in their order, each from an id to what it finds behind it."""
    return {
        "listings": partial(audit.check_listings, limit=STRETCH, due=due),
        "shops": partial(audit.check_shops, limit=STRETCH, due=due),
        **{name: partial(audit.check_orphans, name, limit=STRETCH) for name in audit.ORPHANS},
        **{name: partial(check, due.cycle) for name, check in file_checks.items()},
    }


def _lost(found: Findings) -> changes.PicturesLost | None:
    """Return what becomes of pictures whose files are not as their rows say."""
    raw = {outcome: tuple(found.gaps[name]) for name, outcome in RAW_GAPS.items() if name in found.gaps}
    background_free = tuple(i for name in BACKGROUND_FREE_GAPS for i in found.gaps.get(name, ()))
    return changes.PicturesLost(raw, background_free) if raw or background_free else None


def _finish(audited: Mapping[str, Any], context: Context) -> Outcome:
    round_number = audited.get("repairs", 0)
    if round_number < MOST_REPAIRS and any(audit.taken_up(kind, context.due()) for kind in OF_BACKFILL):
        audited = {**audited, "queued": True}
    made = report(audited, context.cycle.number, context.now())
    context.files.write_report(f"audit-cycle-{context.cycle.number}-{round_number}", made)
    done = (changes.AuditDone(made),)
    if audited.get("queued"):
        return Outcome("gaps_found", {"batch_size": PAGE_ROWS, "repairs": round_number + 1}, done, "gaps")
    return Outcome("in_sync", {}, done, "in sync")


def _note(audited: dict[str, Any], check: str, found: Findings) -> None:
    looked_at = audited.get("looked_at", {})
    if check not in audit.ORPHANS:  # whose rows are counted by what they belong to
        audited["looked_at"] = {**looked_at, check: looked_at.get(check, 0) + found.looked_at}
    gaps, examples = dict(audited.get("gaps", {})), dict(audited.get("examples", {}))
    told: Mapping[str, Sequence[int | str]] = {**found.gaps, **found.strays}
    for name, things in told.items():
        gaps[name] = gaps.get(name, 0) + len(things)
        examples[name] = [*examples.get(name, []), *things][:EXAMPLES]
    audited["gaps"], audited["examples"] = gaps, examples


def _repairs(check: str, found: Findings, context: Context, rounds: int) -> changes.RepairsQueued | None:
    """Return what to ask for again; what cannot be read gets a second chance in the first round only."""
    failed = {kind: failures.failed_ids(kind) if rounds else set() for kind in ("listing", "images", "shop")}
    images = {i for name in IMAGE_GAPS for i in found.gaps.get(name, ())} - failed["images"]
    whole = {i for name, ids in found.gaps.items() if name not in IMAGE_GAPS for i in ids}
    listings = whole - failed["listing"] if check == "listings" else set()
    shops = whole - failed["shop"] if check == "shops" else set()
    if not (listings or shops or images):
        return None
    at, cycle = context.now(), context.cycle.number
    return changes.RepairsQueued(tuple(sorted(listings)), tuple(sorted(shops)), tuple(sorted(images)), cycle, at)
