"""What is carried over: the tables, in which order, and the ranges of rows that go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peewee import AutoField, CompositeKey, Model

from models import CRAWLER_MODELS, Interval, RowCount, SyncState

NUMBERS, TEXTS, MOMENTS = ("AUTO", "BIGINT", "DOUBLE", "INT"), ("TEXT",), ("TIMESTAMP",)


@dataclass(frozen=True, slots=True)
class Table:
    """A table's columns, those of its primary key first, and at which places numbers, texts and moments stand.

    `counter` is the column that PostgreSQL counts up by itself, None where there is none.
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    numbers: tuple[int, ...]
    texts: tuple[int, ...]
    moments: tuple[int, ...]
    counter: str | None

    @property
    def begins_with_text(self) -> bool:
        """Whether the first column of the key, by which ranges are cut, is a text."""
        return 0 in self.texts


@dataclass(frozen=True, slots=True)
class Range:
    """Rows whose key's first column is above `after` and at most `upto`; None is no bound."""

    after: Any
    upto: Any

    def bounds(self) -> list[tuple[str, Any]]:
        """Return the bounds that there are, each with its sign."""
        return [(sign, value) for sign, value in ((">", self.after), ("<=", self.upto)) if value is not None]


def table_of(model: type[Model]) -> Table:
    """Return what the model says of its table."""
    meta: Any = model._meta
    key = meta.primary_key
    names = list(key.field_names) if isinstance(key, CompositeKey) else [key.name]
    keys = len(names)
    names += [field.name for field in meta.sorted_fields if field.name not in names]
    fields = [meta.fields[name] for name in names]

    def places(kinds: Sequence[str]) -> tuple[int, ...]:
        return tuple(place for place, field in enumerate(fields) if field.field_type in kinds)

    return Table(
        meta.table_name,
        tuple(field.column_name for field in fields),
        tuple(field.column_name for field in fields[:keys]),
        places(NUMBERS),
        places(TEXTS),
        places(MOMENTS),
        key.column_name if isinstance(key, AutoField) else None,
    )


def _in_order() -> tuple[Table, ...]:
    """Return the tables to copy, as the models are listed: what others point at before those.

    The plan goes first: a crawl that is started on a half-filled database sees that one was begun, and refuses.
    """
    models: list[type[Model]] = [Interval, *(model for model in CRAWLER_MODELS if model is not Interval)]
    # SQLite's triggers keep the row counts; PostgreSQL counts when it is asked.
    return tuple(table_of(model) for model in models if model not in (RowCount, SyncState))


TABLES = _in_order()
STATE = table_of(SyncState)
"""Where the crawl stands: written last, when all else is there and was found right."""
