"""A live display on a terminal, a plain log line now and then everywhere else."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from runtime.clock import Clock

REFRESH_SECONDS, LINE_SECONDS = 0.5, 30.0
log = logging.getLogger(__name__)


class Progress:
    """Shows labels and values; `due` says when new ones would be shown, so that none are computed in vain."""

    def __init__(self, console: Console, clock: Clock, title: str) -> None:
        self._clock = clock
        self._title = title
        self._live = Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else None
        self._shown_at = float("-inf")

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def due(self) -> bool:
        """Return whether new values would be shown now."""
        pause = REFRESH_SECONDS if self._live else LINE_SECONDS
        return self._clock.monotonic() - self._shown_at >= pause

    def show(self, values: Mapping[str, str]) -> None:
        """Show the values under their labels."""
        self._shown_at = self._clock.monotonic()
        if not self._live:
            log.info("%s", ", ".join(f"{label} {value}" for label, value in values.items()))
            return
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column()
        for label, value in values.items():
            table.add_row(label, value)
        self._live.update(Panel(table, title=self._title, title_align="left", expand=False), refresh=True)
