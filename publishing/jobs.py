"""The durable queue on the `jobs` table: at least once, one job of a file at a time, the same on SQLite and PostgreSQL.

    pending → claim → running → complete → completed
                             → fail      → failed, or pending again after a wait
                             → release   → pending, the try not counted (a stop was asked for)
                             → recover   → pending or failed (whoever ran it has died or hangs)

Each of these is a guarded UPDATE; `attempt` tells who holds a job now from who held it before it stalled.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import uuid4

from peewee import fn

from models.publishing import File, Job
from publishing.canonical import canonical
from publishing.moments import moment
from publishing.records import Claim
from publishing.retries import Rule
from runtime import bulk

PENDING, RUNNING, COMPLETED, FAILED = "pending", "running", "completed", "failed"
STATUSES = (PENDING, RUNNING, COMPLETED, FAILED)
COMMANDS = (
    "CreateFileRecord",
    "UpscaleImage",
    "UpdateImage",
    "GenerateMetadata",
    "CreateListing",
    "UpdateListing",
    "PublishSocial",
    "DeleteFile",
)
CANDIDATES = 8  # that a worker looks at: another may take the first ones at the same moment
STALLED = "The worker that ran it has died or hangs."
Sibling = Job.alias()


def enqueue(
    command_type: str, payload: Mapping[str, Any], now: float, file_id: str | None = None, job_id: str | None = None
) -> str:
    """Add a pending job and return its id; whoever calls holds the transaction."""
    made = job_id or str(uuid4())
    Job.insert(
        id=made,
        file=file_id,
        command_type=command_type,
        status=PENDING,
        payload_json=canonical(payload),
        created_at=moment(now),
    ).execute()
    return made


def candidates(rule: Rule, now: float) -> list[tuple[str, str | None]]:
    """Return some jobs that are due, the oldest first, as (job id, file id)."""
    query = (
        Job.select(Job.id, Job.file)
        .where(Job.status == PENDING, _due(rule, now), ~_sibling_runs())
        .order_by(Job.created_at, Job.id)
        .limit(CANDIDATES)
    )
    return [(str(job_id), file_id) for job_id, file_id in bulk.tuples(query)]


def claim(job_id: str, file_id: str | None, now: float) -> Claim | None:
    """Take the job for the caller, None where somebody else was quicker; whoever calls holds the transaction."""
    if file_id is not None:
        # Takes the file's row lock on a server: two workers may not take two jobs of one file at the same moment.
        File.update({File.status: File.status}).where(File.id == file_id).execute()
    taken = (
        Job.update(
            {Job.status: RUNNING, Job.attempts: Job.attempts + 1, Job.started_at: moment(now), Job.completed_at: None}
        )
        .where(Job.id == job_id, Job.status == PENDING, ~_sibling_runs())
        .execute()
    )
    return _claim(job_id) if taken else None


def holds(claimed: Claim) -> bool:
    """Return whether the job is still the holder's: it is not, once it has stalled and was taken up by another."""
    return bool(Job.select(fn.COUNT(Job.id)).where(*_held(claimed)).scalar())


def complete(claimed: Claim, result: Mapping[str, Any], now: float) -> bool:
    """Note the job's result; False where it is not the holder's any more, and nothing may be written for it."""
    ended = {Job.status: COMPLETED, Job.result_json: canonical(result), Job.last_error: None}
    return _end(claimed, {**ended, Job.completed_at: moment(now)})


def fail(claimed: Claim, error: str, now: float) -> bool:
    """Give the job up, with its reason; False where it is not the holder's any more."""
    return _end(claimed, {Job.status: FAILED, Job.last_error: error, Job.completed_at: moment(now)})


def put_back(claimed: Claim, error: str) -> bool:
    """Have the job tried again when its wait is over; False where it is not the holder's any more."""
    return _end(claimed, {Job.status: PENDING, Job.last_error: error})


def release(claimed: Claim) -> bool:
    """Put the job back as if it had not been tried: a stop was asked for; False where it is not the holder's."""
    return _end(claimed, {Job.status: PENDING, Job.attempts: Job.attempts - 1})


def recover_stalled(rule: Rule, now: float) -> int:
    """Take up, or give up after the last try, the jobs that have run for too long; return how many they were."""
    old = (Job.status == RUNNING) & (Job.started_at <= moment(now - rule.stalled_seconds))
    given_up = (
        Job.update({Job.status: FAILED, Job.last_error: STALLED, Job.completed_at: moment(now)})
        .where(old, Job.attempts >= rule.most_attempts)
        .execute()
    )
    return int(given_up + Job.update({Job.status: PENDING, Job.last_error: STALLED}).where(old).execute())


def retry(job_ids: Collection[str]) -> int:
    """Have failed jobs tried anew from the first try on; return how many of these were failed."""
    again = {Job.status: PENDING, Job.attempts: 0, Job.started_at: None, Job.completed_at: None}
    return int(Job.update(again).where(Job.id.in_(list(job_ids)), Job.status == FAILED).execute())


def failed_ids() -> list[str]:
    """Return the ids of all failed jobs."""
    return [str(row[0]) for row in bulk.tuples(Job.select(Job.id).where(Job.status == FAILED))]


def counts() -> dict[str, int]:
    """Return how many jobs have each status."""
    found = dict(bulk.tuples(Job.select(Job.status, fn.COUNT(Job.id)).group_by(Job.status)))
    return {status: int(found.get(status, 0)) for status in (*STATUSES, *sorted(set(found) - set(STATUSES)))}


def is_anything_open() -> bool:
    """Return whether a job is pending or running."""
    return bool(Job.select(Job.id).where(Job.status.in_((PENDING, RUNNING))).exists())


def _due(rule: Rule, now: float) -> Any:
    """Return the condition that a pending job's wait is over."""
    due = Job.attempts == 0
    for attempts in range(1, rule.most_attempts):
        due |= (Job.attempts == attempts) & (Job.started_at <= moment(now - rule.wait_seconds(attempts)))
    # One that was tried as often as may be, by a higher setting, waits the longest time.
    return due | (
        (Job.attempts >= rule.most_attempts) & (Job.started_at <= moment(now - rule.wait_seconds(rule.most_attempts)))
    )


def _sibling_runs() -> Any:
    """Return the condition that another job of the same file is running."""
    same = (Sibling.file == Job.file) & (Sibling.status == RUNNING)
    return fn.EXISTS(Sibling.select(Sibling.id).where(same))


def _held(claimed: Claim) -> tuple[Any, ...]:
    return (Job.id == claimed.id, Job.status == RUNNING, Job.attempts == claimed.attempt)


def _end(claimed: Claim, values: Mapping[Any, Any]) -> bool:
    return bool(Job.update(dict(values)).where(*_held(claimed)).execute() == 1)


def _claim(job_id: str) -> Claim:
    row: Any = Job.get_by_id(job_id)
    return Claim(row.id, row.attempts, row.file_id, row.command_type, row.payload_json)
