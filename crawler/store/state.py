"""The key-value table: the machine's position and the small things that go with it."""

from __future__ import annotations

import json
from typing import Any

from peewee import EXCLUDED

from models import SyncState


def load(key: str) -> Any:
    """Return the value under the key, None where there is none; ValueError where it is no JSON."""
    row = SyncState.get_or_none(SyncState.key == key)
    return None if row is None else json.loads(row.value)


def save(key: str, value: Any) -> None:
    """Write the value under the key as JSON."""
    row = {"key": key, "value": json.dumps(value, ensure_ascii=False)}
    SyncState.insert(row).on_conflict(
        conflict_target=[SyncState.key], update={SyncState.value: EXCLUDED.value}
    ).execute()
