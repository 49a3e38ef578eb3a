"""The downloads' queue in `image_status`: what is wanted, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import SQL, Field, fn

from imaging.check import Picture
from imaging.outcomes import DONE, OUTCOMES, pause_seconds
from models import ImageStatus, SyncState, VectorRow
from models.collected import QUEUED
from runtime import bulk

PROGRESS_KEY = "pictures"
# As QUEUED; the sign keeps SQLite from searching all that is queued where it is told an image_id.
STILL_QUEUED = "+download_done = 0 AND +to_download = 1"
OF_ALL = ImageStatus.is_primary.in_((0, 1))  # both values are named for the queue's index, which begins with it
SHARED = (
    "format",
    "width",
    "height",
    "size_bytes",
    "digest",
    "downloaded_at",
    "raw_shard",
    "bg_removed",
    "shard",
    "bg_outcome",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A picture that is to be downloaded; `digest` is known where it was there before."""

    image_id: int
    hex: str
    suffix: str
    url: str | None
    attempts: int
    digest: str | None


@dataclass(frozen=True, slots=True)
class Got:
    """A picture whose file is there; `at` is when it was downloaded."""

    image_id: int
    picture: Picture
    at: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A try that brought no picture."""

    wanted: Wanted
    outcome: str


def take(limit: int, now: float, without: Collection[int]) -> list[Wanted]:
    """Return up to `limit` pictures whose time has come, primary ones first, each once; none of `without`."""
    found: dict[int, Wanted] = {}
    for is_primary in (1, 0):
        # Those that are being worked on are still in the queue: as many more are read, and left out here.
        query = (
            ImageStatus.select(
                ImageStatus.image_id,
                ImageStatus.hex,
                ImageStatus.suffix,
                ImageStatus.url,
                ImageStatus.attempts,
                ImageStatus.digest,
            )
            .where(SQL(QUEUED), ImageStatus.is_primary == is_primary, ImageStatus.retry_at <= int(now))
            .order_by(ImageStatus.retry_at, ImageStatus.image_id)
            .limit(limit - len(found) + len(without))
        )
        for row in bulk.tuples(query):
            if row[0] not in without and len(found) < limit:
                found[row[0]] = Wanted(*row)
        if len(found) >= limit:
            break
    return list(found.values())


def share(image_ids: Sequence[int]) -> set[int]:
    """Mark what another listing's row has brought already as done; return those pictures' ids."""
    names = [getattr(ImageStatus, name) for name in SHARED]
    there = ImageStatus.select(ImageStatus.image_id, *names).where(
        ImageStatus.image_id.in_(image_ids), ImageStatus.download_done == 1
    )
    rows = {row["image_id"]: {**row, **_done()} for row in bulk.dicts(there)}
    bulk.update(ImageStatus, list(rows.values()), [ImageStatus.image_id], STILL_QUEUED)
    return set(rows)


def record(got: Iterable[Got], failed: Iterable[Failed], now: float) -> None:
    """Write down what became of these pictures, for every listing that shows them."""
    done = [
        {
            "image_id": one.image_id,
            "format": one.picture.format,
            "width": one.picture.width,
            "height": one.picture.height,
            "size_bytes": one.picture.size_bytes,
            "digest": one.picture.digest,
            "downloaded_at": one.at,
            "raw_shard": None,
            **_done(),
        }
        for one in got
    ]
    bulk.update(ImageStatus, done, [ImageStatus.image_id], STILL_QUEUED)
    # Only rows with the address that was tried: the crawl may have learned another one in the meantime.
    tried: list[Field[Any]] = [ImageStatus.image_id, ImageStatus.hex, ImageStatus.suffix]
    bulk.update(ImageStatus, [_failed(one, now) for one in failed], tried, STILL_QUEUED)


def waiting(now: float) -> tuple[int, int]:
    """Return how many rows are queued, and how many of them wait for another try later."""
    queued = ImageStatus.select().where(SQL(QUEUED), OF_ALL)
    return int(queued.count()), int(queued.where(_later(now)).count())


def next_retry_at(now: float) -> float | None:
    """Return when the first of those that wait may be tried again (Unix seconds), None where none waits."""
    query = ImageStatus.select(fn.MIN(ImageStatus.retry_at)).where(SQL(QUEUED), OF_ALL, _later(now))
    return next(bulk.tuples(query))[0]  # type: ignore[no-any-return]


def any_loose() -> bool:
    """Return whether the rows say that some picture is a loose file in imagedownload."""
    query = ImageStatus.select(ImageStatus.image_id).where(
        ImageStatus.download_done == 1, ImageStatus.raw_shard.is_null()
    )
    return bool(bulk.first_column(query.limit(1)))


def any_embedded() -> bool:
    """Return whether pictures were embedded, and so have had a file without their background."""
    return bool(VectorRow.select(VectorRow.row).limit(1).exists())


def save_progress(at: str, per_second: float, held: str) -> None:
    """Leave word for `status` of how fast the downloads are, and of what holds them, if anything does."""
    text = json.dumps({"at": at, "per_second": round(per_second, 2), "held": held})
    bulk.upsert(SyncState, [{"key": PROGRESS_KEY, "value": text}], [SyncState.key], [SyncState.value])


def _later(now: float) -> Any:
    return ImageStatus.retry_at > int(now)


def _done() -> dict[str, Any]:
    return {"download_done": 1, "outcome": DONE, "retry_at": 0}


def _failed(one: Failed, now: float) -> dict[str, Any]:
    heals, attempts = OUTCOMES[one.outcome].heals, one.wanted.attempts + 1
    return {
        "image_id": one.wanted.image_id,
        "hex": one.wanted.hex,
        "suffix": one.wanted.suffix,
        "outcome": one.outcome,
        "attempts": attempts,
        "retry_at": int(now) + pause_seconds(attempts) if heals else 0,
        "to_download": int(heals),
    }
