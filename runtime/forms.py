"""Small questions about a JSON value that somebody else may have written: is it of the form that is expected?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from runtime.clock import parse_iso

Form = Callable[[Any], bool]
MOST_WHOLE = 2**53
MOST_MOMENT = 250_000_000_000  # in the year 9892; what is added to a moment must still have four digits for its year


def is_text(value: Any) -> bool:
    """Return whether it is a text."""
    return isinstance(value, str)


def is_flag(value: Any) -> bool:
    """Return whether it is true or false."""
    return isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Return whether it is a whole number from 0 that a database and a calculation take."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_WHOLE


def is_number(value: Any) -> bool:
    """Return whether it is a number from 0 that a database and a calculation take."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value) and 0 <= value < MOST_WHOLE)


def is_unix_seconds(value: Any) -> bool:
    """Return whether it is a moment in Unix seconds."""
    return is_number(value) and value < MOST_MOMENT


def is_moment(value: Any) -> bool:
    """Return whether it is a moment as `iso` writes it."""
    try:
        return isinstance(value, str) and 0 <= parse_iso(value) < MOST_MOMENT
    except ValueError:
        return False


def optional(form: Form) -> Form:
    """Return the form that None has too."""
    return lambda value: value is None or form(value)


def list_of(form: Form) -> Form:
    """Return the form of a list whose items have this form."""
    return lambda value: isinstance(value, list) and all(map(form, value))


def table_of(form: Form) -> Form:
    """Return the form of an object whose values have this form."""
    return lambda value: isinstance(value, Mapping) and all(map(form, value.values()))


def object_with(**fields: Form) -> Form:
    """Return the form of an object that has these fields, each in its form; it may have others."""
    return lambda value: isinstance(value, Mapping) and all(form(value.get(name)) for name, form in fields.items())
