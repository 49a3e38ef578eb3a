"""How long VERIFY takes to hold many picture files and rows together: `make bench-verify PICTURES=1000000`.

It makes that many small files (4 KB of disk each; `--bytes` makes them larger) and their rows in a folder of its own,
runs `run.py verify` on it once with the file system's cache as it is, and clears up.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import figures
from bench.figures import Figure
from imaging.check import digest_of
from imaging.layout import Layout
from models import CRAWLER_MODELS, MIGRATIONS, ImageStatus, Listing, Shop, SyncState
from runtime import bulk
from runtime.clock import iso
from runtime.database import open_database
from runtime.settings import DEFAULT_DATABASE_URL

ROOT = Path(__file__).resolve().parent.parent
AT = 1_794_000_000
PER_LISTING, FIRST_ID, STEP, CHUNK = 5, 2_100_000_000, 7, 5_000
POSITION = '{"state": "SLEEP", "cursor": {"reason": "cycle", "until": "2026-11-28T00:00:00Z"}, "cycle": 1, '
POSITION += '"entered_at": "2026-11-21T00:00:00Z", "version": 1}'


def main() -> int:
    """Make the files and rows, verify them, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=1_500, dest="size")
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep the figures in this file too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-verify-") as folder:
        began = time.perf_counter()
        make(Path(folder), given.pictures, given.size)
        print(f"made {given.pictures:,} files and rows in {time.perf_counter() - began:.0f} s", flush=True)
        began = time.perf_counter()
        environment = {**os.environ, "CRAWLER_HOME": folder, "DATABASE_URL": ""}
        answer = subprocess.run([sys.executable, ROOT / "run.py", "verify"], env=environment, check=False)
        seconds = time.perf_counter() - began
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(
            f"verified in {seconds:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} s of CPU, "
            f"{usage.ru_maxrss / 1024:.0f} MB at most; {given.pictures / seconds:,.0f} pictures a second"
        )
        shutil.rmtree(Path(folder) / "images")
    if given.json:
        speed = f"{given.pictures / seconds:,.0f}"
        figures.write([Figure(f"pictures verified a second, of {given.pictures:,}", speed)], given.json)
    return answer.returncode


def make(home: Path, pictures: int, size: int) -> None:
    """Make a home with that many downloaded pictures of that many bytes."""
    # Before the pictures: a home that has pictures and no database has lost it.
    database = open_database(DEFAULT_DATABASE_URL, home, CRAWLER_MODELS, MIGRATIONS)
    layout = Layout(home / "images")
    layout.downloaded.prepare()
    for number in range(1000):
        layout.downloaded.folder(number).mkdir()
    body = os.urandom(size)
    with database.atomic():
        Shop.create(shop_id=1)
        SyncState.create(key="position", value=POSITION)
        SyncState.create(key="cycle", value=f'{{"number": 1, "started_at": "{iso(AT)}"}}')
    for start in range(0, pictures, CHUNK):
        numbers = range(start, min(start + CHUNK, pictures))
        with database.atomic():
            bulk.insert_new(Listing, list(listing_rows(numbers)))
            bulk.insert_new(ImageStatus, list(image_rows(numbers, size, digest_of(body))))
        for number in numbers:
            path = layout.downloaded.path(FIRST_ID + number * STEP, "jpeg")
            path.write_bytes(body)
            os.utime(path, (AT, AT))
    database.close()


def listing_rows(numbers: range) -> Iterator[dict[str, Any]]:
    """Return a row for each listing of these pictures."""
    lists = dict.fromkeys(("tags", "materials", "production_partners"), "[]")
    for listing_id in range(numbers.start // PER_LISTING, -(-numbers.stop // PER_LISTING)):
        yield {"listing_id": listing_id + 1, "snapshot_timestamp": iso(AT), "shop": 1, **lists}


def image_rows(numbers: range, size: int, digest: str) -> Iterator[dict[str, Any]]:
    """Return a row for each of these pictures."""
    done = {"download_done": 1, "outcome": "done", "format": "jpeg", "size_bytes": size, "digest": digest}
    for number in numbers:
        yield {
            "listing": number // PER_LISTING + 1,
            "image_id": FIRST_ID + number * STEP,
            "shop_id": 1,
            "hex": "abcdef",
            "suffix": "wxyz",
            "is_primary": int(number % PER_LISTING == 0),
            "downloaded_at": iso(AT),
            **done,
        }


if __name__ == "__main__":
    sys.exit(main())
