"""`make simulate SEED=n CYCLES=k`: months of a crawl in seconds, with all that the seed lets happen, and a summary."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from runtime.clock import DAY_SECONDS
from tests.rig import START
from tests.simulation.incidents import INCIDENTS
from tests.simulation.months import Broken, Months

MEMORY = Path("/dev/shm")  # a disk in memory, where there is one: what is simulated needs no other


def main() -> int:
    """Simulate one seed, or several from one on; return 0 where everything held."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one after the other")
    parser.add_argument("--cycles", type=int, default=8, help="weekly cycles of each")
    parser.add_argument("--history", type=Path, help="the file to write the last seed's history to")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)  # the crawl tells of every incident, and there are hundreds
    broken = 0
    for seed in range(given.seed, given.seed + given.seeds):
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
            broken += not _simulate(Months(Path(folder) / "home", seed), given.cycles, given.history)
    if given.seeds > 1:
        print(f"{given.seeds} seeds of {given.cycles} cycles, {broken} of them broken")
    return int(broken > 0)


def _simulate(months: Months, cycles: int, history: Path | None) -> bool:
    began = time.monotonic()
    try:
        months.run(cycles)
    except Broken as broken:
        print(broken)
        return False
    finally:
        if history is not None:
            history.write_text("\n".join(months.history) + "\n", encoding="utf-8")
    _tell(months, cycles, time.monotonic() - began)
    return True


def _tell(months: Months, cycles: int, seconds: float) -> None:
    world, counts = months.world, months.counts
    days = (world.clock.true.now() - START) / DAY_SECONDS
    print(f"seed {months.seed}: {cycles} cycles and two calm ones, {days:.0f} days in {seconds:.1f} s")
    print(f"  history    {len(months.history)} lines, SHA-256 {months.digest()}")
    endpoints = Counter(call.endpoint for call in world.sandbox.calls)
    print(f"  calls      {endpoints.total()}: " + _listed(endpoints))
    print("  steps      " + _listed({name.removesuffix(" steps"): n for name, n in counts.items() if "steps" in name}))
    print(f"  processes  {counts['lives']}, of which {counts['deaths']} died")
    print("  incidents  " + _listed({name: counts[name] for name in INCIDENTS}))
    print("  faults     " + _listed(Counter(call.fault for call in world.sandbox.calls if call.fault)))
    tables = ("listings", "listings_dynamic", "shops", "shops_dynamic", "reviews", "image_status")
    rows = {name: world.rig.rows(f"SELECT COUNT(*) FROM {name}")[0][0] for name in tables}
    print("  rows       " + _listed(rows))


def _listed(counts: dict[str, int] | Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
