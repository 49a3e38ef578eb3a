"""Webhooks: a payload becomes a job, once only, however often and at however many doors it is delivered.

    bytes → JSON → canonical form → SHA-256 → one transaction: old hashes go, the hash is put in, the job too

Two deliveries at the same moment: the hash is the table's key, so one of them puts it in and the other one, which
waits for the first one's transaction to end, does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from peewee import Database

from models.publishing import ProcessedHash
from publishing import files, jobs
from publishing.canonical import NotJson, hash_of, parse_json
from publishing.moments import moment
from publishing.then import following
from publishing.troubles import JobFailed
from runtime.database import transaction
from runtime.errors import UserMistake
from runtime.stop import Stop

FIELDS = ("command_type", "file_id", "payload")


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a delivery: the job that it made, None where the payload was taken in before."""

    hash: str
    job_id: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """What a webhook asks for."""

    command_type: str
    file_id: str | None
    payload: Mapping[str, Any]


class Inbox:
    """Takes deliveries in; several threads and processes may do so at the same moment."""

    def __init__(self, database: Database, hash_seconds: float, stop: Stop) -> None:
        self._database = database
        self._hash_seconds = hash_seconds
        self._stop = stop

    def take(self, body: bytes) -> Taken:
        """Make a job of the payload, unless it was taken in before; UserMistake says what is wrong with it."""
        try:
            value = parse_json(body)
            digest = hash_of(value)
        except NotJson as error:
            raise UserMistake(f"The payload is no JSON ({error}).", advice="Nothing was changed.") from error
        order = read_order(value)
        now = self._stop.clock.now()
        with transaction(self._database, self._stop):
            forget_old(self._hash_seconds, now)
            if order.file_id is not None:
                files.get(order.file_id)
            if not _is_new(digest, order.file_id, now):
                return Taken(digest, None)
            return Taken(digest, jobs.enqueue(order.command_type, order.payload, now, order.file_id))


def forget_old(hash_seconds: float, now: float) -> int:
    """Delete the hashes that are older than they are kept; whoever calls holds the transaction."""
    return int(ProcessedHash.delete().where(ProcessedHash.created_at < moment(now - hash_seconds)).execute())


def read_order(value: Any) -> Order:
    """Return what a payload asks for; UserMistake."""
    if not isinstance(value, dict) or (strange := sorted(set(value) - set(FIELDS))):
        told = f"it has no {strange[0]!r}" if isinstance(value, dict) else "it is none"
        raise UserMistake(f"A payload must be an object with {', '.join(FIELDS)}: {told}.", advice=EXAMPLE)
    command_type, file_id, payload = (value.get(name) for name in FIELDS)
    if command_type not in jobs.COMMANDS:
        raise UserMistake(f"There is no command {command_type!r}.", advice=f"There are {', '.join(jobs.COMMANDS)}.")
    if not isinstance(file_id, str | None) or not isinstance(payload, dict | None):
        raise UserMistake("file_id must be a text, payload an object.", advice=EXAMPLE)
    _refuse_far_paths(payload or {})
    try:
        following(payload or {})
    except JobFailed as error:
        raise UserMistake(str(error), advice=EXAMPLE) from error
    return Order(str(command_type), file_id, payload or {})


def _refuse_far_paths(value: Any) -> None:
    """Raise UserMistake where a stranger would have any file of this machine read, be it in a later step."""
    if isinstance(value, list):
        for item in value:
            _refuse_far_paths(item)
    if not isinstance(value, dict):
        return
    path = value.get("path")
    if isinstance(path, str) and (PurePath(path).is_absolute() or ".." in PurePath(path).parts):
        raise UserMistake(
            f"A webhook may name files in PUBLISH_FOLDER/incoming only, not {path}.",
            advice="Put the picture there and name it without its folder.",
        )
    _refuse_far_paths(list(value.values()))


EXAMPLE = 'For example {"command_type": "UpscaleImage", "file_id": "…", "payload": {"factor": 2}}.'


def _is_new(digest: str, file_id: str | None, now: float) -> bool:
    """Put the hash in; return whether it was not there."""
    row = {"hash": digest, "file": file_id, "created_at": moment(now)}
    query = ProcessedHash.insert(row).on_conflict_ignore().as_rowcount()
    return bool(query.execute() == 1)
