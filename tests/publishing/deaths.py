"""Dying at a chosen moment: before the n-th SQL statement, HTTP message or change of a file."""

from __future__ import annotations

from collections.abc import Callable

from tests.deaths import FILE_EVENTS, Count, dies_at_one_of

__all__ = ["Count", "dies_at"]
EVENTS = (*FILE_EVENTS, "http.client.connect", "http.client.send")


def dies_at(event: int, work: Callable[[Count], object]) -> bool:
    """Do the work in a process of its own that is killed at its n-th event; return whether it died of it.

    The work is given what counts an event: it calls that before each SQL statement.
    """
    return dies_at_one_of(event, work, EVENTS.__contains__)
