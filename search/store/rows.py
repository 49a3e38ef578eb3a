"""What the database says of embeddings: which pictures wait, which rows are theirs, what was committed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from peewee import SQL, Tuple, fn

from models import ImageStatus, Listing, SyncState, VectorBatch, VectorFileState, VectorMake, VectorRow
from models.collected import TO_CUT, TO_EMBED
from runtime import bulk
from search.catalogue import Make
from search.tasks import Key

EMBEDDING_KEY, INDEX_KEY = "embedding", "vector_index"
START = (-1, -1, -1)
Place = tuple[int, int, int]
"""Where a walk through what waits has come to: 1 - is_primary, listing_id, image_id."""
ORDER = (ImageStatus.is_primary.desc(), ImageStatus.listing, ImageStatus.image_id)


@dataclass(frozen=True, slots=True)
class FileState:
    """How many rows of a vector file count, and what all of them were made with."""

    make_id: str
    rows: int


@dataclass(frozen=True, slots=True)
class Committed:
    """The last batch of a file: its rows and their CRC-32."""

    first_row: int
    number: int
    checksum: int


def to_cut(after: Place, limit: int) -> list[tuple[Place, Key]]:
    """Return up to `limit` images behind a place whose background is still there, primary ones first."""
    return _waiting(TO_CUT, after, limit)


def to_embed(after: Place, limit: int) -> list[tuple[Place, Key]]:
    """Return up to `limit` images behind a place that wait for their vectors, primary ones first."""
    return _waiting(TO_EMBED, after, limit)


def count_waiting() -> tuple[int, int]:
    """Return how many rows of image_status wait for their background to go, and for their vectors."""
    cut, embed = (int(ImageStatus.select().where(SQL(kind)).count()) for kind in (TO_CUT, TO_EMBED))
    return cut, embed


def titles(listing_ids: Collection[int]) -> dict[int, str]:
    """Return the listings' titles, empty where there is none."""
    query = Listing.select(Listing.listing_id, Listing.title).where(bulk.within(Listing.listing_id, listing_ids))
    return {listing_id: title or "" for listing_id, title in bulk.raw(query)}


def keys(first: int, number: int) -> list[Key]:
    """Return what the rows from `first` on are of."""
    query = VectorRow.select(VectorRow.listing_id, VectorRow.image_id).where(
        VectorRow.row >= first, VectorRow.row < first + number
    )
    return [Key(*row) for row in bulk.raw(query.order_by(VectorRow.row))]


def primary_images(listing_ids: Collection[int]) -> dict[int, int]:
    """Return the first picture's image_id of each of these listings."""
    query = ImageStatus.select(ImageStatus.listing, ImageStatus.image_id)
    return dict(bulk.raw(query.where(bulk.within(ImageStatus.listing, listing_ids), ImageStatus.is_primary == 1)))


def number_of_rows() -> int:
    """Return how many rows there are."""
    last = bulk.raw(VectorRow.select(fn.MAX(VectorRow.row)))[0][0]
    return 0 if last is None else int(last) + 1


def embedded_already(wanted: Sequence[Key]) -> set[Key]:
    """Return those that have a row."""
    query = VectorRow.select(VectorRow.listing_id, VectorRow.image_id).where(
        bulk.within(VectorRow.listing_id, {key.listing_id for key in wanted})
    )
    return {Key(*row) for row in bulk.raw(query)} & set(wanted)


def file_states() -> dict[str, FileState]:
    """Return what counts of each vector file."""
    columns = (VectorFileState.file, VectorFileState.make_id, VectorFileState.rows)
    return {name: FileState(make_id, rows) for name, make_id, rows in bulk.raw(VectorFileState.select(*columns))}


def makes() -> dict[str, Make]:
    """Return every make that vectors were made with, by its id."""
    columns = (
        VectorMake.make_id,
        VectorMake.model,
        VectorMake.weights,
        VectorMake.preprocessing,
        VectorMake.back_end,
    )
    return {row[0]: Make(*row[1:]) for row in bulk.raw(VectorMake.select(*columns))}


def has_batch(batch_id: str) -> bool:
    """Return whether this batch was committed."""
    return bool(VectorBatch.select().where(VectorBatch.batch_id == batch_id).exists())


def last_batches(files: Iterable[str]) -> dict[str, Committed]:
    """Return the last batch of each file that has one."""
    found: dict[str, Committed] = {}
    wanted = set(files)
    query = VectorBatch.select(VectorBatch.first_row, VectorBatch.number, VectorBatch.checksums)
    for first_row, number, checksums in bulk.tuples(query.order_by(VectorBatch.first_row.desc())):
        for name, checksum in json.loads(checksums).items():
            if name in wanted:
                found[name] = Committed(first_row, number, checksum)
                wanted.discard(name)
        if not wanted:
            break
    return found


def drop_checksums(files: Collection[str]) -> None:
    """Forget the checksums of these files in every batch, and batches that were of nothing else."""
    kept = []
    for batch_id, told in bulk.tuples(VectorBatch.select(VectorBatch.batch_id, VectorBatch.checksums)):
        checksums = {name: checksum for name, checksum in json.loads(told).items() if name not in files}
        kept.append({"batch_id": batch_id, "checksums": json.dumps(checksums)})
    bulk.update(VectorBatch, kept, [VectorBatch.batch_id])
    VectorBatch.delete().where(VectorBatch.checksums == "{}", VectorBatch.number > 0).execute()


def save_standing(at: str, workers: Mapping[str, float], models: Mapping[str, float]) -> None:
    """Leave word for `status` of how many pictures a second each worker and each model embeds."""
    told = {"at": at, "per_second": round(sum(workers.values()), 3), "workers": workers, "models": models}
    _save(EMBEDDING_KEY, told)


def save_index(at: str, generation: int, number: int, recall: Mapping[str, float]) -> None:
    """Leave word for `status` of the indexes in force and of their measured recall@10."""
    _save(INDEX_KEY, {"at": at, "generation": generation, "rows": number, "recall": recall})


def _save(key: str, told: Mapping[str, Any]) -> None:
    bulk.upsert(SyncState, [{"key": key, "value": json.dumps(told)}], [SyncState.key], [SyncState.value])


def write_makes(used: Iterable[Make], at: str) -> None:
    """Note makes that vectors are made with from now on."""
    bulk.insert_new(VectorMake, [{"make_id": make.id, **asdict(make), "first_used_at": at} for make in used])


def write_batch(batch_id: str, first_row: int, number: int, checksums: Mapping[str, int], worker: str, at: str) -> None:
    """Note that rows were committed together."""
    VectorBatch.create(
        batch_id=batch_id,
        first_row=first_row,
        number=number,
        checksums=json.dumps(dict(checksums)),
        worker=worker,
        committed_at=at,
    )


def write_states(states: Mapping[str, FileState]) -> None:
    """Note how many rows of these files count now."""
    rows = [{"file": name, "make_id": state.make_id, "rows": state.rows} for name, state in states.items()]
    bulk.upsert(VectorFileState, rows, [VectorFileState.file], [VectorFileState.make_id, VectorFileState.rows])


def write_rows(first: int, wanted: Sequence[Key], models: Collection[str]) -> None:
    """Note what the rows from `first` on are of, and that these images have the vectors of these models."""
    rows = [{"row": first + n, "listing_id": key.listing_id, "image_id": key.image_id} for n, key in enumerate(wanted)]
    bulk.insert_new(VectorRow, rows)
    mark_models(wanted, models, embedded=1)


def mark_models(wanted: Sequence[Key], models: Collection[str], **more: int) -> None:
    """Set the columns of these models, where the data model has one, for these images."""
    columns = {f"embed_{name}": 1 for name in models if hasattr(ImageStatus, f"embed_{name}")} | more
    values = [{"listing": key.listing_id, "image_id": key.image_id, **columns} for key in wanted]
    if columns:
        bulk.update(ImageStatus, values, [ImageStatus.listing, ImageStatus.image_id])


def unmark_model(model: str) -> None:
    """Take back that any image has this model's vectors."""
    if hasattr(ImageStatus, f"embed_{model}"):
        ImageStatus.update({f"embed_{model}": 0}).where(getattr(ImageStatus, f"embed_{model}") == 1).execute()


def write_failed(failed: Mapping[Key, str]) -> None:
    """Note why these images never get a row."""
    values = [
        {"listing": key.listing_id, "image_id": key.image_id, "embed_outcome": why} for key, why in failed.items()
    ]
    bulk.update(ImageStatus, values, [ImageStatus.listing, ImageStatus.image_id])


def write_cuts(outcomes: Mapping[int, str], stored: Collection[int]) -> None:
    """Note what became of the backgrounds of these pictures; `stored` have a file."""
    done = "download_done = 1 AND bg_removed = 0"
    values = [
        {"image_id": image_id, "bg_outcome": outcome, "bg_removed": int(image_id in stored), "shard": None}
        for image_id, outcome in outcomes.items()
    ]
    bulk.update(ImageStatus, values, [ImageStatus.image_id], done)


def _waiting(kind: str, after: Place, limit: int) -> list[tuple[Place, Key]]:
    found: list[tuple[Place, Key]] = []
    for is_primary in (1, 0):
        if after[0] > 1 - is_primary:
            continue
        listing_id, image_id = after[1:] if after[0] == 1 - is_primary else START[1:]
        query = ImageStatus.select(ImageStatus.listing, ImageStatus.image_id).where(
            SQL(kind), ImageStatus.is_primary == is_primary, _behind(listing_id, image_id)
        )
        rows = bulk.raw(query.order_by(*ORDER).limit(limit - len(found)))
        found += [((1 - is_primary, *row), Key(*row)) for row in rows]
        if len(found) >= limit:
            break
    return found


def _behind(listing_id: int, image_id: int) -> Any:
    return Tuple(ImageStatus.listing, ImageStatus.image_id) > Tuple(listing_id, image_id)
