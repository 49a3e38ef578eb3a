"""All tables as they are at one moment, read in chunks while others go on writing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from peewee import Database, DateTimeField, FloatField, IntegerField, Model, PostgresqlDatabase

from runtime import bulk
from runtime.errors import OperatorNeeded

READ_ROWS = 5_000
TIMESTAMP = pa.timestamp("us")  # of the columns of type TIMESTAMP, which have no zone and mean UTC
BEGIN = {True: "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", False: "BEGIN"}


class Snapshot:
    """Reads tables within one transaction that sees nothing of what is committed meanwhile; it writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_server = isinstance(database, PostgresqlDatabase)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the moment while the block lasts: that of the first look, which is taken here."""
        cursor = self._cursor()
        with bulk.EXCEPTIONS:
            cursor.execute(BEGIN[self._is_server])
            cursor.execute("SELECT COUNT(*) FROM sync_state")  # SQLite chooses the moment when it first reads
            cursor.fetchall()
        try:
            yield
        finally:
            self._database.rollback()

    def read(self, model: type[Model]) -> Iterator[pa.RecordBatch]:
        """Return the rows of a table in the order of its key, as batches of `schema_of`."""
        schema = schema_of(model)
        cursor = self._cursor()
        statement = _statement(model)
        with bulk.EXCEPTIONS:
            # Without a cursor of its own a server sends the whole table at once.
            cursor.execute(f"DECLARE export NO SCROLL CURSOR FOR {statement}" if self._is_server else statement)
        while rows := self._next(cursor):
            yield _batch(model, schema, rows)
        with bulk.EXCEPTIONS:
            if self._is_server:
                cursor.execute("CLOSE export")
            cursor.close()

    def _cursor(self) -> Any:
        database: Any = self._database  # the type stubs leave out what a cursor is
        return database.cursor()

    def _next(self, cursor: Any) -> Sequence[tuple[Any, ...]]:
        with bulk.EXCEPTIONS:
            if self._is_server:
                cursor.execute(f"FETCH {READ_ROWS} FROM export")
            rows: Sequence[tuple[Any, ...]] = cursor.fetchmany(READ_ROWS)
        return rows


def schema_of(model: type[Model]) -> pa.Schema:
    """Return the columns of a table with their types: int64, double, string or timestamp."""
    return pa.schema([pa.field(field.column_name, _type_of(_target(field))) for field in _meta(model).sorted_fields])


def key_of(model: type[Model]) -> list[str]:
    """Return the columns of a table's primary key."""
    return [field.column_name for field in _meta(model).get_primary_keys()]


def table_of(model: type[Model]) -> str:
    """Return the name of a model's table."""
    return str(_meta(model).table_name)


def _statement(model: type[Model]) -> str:
    columns = ", ".join(f'"{name}"' for name in schema_of(model).names)
    order = ", ".join(f'"{name}"' for name in key_of(model))
    return f'SELECT {columns} FROM "{table_of(model)}" ORDER BY {order}'


def _target(field: Any) -> Any:
    """Return the field that says what the column holds: for a foreign key the one that it points to."""
    return getattr(field, "rel_field", None) or field


def _type_of(field: Any) -> pa.DataType:
    if isinstance(field, DateTimeField):
        return TIMESTAMP
    if isinstance(field, FloatField):
        return pa.float64()
    return pa.int64() if isinstance(field, IntegerField) else pa.string()


def _batch(model: type[Model], schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = zip(schema, zip(*rows, strict=True), strict=True)
    return pa.RecordBatch.from_arrays([_array(model, field, values) for field, values in columns], schema=schema)


def _array(model: type[Model], field: pa.Field, values: Sequence[Any]) -> pa.Array:
    if field.type == TIMESTAMP:  # SQLite keeps them as text
        parse = _meta(model).columns[field.name].python_value
        values = [parse(value) for value in values]
    try:
        return pa.array(values, field.type)
    except (pa.ArrowException, OverflowError) as error:
        raise OperatorNeeded(
            f"The column {field.name} of {table_of(model)} holds a value that is no {field.type} ({error}).",
            advice="The program never writes one; mend the row with `sqlite3` or `psql`, then export again.",
        ) from error


def _meta(model: type[Model]) -> Any:
    return model._meta
