"""The key-value table: the machine's position and the small things that go with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from models import Interval, SyncState
from runtime import bulk
from runtime.forms import (
    Form,
    is_flag,
    is_moment,
    is_number,
    is_text,
    is_unix_seconds,
    is_whole,
    list_of,
    object_with,
    optional,
    table_of,
)

MOST_CAP = 1_000_000
NODE = object_with(id=is_whole, name=is_text, parent_id=optional(is_whole), children_ids=list_of(is_whole))
KNOWLEDGE: Mapping[str, Form] = {
    "taxonomy": object_with(nodes=list_of(NODE), other_ids=list_of(is_whole), roots=list_of(is_whole), at=is_moment),
    "search_cap": lambda value: is_whole(value) and value <= MOST_CAP,
    "quota": object_with(
        limit=optional(is_whole),
        remaining=optional(is_whole),
        heard_at=is_unix_seconds,
        heard_count=optional(is_whole),
        not_before=is_unix_seconds,
        cut_from=optional(is_whole),
        cut_at=is_unix_seconds,
    ),
    "breaks": table_of(list_of(is_number)),
    "trouble": object_with(error=is_text, at=is_text, attempts=is_whole),
    "audit": object_with(finished_at=is_text, in_sync=is_flag),
    "pictures": object_with(at=is_text, per_second=is_number, held=is_text),
    "embedding": object_with(
        at=is_moment, per_second=is_number, workers=table_of(is_number), models=table_of(is_number)
    ),
    "vector_index": object_with(at=is_moment, generation=is_whole, rows=is_whole, recall=table_of(is_number)),
}
"""What was learnt, and can be learnt again, by the form that each key's value has."""
VALUE = bulk.Prepared(SyncState, lambda: SyncState.select(SyncState.value).where(SyncState.key == bulk.slot("key")))


def load(key: str) -> Any:
    """Return the value under the key, None where there is none; ValueError where it is no JSON."""
    text = _text(key)
    return None if text is None else _read(text)


def load_known(key: str) -> Any:
    """Return what was learnt under the key, None where that is nothing, or rubbish."""
    text = _text(key)
    return None if text is None else _known(key, text)


def load_tree() -> Mapping[str, Any]:
    """Return the part of the category tree that is kept, empty where there is none."""
    return load_known("taxonomy") or {}


def category_names() -> dict[int, str]:
    """Return the names of the categories by their numbers, read by one key; empty where no tree is kept."""
    return {node["id"]: node["name"] for node in load_tree().get("nodes", ())}


def forget_rubbish() -> list[str]:
    """Delete what was learnt and makes no sense, and return its keys; the caller holds the transaction."""
    rubbish = rubbish_keys()
    SyncState.delete().where(SyncState.key.in_(rubbish)).execute()
    return rubbish


def rubbish_keys() -> list[str]:
    """Return the keys whose knowledge makes no sense."""
    there = {row[0] for row in bulk.tuples(SyncState.select(SyncState.key))}
    return [key for key in KNOWLEDGE if key in there and load_known(key) is None]


def is_begun() -> bool:
    """Return whether a crawl was begun in this database, whatever has become of its position."""
    return SyncState.select().where(SyncState.key == "cycle").exists() or Interval.select().exists()


def save(key: str, value: Any) -> None:
    """Write the value under the key as JSON."""
    row = {"key": key, "value": json.dumps(value, ensure_ascii=False)}
    bulk.upsert(SyncState, [row], [SyncState.key], [SyncState.value])


def _text(key: str) -> str | None:
    row = VALUE.row(key=key)
    return None if row is None else str(row[0])


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


@lru_cache(maxsize=len(KNOWLEDGE))
def _known(key: str, text: str) -> Any:
    """Return what the text says of the key; the same text, such as the whole tree at each page, is read once."""
    try:
        value = _read(text)
    except ValueError:
        return None
    return value if KNOWLEDGE[key](value) else None
