"""What a step may use: the API, the clock, what the settings say, and files that a person reads."""

from __future__ import annotations

from dataclasses import dataclass

from crawler.api.client import Client
from crawler.due import due_at
from crawler.freshness import Cycle, Freshness
from crawler.plan_files import PlanFiles
from crawler.store.index import Due
from runtime.clock import Clock, iso
from runtime.findings import FileChecks
from runtime.stop import Stop


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a step gets besides its position; the cycle is the one under way.

    `file_checks` hold the files that rows speak of against those rows, for VERIFY.
    """

    client: Client
    clock: Clock
    stop: Stop
    freshness: Freshness
    taxonomy_ids: tuple[int, ...]
    files: PlanFiles
    cycle: Cycle
    file_checks: FileChecks

    def now(self) -> str:
        """Return the moment as rows carry it."""
        return iso(self.clock.now())

    def due(self) -> Due:
        """Return which rows are due in this cycle."""
        return due_at(self.freshness, self.cycle, self.clock.now())
