"""Counting calls in transactions of their own: a process that dies right after a call has counted it."""

from __future__ import annotations

from collections.abc import Mapping

from peewee import Database

from publishing import usage
from runtime.database import transaction
from runtime.stop import Stop

REMAINING = "x-remaining-today"


class UsageBook:
    """Writes api_usage of the publishing database."""

    def __init__(self, database: Database, stop: Stop) -> None:
        self._database = database
        self.stop = stop

    def count(self, service: str, endpoint: str) -> float:
        """Count a call that is about to be sent, and return the moment it was counted at."""
        now = self.stop.clock.now()
        with transaction(self._database, self.stop):
            usage.count(service, endpoint, now)
        return now

    def hear(self, service: str, endpoint: str, sent: float, headers: Mapping[str, str]) -> None:
        """Note what the answer's headers say of the day's limit."""
        told = headers.get(REMAINING, "")
        remaining = int(told) if told.isascii() and told.isdigit() and len(told) < 10 else None
        if remaining is not None:
            with transaction(self._database, self.stop):
                usage.hear(service, endpoint, sent, remaining, None)
