"""How much of the five calls a second a crawl makes where answers are slow: `make bench-saturation`.

`run.py` as a process against the sandbox over HTTP, each answer of which takes as long as given (`0.3-1.0` for any
time between the two). Counted is what arrives at the server, once the first pages have told what there is to call for;
then a KILL file ends the crawl.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from bench import figures
from bench.figures import Figure
from sandbox import Sandbox, SandboxServer, SandboxSettings
from sandbox.answer import Answer, Call
from sandbox.sandbox import busiest_second

ROOT = Path(__file__).resolve().parent.parent
RATE, SHARE = 5.0, 0.98
BEFORE = 4  # the tree of categories and the first pages of intervals, each of which tells what comes next
LOOK_SECONDS = 0.02
START_SECONDS = 60.0


class SlowSandbox(Sandbox):
    """A sandbox each answer of which takes some time between two bounds."""

    def __init__(self, settings: SandboxSettings, shortest: float, longest: float) -> None:
        super().__init__(settings)
        self._rng = random.Random(settings.seed)
        self._bounds = shortest, longest

    def handle(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Return the answer, late."""
        answer = super().handle(method, path, params, headers, body)
        return replace(answer, delay_seconds=self._rng.uniform(*self._bounds))


@dataclass(frozen=True)
class Measured:
    """What the server saw in the time that was measured, and how long the end of the crawl took."""

    calls: int
    seconds: float
    busiest: int
    refused: int
    in_vain: int
    stop_seconds: float

    @property
    def share(self) -> float:
        """The part of the calls that are allowed which were made."""
        return self.calls / (self.seconds * RATE)


def measure(latency: str, listings: int, seconds: float) -> Measured:
    """Crawl a market for so long."""
    bounds = [float(bound) for bound in latency.split("-")]
    market = SandboxSettings(listings=listings, calls_per_second=int(RATE), quota_per_day=10_000_000)
    with (
        tempfile.TemporaryDirectory(prefix="bench-saturation-") as folder,
        SandboxServer(SlowSandbox(market, bounds[0], bounds[-1])) as server,
    ):
        Path(folder, "home").mkdir()
        crawl = subprocess.Popen(
            [sys.executable, "run.py"],
            cwd=ROOT,
            env=_environment(Path(folder), server),
            stdout=subprocess.DEVNULL,
        )
        began = _begin(server.sandbox, crawl)
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        calls = [call for call in server.sandbox.calls_since(BEFORE) if call.at <= began + seconds]
        asked = time.monotonic()
        Path(folder, "home", "KILL").touch()
        status = crawl.wait(30)
        if status:
            raise SystemExit(f"The crawl ended with status {status}.")
        return Measured(
            calls=len(calls),
            seconds=seconds,
            busiest=busiest_second([call.at for call in calls]),
            refused=sum(call.status == 429 for call in calls),
            in_vain=_in_vain(calls),
            stop_seconds=time.monotonic() - asked,
        )


def _begin(sandbox: Sandbox, crawl: subprocess.Popen[bytes]) -> float:
    """Wait for the first calls, and return when the first came that is counted."""
    limit = time.monotonic() + START_SECONDS
    while len(calls := sandbox.calls_since(0)) <= BEFORE:
        if crawl.poll() is not None or time.monotonic() > limit:
            raise SystemExit("The crawl makes no calls.")
        time.sleep(LOOK_SECONDS)
    return calls[BEFORE].at


def _in_vain(calls: Sequence[Call]) -> int:
    """Return how many pages, and listings in batches, were asked for more than once."""
    asked: Counter[str] = Counter()
    for call in calls:
        things = call.params.get("listing_ids", "").split(",")
        asked.update(things if len(things) > 1 else [repr((call.endpoint, sorted(call.params.items())))])
    return sum(times - 1 for times in asked.values())


def _environment(folder: Path, server: SandboxServer) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "CRAWLER_HOME": str(folder / "home"),
        "ETSY_API_URL": server.api_url,
        "ETSY_CDN_URL": server.cdn_url,
        "ETSY_API_KEY": server.sandbox.settings.key,
        "MIN_FREE_GB": "1000000",  # no picture is fetched: what counts is the calls
    }


def main() -> None:
    """Crawl at each latency and print what the server saw."""
    parser = argparse.ArgumentParser(prog="make bench-saturation", description=__doc__)
    parser.add_argument("--latencies", nargs="+", default=["0.3", "1", "3", "0.3-1"])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--listings", type=int, default=20_000)
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep the figures in this file too")
    given = parser.parse_args()
    found = [
        figure
        for latency in given.latencies
        for figure in _figures(latency, measure(latency, given.listings, given.seconds))
    ]
    console = Console(width=140, highlight=False)
    console.print(figures.table(f"{given.seconds:.0f} s each", found))
    console.print(figures.machine())
    if given.json:
        figures.write(found, given.json)


def _figures(latency: str, found: Measured) -> Iterator[Figure]:
    name, made = f"answers take {latency} s", found.calls / found.seconds
    met = found.share >= SHARE and found.busiest <= RATE
    yield Figure(f"{name}: calls a second", f"{made:.2f}", f"{RATE:g} allowed", found.share, f">= {SHARE}", met)
    yield Figure(
        "  most in any second", f"{found.busiest}, {found.refused} refused", "", None, "<= 5", found.busiest <= 5
    )
    yield Figure("  pages and listings asked for twice", str(found.in_vain), "", None, "0", not found.in_vain)
    yield Figure(
        "  seconds to the end once asked to stop", f"{found.stop_seconds:.2f}", "", None, "< 1", found.stop_seconds < 1
    )


if __name__ == "__main__":
    main()
