"""Where publishing stands, read from the database: counts by status, what is stuck, and what has failed and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from peewee import fn
from rich.table import Table

from models.publishing import File, Job, PlatformListing, SocialPost
from publishing import jobs
from publishing.machine import INGESTED, PROCESSING, STATES
from publishing.moments import moment, unix_seconds
from publishing.retries import Rule
from publishing.usage import Used
from runtime import bulk
from runtime.clock import iso

MOST_SHOWN = 20  # of each kind, for a person
SECTIONS = (
    ("waiting_for_approval", "Waiting for `publish approve`", "{id} {name}"),
    ("stuck_files", "Stuck files (no job is under way)", "{id} {name} is {status}"),
    ("stuck_jobs", "Stuck jobs", "{id} {command} runs since {started_at}"),
    ("failures", "Failed jobs", "{id} {command}: {error}"),
)


def survey(rule: Rule, now: float) -> dict[str, Any]:
    """Return all that `publish status` tells, as plain data."""
    by_status = dict(bulk.tuples(File.select(File.status, fn.COUNT(File.id)).group_by(File.status)))
    return {
        "files": {state.name: int(by_status.get(state.name, 0)) for state in STATES},
        "jobs": jobs.counts(),
        "listings": PlatformListing.select().count(),
        "social_posts": SocialPost.select().count(),
        "waiting_for_approval": [_file(row) for row in _files().where(File.status == "processed")],
        "stuck_files": [_file(row) for row in _stuck_files()],
        "stuck_jobs": [_job(row) for row in _stuck_jobs(rule, now)],
        "failures": [_job(row) for row in _jobs().where(Job.status == jobs.FAILED).order_by(Job.completed_at.desc())],
    }


def in_words(found: Mapping[str, Any]) -> list[str]:
    """Return the survey as lines for a person."""
    lines = [f"Files: {_counts(found['files'])}", f"Jobs: {_counts(found['jobs'])}"]
    lines += [f"Listings: {found['listings']}, posts: {found['social_posts']}"]
    for name, title, form in SECTIONS:
        more = len(found[name]) - MOST_SHOWN
        lines += [f"{title}:", *(f"  {form.format(**row)}" for row in found[name][:MOST_SHOWN])] if found[name] else []
        lines += [f"  and {more} more: see --json"] if more > 0 else []
    return lines


def usage_table(used: Sequence[Used]) -> Table:
    """Return the calls by day and service as a table."""
    table = Table("day", "service", "calls", "remaining", "limit begins anew", "cost")
    for row in used:
        cost = "not known" if row.cost is None else f"{row.cost:.2f}"
        remaining = "not told" if row.remaining is None else str(row.remaining)
        table.add_row(row.day, row.service, str(row.calls), remaining, row.resets_at or "not told", cost)
    return table


def usage_json(used: Sequence[Used]) -> list[dict[str, Any]]:
    """Return the same as plain data."""
    return [asdict(row) for row in used]


def _files() -> Any:
    return File.select().order_by(File.created_at, File.id)


def _jobs() -> Any:
    return Job.select()


def _stuck_files() -> Any:
    """Return files under way that no pending or running job will bring further."""
    open_jobs = Job.select(Job.file).where(Job.status.in_((jobs.PENDING, jobs.RUNNING)), Job.file.is_null(False))
    return _files().where(File.status.in_((INGESTED, PROCESSING, "approved")), File.id.not_in(open_jobs))


def _stuck_jobs(rule: Rule, now: float) -> Any:
    old = Job.started_at <= moment(now - rule.stalled_seconds)
    return _jobs().where(Job.status == jobs.RUNNING, old).order_by(Job.started_at)


def _file(row: Any) -> dict[str, Any]:
    return {"id": row.id, "name": row.original_filename, "status": row.status, "since": _iso(row.updated_at)}


def _job(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "file_id": row.file_id,
        "command": row.command_type,
        "attempts": row.attempts,
        "started_at": None if row.started_at is None else _iso(row.started_at),
        "error": row.last_error,
    }


def _iso(stored: Any) -> str:
    return iso(unix_seconds(stored))


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in found.items())
