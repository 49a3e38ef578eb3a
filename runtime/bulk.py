"""Many rows in one statement: Peewee's models tell the names, the driver's `executemany` does the work.

Peewee renders every value of a multi-row insert into the statement anew, which was most of a step's time: a crawl
of 3,000 listings from the sandbox in the same process took 9.0 s with `insert_many` and 3.2 s with this.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import peewee
from peewee import SQL, Field, Model, TextField

EXCEPTIONS: Any = peewee.__dict__["__exception_wrapper__"]  # its type stubs leave it out
Row = Mapping[str, Any]


def insert_new(model: type[Model], rows: Sequence[Row]) -> None:
    """Insert the rows, by field name, that are not there yet; what is there stays as it is."""
    _execute(model, rows, "ON CONFLICT DO NOTHING")


def upsert(model: type[Model], rows: Sequence[Row], key: Sequence[Field[Any]], update: Sequence[Field[Any]]) -> None:
    """Insert the rows, by field name; of one that is there, update the named fields."""
    columns = ", ".join(f'"{field.column_name}" = EXCLUDED."{field.column_name}"' for field in update)
    target = ", ".join(f'"{field.column_name}"' for field in key)
    _execute(model, rows, f"ON CONFLICT ({target}) DO UPDATE SET {columns}")


def upsert_differing(model: type[Model], rows: Sequence[Row], key: Field[Any], fields: Sequence[Field[Any]]) -> None:
    """Insert the rows, by field name; of one that is there, update those of the named fields that differ.

    A database writes each index anew that has a column of a statement, whether or not its value changes. The rows are
    read first, so the caller holds the transaction.
    """
    there = {row[0]: row[1:] for row in find(key, [row[key.name] for row in rows], (key, *fields))}
    names = [field.name for field in fields]
    changed: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row[key.name] in there:
            both = zip(names, there[row[key.name]], strict=True)
            differing = tuple(name for name, old in both if row[name] != old)
            changed[differing].append({name: row[name] for name in (key.name, *differing)})
    upsert(model, [row for row in rows if row[key.name] not in there], [key], fields)
    for differing, those in changed.items():
        if differing:
            update(model, those, [key])


def update(model: type[Model], rows: Sequence[Row], key: Sequence[Field[Any]], where: str = "") -> None:
    """Update, by field name, all rows whose `key` fields are as given and for which `where` holds."""
    if not rows:
        return
    keys = [field.name for field in key]
    names = [name for name in rows[0] if name not in keys]
    fields, param = _meta(model).fields, _meta(model).database.param
    columns = ", ".join(f'"{fields[name].column_name}" = {param}' for name in names)
    found = " AND ".join([*(f'"{fields[name].column_name}" = {param}' for name in keys), *([where] if where else [])])
    statement = f'UPDATE "{_meta(model).table_name}" SET {columns} WHERE {found}'
    _run(model, statement, [[row[name] for name in (*names, *keys)] for row in rows])


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


def find(key: Field[Any], ids: Iterable[int], fields: Iterable[Field[Any]]) -> list[tuple[Any, ...]]:
    """Return these fields of the rows whose key is one of the ids, as the driver gives them.

    For what a step asks for again and again: Peewee takes as long to render the select as SQLite to answer it.
    """
    ids = list(ids)
    if not ids:
        return []
    columns = ", ".join(f'"{field.column_name}"' for field in fields)
    meta = _meta(key.model)
    where = f'"{key.column_name}" IN {_listed(key, ids)}'
    with EXCEPTIONS:
        rows: list[tuple[Any, ...]] = meta.database.execute_sql(
            f'SELECT {columns} FROM "{meta.table_name}" WHERE {where}'
        ).fetchall()
    return rows


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


def _execute(model: type[Model], rows: Sequence[Row], conflict: str) -> None:
    if not rows:
        return
    names, meta = list(rows[0]), _meta(model)
    columns = ", ".join(f'"{meta.fields[name].column_name}"' for name in names)
    holes = ", ".join([meta.database.param] * len(names))
    statement = f'INSERT INTO "{meta.table_name}" ({columns}) VALUES ({holes}) {conflict}'
    _run(model, statement, [[row[name] for name in names] for row in rows])


def _meta(model: type[Model]) -> Any:
    return model._meta


def _run(model: type[Model], statement: str, values: Sequence[Sequence[Any]]) -> None:
    cursor = _meta(model).database.cursor()
    try:
        with EXCEPTIONS:  # the driver's errors become Peewee's, as everywhere else
            cursor.executemany(statement, values)
    finally:
        cursor.close()
