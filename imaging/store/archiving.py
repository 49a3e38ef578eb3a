"""Which pictures wait for a shard, and which shard holds which: rows of `image_status`, by image.

Rows of several listings with one image_id share one file, and are changed together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from peewee import SQL, Database, Field, OperationalError, SqliteDatabase, fn

from imaging.shards import PICTURES, RAW, Member
from models import ImageStatus
from runtime import bulk
from runtime.database import transaction
from runtime.errors import Stopped
from runtime.stop import Stop

LOOK_EVERY = 200_000  # steps of SQLite's own machine: some ten milliseconds


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of pictures that are archived.

    `column` names their shard. A row for which `loose` holds has its picture as a loose file, one for which
    `waiting` holds is to be archived too. `described`: the row's format, digest and outcome speak of this file.
    `again` is what makes a row's picture come again.
    """

    prefix: str
    words: str
    column: str
    loose: str
    waiting: str
    described: bool
    again: Mapping[str, int | None] = field(hash=False)

    @property
    def shard(self) -> Field[Any]:
        """The column as a field."""
        found: Field[Any] = getattr(ImageStatus, self.column)
        return found


_BACKGROUND_FREE = Kind(
    PICTURES,
    "background-free",
    "shard",
    "bg_removed = 1 AND shard IS NULL",
    "bg_removed = 1 AND shard IS NULL",
    described=False,
    again={"bg_removed": 0, "bg_outcome": None},
)
_DOWNLOADED = Kind(
    RAW,
    "downloaded",
    "raw_shard",
    "download_done = 1 AND raw_shard IS NULL",
    "download_done = 1 AND raw_shard IS NULL AND bg_removed = 0",
    described=True,
    again={"download_done": 0, "to_download": 1, "retry_at": 0},
)
KINDS = {kind.prefix: kind for kind in (_BACKGROUND_FREE, _DOWNLOADED)}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A picture that waits for a shard, and what its row says of the file where it is `described`."""

    image_id: int
    format: str | None
    digest: str | None


def kind_of(shard: str) -> Kind:
    """Return what kind of pictures the shard of this name holds."""
    return KINDS[shard.partition("-")[0]]


def look(database: Database, stop: Stop, query: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a select that may have to pass over many others; raises Stopped while it does."""
    with _interrupted(database, stop):
        return list(bulk.tuples(query))


def count_waiting(database: Database, stop: Stop, kind: Kind) -> int:
    """Return how many pictures wait."""
    query = ImageStatus.select(fn.COUNT(ImageStatus.image_id.distinct())).where(SQL(kind.waiting))
    return int(look(database, stop, query)[0][0])


def waiting_page(database: Database, stop: Stop, kind: Kind, after_id: int, limit: int) -> list[Waiting]:
    """Return up to `limit` pictures behind `after_id` that wait, by image_id, each once."""
    query = (
        ImageStatus.select(ImageStatus.image_id, fn.MIN(ImageStatus.format), fn.MIN(ImageStatus.digest))
        .where(SQL(kind.waiting), ImageStatus.image_id > after_id)
        .group_by(ImageStatus.image_id)
        .order_by(ImageStatus.image_id)
        .limit(limit)
    )
    return [Waiting(*row) for row in look(database, stop, query)]


def pointing_page(database: Database, stop: Stop, shard: str, after_id: int, limit: int) -> list[int]:
    """Return up to `limit` ids behind `after_id` of pictures that the shard holds by their rows."""
    query = (
        ImageStatus.select(ImageStatus.image_id)
        .where(kind_of(shard).shard == shard, ImageStatus.image_id > after_id)
        .distinct()
        .order_by(ImageStatus.image_id)
        .limit(limit)
    )
    return [row[0] for row in look(database, stop, query)]


def highest_shards(database: Database, stop: Stop) -> dict[str, str | None]:
    """Return the last shard that a row names, by the kinds' prefixes."""
    query = ImageStatus.select(*(fn.MAX(kind.shard) for kind in KINDS.values()))
    return dict(zip(KINDS, look(database, stop, query)[0], strict=True))


def held(shard: str, image_ids: Collection[int]) -> set[int]:
    """Return those pictures of which a row says that this shard holds them, and none that they are a loose file."""
    kind = kind_of(shard)
    query = ImageStatus.select(ImageStatus.image_id).where(ImageStatus.image_id.in_(image_ids), kind.shard == shard)
    return set(bulk.first_column(query)) - loose(kind, image_ids)


def loose(kind: Kind, image_ids: Collection[int]) -> set[int]:
    """Return those pictures of which a row says that they are a loose file."""
    query = ImageStatus.select(ImageStatus.image_id).where(ImageStatus.image_id.in_(image_ids), SQL(kind.loose))
    return set(bulk.first_column(query))


def digests(shard: str, image_ids: Collection[int]) -> dict[int, str | None]:
    """Return the digests that the rows tell of those pictures that the shard holds, by image_id."""
    query = ImageStatus.select(ImageStatus.image_id, ImageStatus.digest).where(
        ImageStatus.image_id.in_(image_ids), kind_of(shard).shard == shard
    )
    return dict(bulk.tuples(query))


def point(database: Database, stop: Stop, shard: str, members: Sequence[Member]) -> None:
    """Say that this shard holds the members, of which rows say that they are loose; the described ones by digest."""
    kind = kind_of(shard)
    key: list[Field[Any]] = [ImageStatus.image_id]
    if kind.described:
        key.append(ImageStatus.digest)
    names = [column.name for column in key]
    rows = [{kind.column: shard, **{name: getattr(member, name) for name in names}} for member in members]
    with transaction(database, stop):
        bulk.update(ImageStatus, rows, key, kind.loose)


def put_back(database: Database, stop: Stop, kind: Kind, image_ids: Collection[int], outcome: str) -> set[int]:
    """Make pictures come again whose loose file failed us; return which: not those that a shard holds by now."""
    with transaction(database, stop):
        back = loose(kind, image_ids)
        if back:
            rows = ImageStatus.update(_again(kind, outcome))
            rows.where(ImageStatus.image_id.in_(back), SQL(kind.loose)).execute()
    return back


def release(
    database: Database, stop: Stop, shard: str, image_ids: Collection[int], loose_ids: Collection[int] = ()
) -> None:
    """Take pictures out of a shard that fails them; all but `loose_ids`, whose loose file is well, must come again."""
    kind = kind_of(shard)
    out: dict[str, Any] = {kind.column: None}
    again = out | _again(kind, "damaged")
    with transaction(database, stop):
        for ids, values in ((set(image_ids) & set(loose_ids), out), (set(image_ids) - set(loose_ids), again)):
            if ids:
                ImageStatus.update(values).where(ImageStatus.image_id.in_(ids), kind.shard == shard).execute()


def _again(kind: Kind, outcome: str) -> dict[str, Any]:
    return {**kind.again, "outcome": outcome} if kind.described else dict(kind.again)


@contextmanager
def _interrupted(database: Database, stop: Stop) -> Iterator[None]:
    """Let a stop end a long query of SQLite, during which no signal is seen otherwise."""
    if not isinstance(database, SqliteDatabase):
        yield
        return
    open_connection: Any = database.connection
    connection = open_connection()
    connection.set_progress_handler(stop.requested, LOOK_EVERY)
    try:
        yield
    except OperationalError as error:
        if "interrupted" not in str(error):
            raise
        raise Stopped(f"Stopped by {stop.reason}.") from error
    finally:
        connection.set_progress_handler(None, 0)
