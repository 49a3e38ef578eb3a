"""All benchmarks in one run, and all figures in one table: `make bench`.

Each runs in a process of its own, one after the other. `--full` takes the sizes that the goals name, and hours.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from bench import figures
from bench.contestants import ROOT

PEERS = ["--peers", str(ROOT / ".venv-bench-search" / "bin" / "python")]
QUICK = {
    "calls": ["--listings", "10000", "--cycles", "3"],
    "saturation": ["--seconds", "60"],
    "engine": ["--listings", "10000", "--rounds", "3"],
    "size": ["--listings", "100000", "--steps", "600"],
    "pages": ["--listings", "100000"],
    "pictures": ["--pictures", "1000", "--rounds", "1"],
    "verify_pictures": ["--pictures", "50000"],
    "search_quality": ["--listings", "120", "--queries", "150"],
    "fusion": [],
    "search_speed": ["--rows", "100000", *PEERS],
}
FULL = {
    "calls": ["--listings", "10000", "100000", "600000", "--cycles", "3"],
    "saturation": ["--seconds", "600"],
    "engine": ["--listings", "10000", "--rounds", "5"],
    "size": ["--listings", "1000000"],
    "pages": ["--listings", "1000000"],
    "pictures": ["--pictures", "3000", "--rounds", "3", "--memory"],
    "verify_pictures": ["--pictures", "1000000"],
    "search_quality": [],
    "fusion": [],
    "search_speed": ["--rows", "1000000", *PEERS],
}


def main() -> int:
    """Run the benchmarks and print the table; the exit status is 1 where one of them failed."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="at the sizes that the goals name")
    given = parser.parse_args()
    found: list[figures.Figure] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name, arguments in (FULL if given.full else QUICK).items():
            kept = Path(folder, f"{name}.json")
            print(f"\n{name} {' '.join(arguments)}", flush=True)
            command = [sys.executable, "-m", f"bench.{name}", *arguments, "--json", str(kept)]
            if subprocess.run(command, cwd=ROOT, check=False).returncode or not kept.exists():
                failed.append(name)
            else:
                found += figures.read(kept)
    console = Console(width=170, highlight=False)
    console.print(figures.table("All figures", found))
    console.print(figures.machine())
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
