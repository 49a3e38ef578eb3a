"""Many rows in one statement, and one statement many times: Peewee's models tell the names, the driver does the work.

Peewee renders every value of a multi-row insert into the statement anew, which was most of a step's time: a crawl
of 3,000 listings from the sandbox in the same process took 9.0 s with `insert_many` and 3.2 s with this. It also takes
longer to render a select of one row than SQLite to answer it, so what each step asks is rendered once.

SQLite inserts many rows with one statement. Each statement on a table that counts its rows (`row_counts`) first copies
the pages that it changes, in case it has to be undone alone: 15 µs for an image's row one by one, 10 µs together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain, compress
from operator import itemgetter, ne
from typing import Any

import peewee
from peewee import SQL, Field, Model, SqliteDatabase, TextField, Value

MOST_TOGETHER = 512  # values in an insert
MOST_SOUGHT = 256  # ids in a select
EXCEPTIONS: Any = peewee.__dict__["__exception_wrapper__"]  # its type stubs leave it out
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a value in a query that is rendered before the value is known."""

    name: str


def slot(name: str) -> Any:
    """Return what stands in a prepared query for the value of that name."""
    return Value(Slot(name), converter=False)


class Prepared:
    """A query of one model's table that is rendered once for each kind of database and run with other values each time.

    `make` returns the query, with slots in the place of its values. Rows are as the driver gives them.
    """

    def __init__(self, model: type[Model], make: Callable[[], Any]) -> None:
        self._model = model
        self._make = make
        self._rendered: dict[type[Any], tuple[str, list[Any]]] = {}

    def rows(self, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a select."""
        with EXCEPTIONS:
            found: list[tuple[Any, ...]] = self._execute(values).fetchall()
        return found

    def row(self, **values: Any) -> tuple[Any, ...] | None:
        """Return the first row of a select, None where there is none."""
        return next(iter(self.rows(**values)), None)

    def run(self, **values: Any) -> int:
        """Change rows and return how many."""
        return int(self._execute(values).rowcount)

    def _execute(self, values: Mapping[str, Any]) -> Any:
        database = _meta(self._model).database
        rendered = self._rendered.get(type(database))
        if rendered is None:
            rendered = self._rendered[type(database)] = self._make().sql()
        statement, params = rendered
        given = [values[param.name] if isinstance(param, Slot) else param for param in params]
        return database.execute_sql(statement, given)


def insert_new(model: type[Model], rows: Sequence[Row]) -> None:
    """Insert the rows, by field name, that are not there yet; what is there stays as it is."""
    if rows:
        insert_new_tuples(*_as_tuples(model, rows))


def insert_new_tuples(fields: Sequence[Field[Any]], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert the rows, each in the order of the fields, that are not there yet; what is there stays as it is."""
    _insert(fields, rows, "ON CONFLICT DO NOTHING")


def upsert(model: type[Model], rows: Sequence[Row], key: Sequence[Field[Any]], update: Sequence[Field[Any]]) -> None:
    """Insert the rows, by field name; of one that is there, update the named fields."""
    if rows:
        fields, values = _as_tuples(model, rows)
        upsert_tuples(fields, values, key, update)


def upsert_tuples(
    fields: Sequence[Field[Any]],
    rows: Sequence[tuple[Any, ...]],
    key: Sequence[Field[Any]],
    update: Sequence[Field[Any]],
) -> None:
    """Insert the rows, each in the order of the fields; of one that is there, update the named fields."""
    columns = ", ".join(f'"{field.column_name}" = EXCLUDED."{field.column_name}"' for field in update)
    target = ", ".join(f'"{field.column_name}"' for field in key)
    _insert(fields, rows, f"ON CONFLICT ({target}) DO UPDATE SET {columns}")


def upsert_differing(
    fields: Sequence[Field[Any]],
    rows: Sequence[tuple[Any, ...]],
    update: Sequence[Field[Any]],
    there: Mapping[Any, tuple[Any, ...]] | None = None,
) -> None:
    """Insert the rows, the key first; of one that is there, update those of the named fields that differ.

    Rows are in the order of the fields. A database writes each index anew that has a column of a statement, whether or
    not its value changes. The rows are read first, unless the caller has read the named fields (`there`, by key); so
    the caller holds the transaction.
    """
    key, names = fields[0], [field.name for field in fields]
    if there is None:
        there = {row[0]: row[1:] for row in find(key, [row[0] for row in rows], (key, *update))}
    told_of = itemgetter(*(names.index(field.name) for field in update), 0)
    new, changed = [], defaultdict[tuple[bool, ...], list[tuple[Any, ...]]](list)
    for row in rows:
        old = there.get(row[0])
        if old is None:
            new.append(row)
        else:
            told = told_of(row)
            differing = (*map(ne, told, old), True)
            changed[differing].append(tuple(compress(told, differing)))
    upsert_tuples(fields, new, [key], update)
    for differing, those in changed.items():
        if fields_differing := list(compress(update, differing)):
            _update(fields_differing, [key], those)


def update(model: type[Model], rows: Sequence[Row], key: Sequence[Field[Any]], where: str = "") -> None:
    """Update, by field name, all rows whose `key` fields are as given and for which `where` holds."""
    if not rows:
        return
    keys = [field.name for field in key]
    names = [name for name in rows[0] if name not in keys]
    fields = _meta(model).fields
    values = [tuple([row[name] for name in (*names, *keys)]) for row in rows]
    _update([fields[name] for name in names], key, values, where)


def delete(model: type[Model], keys: Sequence[Row]) -> None:
    """Delete the rows with these values, by field name."""
    if not keys:
        return
    fields, param = _meta(model).fields, _meta(model).database.param
    found = " AND ".join(f'"{fields[name].column_name}" = {param}' for name in keys[0])
    _run(model, f'DELETE FROM "{_meta(model).table_name}" WHERE {found}', [list(key.values()) for key in keys])


def within(field: Field[Any], ids: Iterable[int]) -> Any:
    """Return the condition that the field, of numbers or of their digits, is one of these.

    They stand in the statement itself: Peewee takes longer to render a hundred values than SQLite to find their rows.
    """
    return field.in_(SQL(_listed(field, ids)))


def find(
    key: Field[Any], ids: Iterable[int], fields: Iterable[Field[Any]], condition: str = ""
) -> list[tuple[Any, ...]]:
    """Return these fields, as the driver gives them, of the rows whose key is one of the ids and that are as asked.

    For what a step asks for again and again: Peewee takes as long to render the select as SQLite to answer it, and
    SQLite as long to read a hundred numbers in a statement as to find their rows.
    """
    keys: list[int | str] = list(map(str, ids)) if isinstance(key, TextField) else list(ids)
    columns = ", ".join(f'"{field.column_name}"' for field in fields)
    meta = _meta(key.model)
    statement = f'SELECT {columns} FROM "{meta.table_name}" WHERE {f"{condition} AND " if condition else ""}'
    found: list[tuple[Any, ...]] = []
    with EXCEPTIONS:
        for begin in range(0, len(keys), MOST_SOUGHT):
            sought = keys[begin : begin + MOST_SOUGHT]
            # Few lengths, since the driver keeps prepared statements; one id again changes nothing.
            sought += sought[-1:] * ((1 << (len(sought) - 1).bit_length()) - len(sought))
            holes = ", ".join([meta.database.param] * len(sought))
            found += meta.database.execute_sql(f'{statement}"{key.column_name}" IN ({holes})', sought).fetchall()
    return found


def raw(query: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a select as the driver gives them: for many rows of numbers and texts, as these are kept."""
    database = query.model._meta.database
    with EXCEPTIONS:
        rows: list[tuple[Any, ...]] = database.execute(query).fetchall()
    return rows


def tuples(query: Any) -> Iterator[tuple[Any, ...]]:
    """Return the rows of a select as tuples; Peewee's type stubs do not know that they are."""
    return iter(query.tuples())


def dicts(query: Any) -> list[dict[str, Any]]:
    """Return the rows of a select as dictionaries."""
    return list(query.dicts())


def first_column(query: Any) -> list[int]:
    """Return the first column of a select of ids."""
    return [int(row[0]) for row in raw(query)]


def _listed(field: Field[Any], ids: Iterable[int]) -> str:
    digits = map(str, map(int, ids))
    return f"({','.join(map(repr, digits) if isinstance(field, TextField) else digits) or 'NULL'})"


def _as_tuples(model: type[Model], rows: Sequence[Row]) -> tuple[list[Field[Any]], list[tuple[Any, ...]]]:
    names = list(rows[0])
    return [_meta(model).fields[name] for name in names], [tuple([row[name] for name in names]) for row in rows]


def _insert(fields: Sequence[Field[Any]], rows: Sequence[tuple[Any, ...]], conflict: str) -> None:
    if not rows:
        return
    meta = _meta(fields[0].model)
    columns = ", ".join(f'"{field.column_name}"' for field in fields)
    statement = f'INSERT INTO "{meta.table_name}" ({columns}) VALUES {{rows}} {conflict}'
    holes = f"({', '.join([meta.database.param] * len(fields))})"
    with _cursor(meta.database) as cursor:
        if isinstance(meta.database, SqliteDatabase):
            for begin, number in _stretches(len(rows), MOST_TOGETHER // len(fields)):
                together = list(chain.from_iterable(rows[begin : begin + number]))
                cursor.execute(_of_rows(statement, holes, number), together)
        else:
            cursor.executemany(_of_rows(statement, holes, 1), rows)


@cache
def _of_rows(statement: str, holes: str, number: int) -> str:
    return statement.format(rows=", ".join([holes] * number))


def _stretches(length: int, longest: int) -> Iterator[tuple[int, int]]:
    """Yield the begin and the length of stretches of rows, of few lengths: the driver keeps prepared statements."""
    begin, number = 0, 1 << longest.bit_length() - 1
    while begin < length:
        while number > length - begin:
            number //= 2
        yield begin, number
        begin += number


def _update(
    fields: Sequence[Field[Any]], key: Sequence[Field[Any]], rows: Sequence[tuple[Any, ...]], where: str = ""
) -> None:
    """Set the fields to the first values of each row, where the `key` fields are as its last ones."""
    model = key[0].model
    param = _meta(model).database.param
    columns = ", ".join(f'"{field.column_name}" = {param}' for field in fields)
    found = " AND ".join([*(f'"{field.column_name}" = {param}' for field in key), *([where] if where else [])])
    _run(model, f'UPDATE "{_meta(model).table_name}" SET {columns} WHERE {found}', rows)


def _meta(model: type[Model]) -> Any:
    return model._meta


def _run(model: type[Model], statement: str, values: Sequence[Sequence[Any]]) -> None:
    with _cursor(_meta(model).database) as cursor:
        cursor.executemany(statement, values)


@contextmanager
def _cursor(database: Any) -> Iterator[Any]:
    cursor = database.cursor()
    try:
        with EXCEPTIONS:  # the driver's errors become Peewee's, as everywhere else
            yield cursor
    finally:
        cursor.close()
