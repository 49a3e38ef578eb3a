"""The rows of files: each move one named operation, guarded in the database so that no two workers make it both."""

from __future__ import annotations

from typing import Any

from models.publishing import File
from publishing.machine import EVENTS, Lifecycle
from publishing.moments import moment, unix_seconds
from publishing.records import FileRecord
from runtime.errors import UserMistake

NEXT_STEP = {
    "ingested": "Let `python run.py publish work` make its picture and metadata first.",
    "processing": "Its jobs are not done yet: see `python run.py publish status`.",
    "processed": "Approve it first: `python run.py publish approve ID`.",
    "approved": "It waits for its listing: `python run.py publish work` makes it.",
    "published": "Nothing is left to do.",
    "failed": "The failed job says why: see `python run.py publish status`. Delete the file and ingest it anew.",
}
LIFECYCLE = Lifecycle()


class WrongStatus(UserMistake):
    """The file has a status from which the move may not be made; nothing was changed."""


class NoSuchFile(UserMistake):
    """There is no file with this id."""


def get(file_id: str) -> FileRecord:
    """Return the file; NoSuchFile."""
    found = find(file_id)
    if found is None:
        raise NoSuchFile(f"There is no file {file_id}.", advice="See `python run.py publish status` for the ids.")
    return found


def find(file_id: str) -> FileRecord | None:
    """Return the file, None where there is none."""
    row = File.get_or_none(File.id == file_id)
    return None if row is None else _record(row)


def begin(file_id: str, now: float) -> None:
    """ingested → processing: a worker begins to make its picture."""
    _move(file_id, "begin", now)


def finish(file_id: str, now: float) -> None:
    """processing → processed: picture and metadata are there."""
    _move(file_id, "finish", now)


def approve(file_id: str, now: float) -> None:
    """processed → approved: a person has said yes."""
    _move(file_id, "approve", now)


def publish(file_id: str, now: float) -> None:
    """approved → published: the first listing is noted."""
    _move(file_id, "publish", now)


def fail(file_id: str, now: float) -> None:
    """Any status → failed: the picture cannot be used."""
    _move(file_id, "fail", now)


def _move(file_id: str, event: str, now: float) -> None:
    """Make the move where the file stands right for it, in one statement; WrongStatus, NoSuchFile."""
    made = (
        File.update({File.status: EVENTS[event].target, File.updated_at: moment(now)})
        .where(File.id == file_id, File.status.in_(EVENTS[event].sources))
        .execute()
    )
    if made != 1:
        raise wrong_status(get(file_id), event)


def wrong_status(file: FileRecord, event: str) -> WrongStatus:
    """Return the refusal of a move, with what to do."""
    wanted = " or ".join(EVENTS[event].sources)
    return WrongStatus(
        f"File {file.id} ({file.original_filename}) is {file.status}: it cannot {event}, which takes one that is "
        f"{wanted}.",
        advice=NEXT_STEP.get(file.status, ""),
    )


def may(status: str, event: str) -> bool:
    """Return whether a file with this status can make the move."""
    return LIFECYCLE.find_next(status, event) is not None


def _record(row: Any) -> FileRecord:
    return FileRecord(
        row.id,
        row.original_filename,
        row.processed_filename,
        row.species,
        row.status,
        row.metadata_json,
        row.width,
        row.height,
        row.aspect_ratio,
        unix_seconds(row.created_at),
    )
