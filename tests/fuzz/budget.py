"""How many inputs each target gets, and the count of those that it got.

`FUZZ_EXAMPLES` is the total over all targets. Without it the inputs are few and always the same ones; with it they
are other ones at each run, by the seed that is printed at the end (`FUZZ_SEED` brings them back).
"""

from __future__ import annotations

import functools
import os
import secrets
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy

FEW = 1_500
GIVEN = os.environ.get("FUZZ_EXAMPLES")
TOTAL = int(GIVEN or FEW)
SEED = int(os.environ.get("FUZZ_SEED") or (secrets.randbits(32) if GIVEN else 0))
SHARES = {
    "any answer": 20,
    "rows of any values": 3,
    "mutated answers": 8,
    "both ways": 5,
    "errors": 5,
    "exchanges": 13,
    "headers": 6,
    "price intervals": 5,
    "breaks written": 2,
    "rate": 4,
    "settings": 6,
    "ids": 5,
    "dumps": 3,
    "positions": 3,
    "pictures": 4,
    "addresses": 5,
    "file names": 1,
    "shards": 1,
    "tars": 1,
}
"""Of the total, in percent. Whole crawls cost a hundred times as much as any of these and are counted beside them."""
CRAWLS = max(4, TOTAL // 2_000)
INPUTS: Counter[str] = Counter()
Test = Callable[..., Any]


def fuzz(target: str, **inputs: SearchStrategy[Any]) -> Callable[[Test], Test]:
    """Return a decorator that gives a test its share of the inputs, and counts them."""
    examples = max(1, round(TOTAL * SHARES[target] / 100))

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def counted(*args: Any, **values: Any) -> None:
            INPUTS[target] += 1
            test(*args, **values)

        quiet = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=GIVEN is None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        )
        made: Test = quiet(given(**inputs)(counted))
        return made if GIVEN is None else seed(SEED)(made)

    return decorate


def counted_in_words() -> str:
    """Return how many inputs there were, in one line."""
    each = ", ".join(f"{count:,} {target}" for target, count in INPUTS.items())
    return f"{INPUTS.total():,} inputs{f', FUZZ_SEED={SEED}' if GIVEN else ''} ({each})"
