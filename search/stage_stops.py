"""KILL_EMBED and KILL_BG: each ends one stage, and the other goes on."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.clock import Clock
from runtime.settings import Home
from runtime.stop import Stop


class StageStops:
    """The kill files of the stages, by the stages' names; once all of them are asked for, the whole work stops."""

    def __init__(self, home: Home, clock: Clock, names: Mapping[str, str], whole: Stop) -> None:
        self._stops = {stage: Stop(clock, home.kill_files(name)) for stage, name in names.items()}
        self._whole = whole

    def clear_old_files(self) -> None:
        """Remove kill files that are older than this start; OperatorNeeded."""
        for stop in self._stops.values():
            stop.clear_old_files()

    def is_closed(self, stage: str) -> bool:
        """Return whether this stage is to end."""
        if all(stop.requested() for stop in self._stops.values()):
            self._whole.ask(" and ".join(stop.reason for stop in self._stops.values()))
        return self._stops[stage].requested()

    def obeyed(self) -> None:
        """Remove the kill files that were obeyed."""
        for stop in self._stops.values():
            stop.obeyed()
