"""`run.py demo`: the real crawler against the sandbox, through one whole cycle, in a home of its own.

The crawler runs as its own process, as a person would start it: real HTTP, the real five calls a second.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sandbox.sandbox import Sandbox
from sandbox.server import SandboxServer
from sandbox.settings import SandboxSettings

ROOT = Path(__file__).resolve().parent.parent
LISTINGS, SHOPS, REVIEWS_PER_SHOP, DRAWINGS = 6_000, 80, 60.0, 100
POLL_SECONDS, LONGEST_SECONDS = 0.5, 300.0
COUNTED = ("listings", "shops", "reviews", "image_status", "listings_dynamic", "shops_dynamic")


def main(arguments: Sequence[str]) -> int:
    """Run the demo and return the exit status: 0 where the cycle was completed."""
    parser = argparse.ArgumentParser(
        prog="run.py demo",
        description="Crawl a simulated market through one whole cycle, in the folder demo/ (begun anew each time).",
        epilog="example: make demo",
    )
    parser.add_argument("--listings", type=int, default=LISTINGS, help=f"size of the market ({LISTINGS})")
    given = parser.parse_args(arguments)
    if given.listings < 1:
        print("--listings must be 1 or more.", file=sys.stderr)
        return 2
    home = ROOT / "demo"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    settings = SandboxSettings(
        listings=given.listings, shops=SHOPS, reviews_per_shop=REVIEWS_PER_SHOP, distinct_pictures=DRAWINGS
    )
    sandbox = Sandbox(settings)
    with SandboxServer(sandbox) as server:
        print(f"A sandbox of {given.listings:,} listings serves {server.api_url}; the crawler starts.\n", flush=True)
        began = time.monotonic()
        status = _crawl(home, server, settings.key)
        seconds = time.monotonic() - began
    if status == 0:
        _tell(home, len(sandbox.calls), seconds)
    return status


def _crawl(home: Path, server: SandboxServer, key: str) -> int:
    """Run run.py until it sleeps and every picture was tried, then stop it as a person would, with a KILL file."""
    environment = {
        **os.environ,
        "CRAWLER_HOME": str(home),
        "ETSY_API_URL": server.api_url,
        "ETSY_CDN_URL": server.cdn_url,
        "ETSY_API_KEY": key,
        "ETSY_SHARED_SECRET": "",
        "DATABASE_URL": "",
        "TAXONOMY_IDS": "967",
    }
    crawler = subprocess.Popen([sys.executable, str(ROOT / "run.py")], env=environment, cwd=ROOT)
    try:
        deadline = time.monotonic() + LONGEST_SECONDS
        while crawler.poll() is None and not _is_done(home) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        done = _is_done(home)
        (home / "KILL").touch()
        status = crawler.wait(timeout=20)
    except KeyboardInterrupt:
        crawler.send_signal(signal.SIGINT)
        return crawler.wait(timeout=20)
    if status == 0 and not done:
        print(f"The cycle was not done after {LONGEST_SECONDS:.0f} s; it goes on with the commands below.")
    return status


def _is_done(home: Path) -> bool:
    """Return whether the crawler sleeps until its next cycle, and no picture is left that was never tried."""
    path = home / "data" / "db" / "etsy_data.db"
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_open(path)) as database:
        row = database.execute("SELECT value FROM sync_state WHERE key = 'position'").fetchone()
        if row and json.loads(row[0])["state"] == "SLEEP":
            untried = "SELECT 1 FROM image_status WHERE download_done = 0 AND outcome IS NULL LIMIT 1"
            return database.execute(untried).fetchone() is None
    return False


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)


def _tell(home: Path, calls: int, seconds: float) -> None:
    """Print what was collected, where it lies, and what to type next."""
    path = home / "data" / "db" / "etsy_data.db"
    with contextlib.closing(_open(path)) as database:
        counts = {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in COUNTED}
    print(f"\nOne whole cycle in {seconds:.0f} s and {calls} calls. Collected:")
    for name, count in counts.items():
        print(f"  {count:>7,} {name}")
    here = path.relative_to(ROOT)
    python = Path(sys.executable)
    python = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    print(f"""
It lies in {here}. What to type next:
  look at it        sqlite3 {here} "SELECT title, price_amount, price_currency FROM listings LIMIT 5"
  where it stands   CRAWLER_HOME=demo {python} run.py status
  its page          make web, then CRAWLER_HOME=demo {python} run.py web
  audit it          CRAWLER_HOME=demo {python} run.py verify
  a sandbox to keep {python} run.py sandbox --port 8765   (it prints what to export; then: {python} run.py)
  the real market   ETSY_API_KEY=keystring ETSY_SHARED_SECRET=secret {python} run.py
  stop, resume      touch KILL, then the same command again: it goes on where it was""")
