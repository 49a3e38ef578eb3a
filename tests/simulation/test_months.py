"""Eight weekly cycles over a moving market, with all that can happen to them, in seconds and always the same way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.counts import note_count
from tests.simulation.months import Months

ROOT = Path(__file__).resolve().parents[2]
CYCLES = 8
SEED = 2


@pytest.mark.slow
def test_eight_weeks_with_all_that_can_happen_end_with_what_is_true(tmp_path: Path) -> None:
    """After every step the invariants, at the end the truth; `Months.run` says which seed and which step."""
    months = Months(tmp_path / "home", SEED)
    months.run(CYCLES)
    calls, counts = len(months.world.sandbox.calls), months.counts
    faults = sum(call.fault is not None for call in months.world.sandbox.calls)
    assert counts["deaths"] > 3 and faults > 30, "a quiet life proves nothing"
    told = (
        f"{CYCLES} cycles, {calls} calls, {faults} bad answers, {counts['lives']} processes, {counts['deaths']} deaths"
    )
    note_count(f"months, seed {SEED}", told)


def test_a_seed_gives_the_same_history_byte_for_byte_in_every_process(tmp_path: Path) -> None:
    told = []
    for number in range(2):
        path = tmp_path / f"history-{number}"
        command = [sys.executable, "-m", "tests.simulation", "--seed=5", "--cycles=2", f"--history={path}"]
        # Two orders of every set of texts: nothing may depend on them.
        environment = {**os.environ, "PYTHONHASHSEED": str(number)}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=120)
        told.append(path.read_bytes())
    assert told[0] == told[1]
    assert told[0].count(b"\n") > 200
