"""Field types and defaults that the data model names and Peewee spells otherwise."""

from __future__ import annotations

from peewee import SQL, BigIntegerField, DateTimeField, FloatField, IntegerField


class RealField(FloatField):
    """A double, `REAL` in SQLite and `DOUBLE PRECISION` in PostgreSQL (whose own REAL has 4 bytes)."""

    field_type = "DOUBLE"


class TimestampField(DateTimeField):
    """A moment without a zone, meant as UTC; `TIMESTAMP` in both databases."""

    field_type = "TIMESTAMP"


class CountField(IntegerField):
    """An integer that the database itself fills with a default, for other programs' inserts too."""

    def __init__(self, default: int = 0) -> None:
        super().__init__(default=default, constraints=[SQL(f"DEFAULT {default}")])


class BigCountField(BigIntegerField):
    """As CountField, with 8 bytes in PostgreSQL too."""

    def __init__(self, default: int = 0) -> None:
        super().__init__(default=default, constraints=[SQL(f"DEFAULT {default}")])
