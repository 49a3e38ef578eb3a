"""How long an export takes, and how much memory: `python -m bench.export --rows 10000000`.

It fills a home with ten weeks of a crawl (a tenth as many listings as rows of `listings_dynamic`, half as many
pictures and reviews; kept, where `--folder` names a place), then runs `python run.py export` on it.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from rich.console import Console

from bench import figures, size_market
from bench.contestants import ROOT
from bench.figures import Figure
from bench.running import measure
from bench.size_places import CYCLES, Place, is_filled


def run(place: Place, rows: int, with_csv: bool) -> list[Figure]:
    """Fill the home where it is not filled yet, export it, and return what that took."""
    listings = rows // CYCLES
    if not is_filled(place, listings):
        if place.home.exists() and not place.market.exists():
            raise SystemExit(f"{place.home} is there, and is no home of this benchmark: name another folder")
        shutil.rmtree(place.home, ignore_errors=True)
        size_market.fill(place, listings)
    out = place.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, str(ROOT / "run.py"), "export", str(out), *(["--csv"] if with_csv else [])]
    cost = measure("export", command, place.folder, {"CRAWLER_HOME": str(place.home)})
    written = sum(path.stat().st_size for path in out.rglob("*"))
    all_rows = rows_of(place.database)
    shutil.rmtree(out)
    return [
        Figure("rows of listings_dynamic", f"{rows_of(place.database, 'listings_dynamic'):,}"),
        Figure("rows of all tables", f"{all_rows:,}"),
        Figure("size of the database", f"{place.database.stat().st_size / 1e6:,.0f} MB"),
        Figure("export", f"{cost['seconds']:,.1f} s"),
        Figure("CPU", f"{cost['cpu_seconds']:,.1f} s"),
        Figure("rows a second, views not counted", f"{all_rows / cost['seconds']:,.0f}"),
        Figure("most memory", f"{cost['largest_process_bytes'] / 1e6:,.0f} MB"),
        Figure("written", f"{written / 1e6:,.0f} MB"),
    ]


def rows_of(database: Path, *tables: str) -> int:
    """Return how many rows the tables have in all; none named: all tables."""
    with closing(sqlite3.connect(database)) as opened:
        told = [row[0] for row in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        names = tables or [name for name in told if not name.startswith("sqlite_")]
        return sum(int(opened.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0]) for name in names)


def main() -> int:
    """Measure one export and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="of listings_dynamic (1,000,000)")
    parser.add_argument("--csv", action="store_true", help="write CSV, too")
    parser.add_argument("--folder", type=Path, help="where the filled home is kept, made where it is not there")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="bench-export-"))
    try:
        found = run(Place(folder.resolve()), given.rows, given.csv)
    finally:
        if given.folder is None:
            shutil.rmtree(folder)
    Console(width=120).print(figures.table("An export", found), figures.machine(), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
