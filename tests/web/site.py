"""A data set with pictures, made of the sandbox by the real crawler, for the tests of the page and its screenshots."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from imaging import archive_commands, commands
from sandbox import Sandbox, SandboxServer, SandboxSettings
from tests.rig import START, Rig, VirtualClock
from tests.upkeep.home import settings_of


def make_site(home: Path, listings: int = 200, cycles: int = 2, start: float = START) -> None:
    """Crawl so many cycles into the home, the first one at `start` (Unix seconds), and download the pictures."""
    clock = VirtualClock(start)
    market = SandboxSettings(listings=listings, shops=listings // 20, reviews_per_shop=20.0, move_every=5)
    sandbox = Sandbox(market, clock=clock.true)
    rig = Rig(home, sandbox, clock)
    for cycle in range(1, cycles + 1):
        rig.run_cycle(cycle)
    rig.close()
    with SandboxServer(sandbox) as host:
        settings, console = settings_of(home, ETSY_CDN_URL=host.cdn_url, MIN_FREE_GB="0"), Console(file=io.StringIO())
        commands.download(settings, console)
        archive_commands.primary(settings, console)
